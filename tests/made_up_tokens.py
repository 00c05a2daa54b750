"""Results of the paper on tokens, made up in the shapes that the stages write.

Trajectories and cells are real ones of the equations; scores and losses are random numbers.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import xarray as xr

Step = Callable[[np.ndarray], np.ndarray]

CASES = {"henon": 1.0, "rossler": 0.1, "lorenz": 0.03}  # sampling intervals
CONTEXT, HORIZON, FIRST = 20, 60, 200
COLUMNS = {
    "lorenz20": ("lorenz", "bins20", {"generated": 3.0, "reference": 3.1}),
    "lorenz50": ("lorenz", "bins50", {"generated": 2.1, "reference": 2.0, "divergence": 1.1}),
    "henon": ("henon", "bins50", {"generated": 0.005, "reference": 0.004, "exponent": 0.416}),
    "rossler": ("rossler", "bins50", {"generated": 0.05, "reference": 0.08, "divergence": 4.6}),
}


def columns() -> dict[str, dict]:
    """The columns of Table I as the configuration describes them."""
    return {
        name: {
            "label": f"{case.capitalize()}, n = {cells[-2:]}",
            "case": case,
            "cells": cells,
            "generated": f"{name}_gpt",
            "chain": cells.replace("bins", "markov"),
            "network": name,
            "published": published,
        }
        for name, (case, cells, published) in COLUMNS.items()
    }


def described(dims, values, long_name="quantity", kind=float) -> xr.Variable:
    return xr.Variable(dims, np.asarray(values, kind), {"units": "1", "long_name": long_name})


def step(case: str) -> Step:
    """One sampling interval of the equations, (..., state) -> (..., state)."""
    if case == "henon":
        return lambda x: np.stack([1 - 1.4 * x[..., 0] ** 2 + x[..., 1], 0.3 * x[..., 0]], -1)

    def drift(s: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(s, -1, 0)
        if case == "lorenz":
            return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 2.67 * z], -1)
        return np.stack([-y - z, x + 0.15 * y, 0.2 + z * (x - 10)], -1)

    def runge_kutta(x: np.ndarray, dt: float = CASES[case] / 5) -> np.ndarray:
        for _ in range(5):
            a = drift(x)
            b = drift(x + dt / 2 * a)
            c = drift(x + dt / 2 * b)
            x = x + dt / 6 * (a + 2 * b + 2 * c + drift(x + dt * c))
        return x

    return runge_kutta


def run(case: str, start: np.ndarray, samples: int) -> np.ndarray:
    """(seed, state) -> (seed, time, state), the start not among them."""
    advance, found = step(case), [start]
    for _ in range(samples):
        found.append(advance(found[-1]))
    return np.stack(found[1:], axis=1)


@cache
def truth(case: str, seeds: int = 4, samples: int = 3000) -> xr.Dataset:
    """x (seed, time, state) on the attractor."""
    middle = {"henon": [-0.95, 0.35], "rossler": [5.0, 0.0, 0.0], "lorenz": [1.0, 1.0, 20.0]}[case]
    start = np.array(middle) + np.random.default_rng(0).uniform(-0.05, 0.05, (seeds, len(middle)))
    x = run(case, start, samples + 300)[:, 300:]
    time = described("time", CASES[case] * np.arange(1, samples + 1), "model time")
    return xr.Dataset(
        {"x": described(("seed", "time", "state"), x, "true state")},
        {"seed": np.arange(seeds), "time": time, "state": list("xyz")[: len(middle)]},
    )


@cache
def codec(case: str, cells: int = 50) -> xr.Dataset:
    """Box and visited cells of the truth."""
    x = truth(case).x
    lower, upper = x.min(("seed", "time")).values, x.max(("seed", "time")).values
    index = indices(x.values, lower, upper, cells)
    numbers, visits = np.unique(flat(index, cells), return_counts=True)
    digits = np.stack(np.unravel_index(numbers, (cells,) * len(lower)), -1)
    centre = lower + (digits + 0.5) * (upper - lower) / cells
    return xr.Dataset(
        {
            "lower": described("state", lower),
            "upper": described("state", upper),
            "cells": described((), cells, kind=int),
            "cell_number": described("token", numbers, kind=int),
            "visits": described("token", visits, kind=int),
            "centre": described(("token", "state"), centre),
        },
        {"state": x.state},
    )


def indices(x: np.ndarray, lower: np.ndarray, upper: np.ndarray, cells: int) -> np.ndarray:
    return np.clip(((x - lower) / (upper - lower) * cells).astype(int), 0, cells - 1)


def flat(index: np.ndarray, cells: int) -> np.ndarray:
    return np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), (cells,) * index.shape[-1])


def encoded(case: str, x: np.ndarray, cells: int = 50) -> np.ndarray:
    """Tokens (...) of states (..., state); a cell without one gets that of the next number."""
    book = codec(case, cells)
    number = flat(indices(x, book.lower.values, book.upper.values, cells), cells)
    return np.minimum(np.searchsorted(book.cell_number.values, number), book.sizes["token"] - 1)


@cache
def tokens(case: str, cells: int = 50) -> xr.Dataset:
    """token (seed, time) of the truth."""
    x = truth(case).x
    token = described(("seed", "time"), encoded(case, x.values, cells), "token", kind=np.int32)
    return xr.Dataset({"token": token}, {"seed": x.seed, "time": x.time})


@cache
def forecasts(case: str, cells: int = 50, repeats: int | None = 1) -> xr.Dataset:
    """Runs from a slightly wrong state at T = 1, and cycles at T = 0; None: nothing is trained."""
    x, book, rng = truth(case).x, codec(case, cells), np.random.default_rng(1)
    runs = repeats or 1
    starts = np.arange(FIRST, x.sizes["time"] - HORIZON, 400)
    spread = 0.004 * (book.upper - book.lower).values

    def after(index: int, length: int) -> np.ndarray:
        wrong = x.values[:, index] + spread * rng.normal(size=(runs, *x.values[:, 0].shape))
        made = encoded(case, run(case, wrong.reshape(-1, x.shape[-1]), length), cells)
        made = made.reshape(runs, -1, length)
        return np.stack([made, np.take(made, np.arange(length) % 25, -1)])

    forecast = np.stack([after(s - 1, HORIZON) for s in starts], -2)
    free = after(CONTEXT - 1, 2000)
    extra = ("repeat",) if repeats else ()
    if not repeats:
        forecast, free = forecast[:, 0], free[:, 0]
    coords = {
        "temperature": described("temperature", [1.0, 0.0], "temperature"),
        "seed": x.seed,
        "start": described("start", x.time.values[starts - 1], "model time"),
        "lead": described("lead", CASES[case] * np.arange(1, HORIZON + 1), "lead time"),
        "time": described("time", CASES[case] * np.arange(1, 2001), "model time"),
        "state": x.state,
    } | ({"repeat": np.arange(runs)} if repeats else {})
    names = ("temperature", *extra)
    return xr.Dataset(
        {
            "forecast": described((*names, "seed", "start", "lead"), forecast, kind=np.int32),
            "free_run": described((*names, "chain", "time"), free, kind=np.int32),
            "centre": book.centre,
            "cell_number": book.cell_number,
        },
        coords,
    )


def history(checks: int = 12, repeats: int = 2, floor: float = 0.4) -> xr.Dataset:
    """Losses that fall towards 1.2 times a floor."""
    rng = np.random.default_rng(2)
    fall = 1.2 * floor + 6 * np.exp(-np.arange(checks) / 2.0)
    noise = 1 + 0.02 * rng.random((4, repeats, checks))
    names = ["training_loss", "held_out_loss", "training_late_loss", "held_out_late_loss"]
    return xr.Dataset(
        {
            name: described(("repeat", "check"), fall * wiggle, name.replace("_", " "))
            for name, wiggle in zip(names, noise, strict=True)
        },
        {"repeat": np.arange(repeats), "check": 50 * np.arange(checks)},
    )


def codec_scores(case: str, pairs: int = 20) -> xr.Dataset:
    """What scores/codecs.nc holds for a case."""
    rng = np.random.default_rng(3)
    codecs = ["bins20", "bins50"] if case == "lorenz" else ["bins50"]
    size, level = len(codecs), 0.003 if case == "henon" else 0.1

    def values(*shape: int) -> np.ndarray:
        return level * (1 + rng.random((size, *shape)))

    variables = {
        "vocabulary": ("codec", np.full(size, 343)),
        "cells": ("codec", np.full(size, 50)),
        "clipped_test": ("codec", np.full(size, 2)),
        "unseen_test": ("codec", np.full(size, 3)),
        "w1": (("codec", "pair"), values(pairs)),
        "w1_training": (("codec", "set"), values(5)),
        "w1_pairs": (("codec", "lag", "set"), values(2, 5)),
        "entropy": (("codec", "order"), np.tile([0.93, 0.66, 0.56, 0.51], (size, 1))),
        "independent": ("codec", np.full(size, 12.0)),
        "lyapunov": ((), 0.9),
        "entropy_rate": ((), 0.42),
    }
    if case == "henon":
        variables["lyapunov_fit"] = (("codec", "first"), np.full((size, 2), 0.4125))
        variables["growth"] = (("codec", "steps"), np.full((size, 15), 0.5))
    if case != "henon":
        variables["divergence"] = (("seed", "draw"), rng.random((4, 20)))
        variables["accepted"] = (("seed",), np.full(4, 20))
        variables["drawn"] = (("seed",), np.full(4, 9000))
    if case == "rossler":
        leads = np.arange(1, HORIZON + 1)
        variables["paired"] = (("seed", "start", "lead"), np.ones((4, 7, HORIZON)))
        variables["paired_difference"] = (("lead",), 10 / (1 + np.exp(4 - leads / 8)))
    coords = {
        "codec": codecs,
        "order": [1, 2, 3, 4],
        "lag": [1, 10],
        "first": [1, 3],
        "lead": described("lead", CASES[case] * np.arange(1, HORIZON + 1), "lead time"),
    }
    dims = {d for dim, _ in variables.values() for d in ([dim] if isinstance(dim, str) else dim)}
    return xr.Dataset(
        {name: described(*pair, name) for name, pair in variables.items()},
        {name: value for name, value in coords.items() if name in dims},
    )


def forecast_scores(case: str, repeats: int = 2, chains: bool = True) -> xr.Dataset:
    """What scores/forecasts.nc holds for a case; `chains`: with Markov chains."""
    rng = np.random.default_rng(4)
    own = {name: cells for name, (c, cells, _) in COLUMNS.items() if c == case}
    methods = [f"{name}_gpt" for name in own]
    methods += [cells.replace("bins", "markov") for cells in own.values()] if chains else []
    size, level = len(methods), 0.004 if case == "henon" else 0.15

    def values(*shape: int) -> np.ndarray:
        return level * (1 + rng.random((size, *shape)))

    lead = CASES[case] * np.arange(1, HORIZON + 1)
    rise = 10 / (1 + np.exp(4 - np.arange(1, HORIZON + 1) / 7))
    runs = ("method", "temperature", "repeat")
    trained = np.array([method.endswith("gpt") for method in methods])
    loss = np.where(trained[:, None], 0.5 + 0.02 * rng.random((size, repeats)), np.nan)
    variables = {
        "w1": ((*runs, "set"), values(2, repeats, 5)),
        "w1_training": (runs, values(2, repeats)),
        "w1_pairs": ((*runs, "lag"), values(2, repeats, 2)),
        "w1_reference": ("method", np.full(size, 1.5 * level)),
        "w1_reference_95": ("method", np.full(size, 2.0 * level)),
        "cells_visited": (runs, np.full((size, 2, repeats), 324)),
        "true_cells_visited": (runs, np.full((size, 2, repeats), 330)),
        "unseen_bigram_share": (runs, 0.01 * rng.random((size, 2, repeats))),
        "periodic_share": (runs, np.tile([[0.0] * repeats, [1.0] * repeats], (size, 1, 1))),
        "difference": ((*runs, "lead"), rise * (1 + 0.05 * rng.random((size, 2, repeats, 1)))),
        "test_loss": (("method", "repeat"), loss),
        "test_loss_late": (("method", "repeat"), 0.95 * loss),
        "entropy_order1": ("method", np.full(size, 0.93)),
        "entropy_rate": ((), 0.42),
    }
    if case == "henon":
        variables["lyapunov_fit"] = ((*runs, "first"), np.full((size, 2, repeats, 2), 0.4127))
    else:
        variables["divergence"] = ((*runs, "seed", "draw"), rng.random((size, 2, repeats, 4, 20)))
    coords = {
        "method": methods,
        "temperature": described("temperature", [1.0, 0.0], "temperature"),
        "repeat": np.arange(repeats),
        "lag": [1, 10],
        "lead": described("lead", lead, "lead time"),
    } | ({"first": [1, 3]} if case == "henon" else {})
    return xr.Dataset({n: described(*pair, n) for n, pair in variables.items()}, coords)
