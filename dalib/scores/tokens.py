"""Scores of what is made of tokens: of the truth itself through its codecs, and of generations.

Values in, values out. Wasserstein distances are between visits of cells, in state units. Groups are
as many trajectories as the test part has, drawn at random from the training part: distances of
disjoint groups are what no model can beat but by luck.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from dalib.metrics import divergence, growth, symbolic
from dalib.metrics.distributions import wasserstein
from dalib.metrics.transport import counts, wasserstein_cells
from dalib.scores.common import describe

ORDERS = (1, 2, 3, 4)
LAGS = (1, 10)
FITS = (1, 3)  # first number of steps in the extrapolation of growth rates
COMMON = 10  # visits of a cell that is not rare
TAIL = 1000  # tokens at the end of a run in which a cycle is looked for

Tokens = Mapping[str, np.ndarray]  # by split: (seed, time)
Jacobian = Callable[[np.ndarray], np.ndarray]  # (..., state) -> (..., state, state)


def score_codecs(
    codecs: Mapping[str, xr.Dataset],
    tokens: Mapping[str, Tokens],
    settings: Mapping,
    exponent: float,
    interval: float,
    jacobian: Jacobian | None,
    generator: np.random.Generator,
) -> xr.Dataset:
    """What the truth itself gives through each codec: the marks that generations are held against.

    Args:
        codecs: by name, as `arrays.codec_dataset` makes them.
        tokens: by codec and split ("train", "test").
        settings: `pairs` of disjoint groups, `sets` against all training states, `pair_points` in a
            distance of pairs of states; with `lyapunov`, the `longest` stretch of growth rates.
        exponent: largest Lyapunov exponent of the system, per unit of model time.
        jacobian: of the map, where growth rates are wanted.
    """
    found = {
        name: _codec_scores(codecs[name], tokens[name], settings, jacobian, generator)
        for name in codecs
    }
    scores = xr.concat(list(found.values()), xr.DataArray(list(found), dims="codec", name="codec"))
    scores["lyapunov"] = exponent
    scores["lyapunov_time"] = 1 / exponent
    scores["entropy_rate"] = exponent * interval
    return describe(
        scores,
        vocabulary=("1", "visited cells"),
        common=("1", f"cells visited at least {COMMON} times"),
        cells=("1", "cells in each dimension"),
        clipped_test=("1", "test states outside the box"),
        unseen_test=("1", "test states in cells without token"),
        w1=("1", "Wasserstein distance of two disjoint groups of true trajectories"),
        w1_training=("1", "Wasserstein distance of a true group to all training states"),
        w1_pairs=("1", "Wasserstein distance between laws of two states a lag apart, two groups"),
        entropy=("1", "conditional entropy of the next token, in nats"),
        growth=("1", "mean growth rate of tangents at cell centres, per step"),
        lyapunov_fit=("1", "growth rates extrapolated to long stretches, per step"),
        lyapunov=("1", "largest Lyapunov exponent, per unit of model time"),
        lyapunov_time=("1", "its inverse, in model time"),
        entropy_rate=("1", "largest Lyapunov exponent times the sampling interval, in nats"),
    ).assign_coords(order=_labels("order", ORDERS, "tokens before"))


def _labels(dim: str, values: Any, long_name: str) -> xr.Variable:
    return xr.Variable(dim, list(values), {"units": "1", "long_name": long_name})


def _codec_scores(
    codec: xr.Dataset,
    tokens: Tokens,
    settings: Mapping,
    jacobian: Jacobian | None,
    generator: np.random.Generator,
) -> xr.Dataset:
    train, test, centres = tokens["train"], tokens["test"], codec.centre.values
    size, everything = len(test), counts(tokens["train"], len(centres))
    pairs = [disjoint(train, size, generator) for _ in range(settings["pairs"])]
    w1 = [wasserstein_cells(*(counts(g, len(centres)) for g in pair), centres) for pair in pairs]
    some = [pair[0] for pair in pairs[: settings["sets"]]]
    w1_training = [wasserstein_cells(counts(g, len(centres)), everything, centres) for g in some]
    points = settings["pair_points"]
    w1_pairs = [
        [pair_distance(a, b, lag, centres, points, generator) for a, b in pairs[: settings["sets"]]]
        for lag in LAGS
    ]
    scores = {
        "vocabulary": ((), len(centres)),
        "common": ((), int((codec.visits >= COMMON).sum())),
        "cells": ((), int(codec.cells)),
        "clipped_test": ((), int(codec.clipped_test)),
        "unseen_test": ((), int(codec.unseen_test)),
        "w1": (("pair",), w1),
        "w1_training": (("set",), w1_training),
        "w1_pairs": (("lag", "set"), w1_pairs),
        "lag": _labels("lag", LAGS, "lag in samples"),
        "entropy": (("order",), [symbolic.conditional_entropy(train, m) for m in ORDERS]),
    }
    return xr.Dataset(scores | _growth(test, centres, settings, jacobian))


def _growth(
    tokens: np.ndarray, centres: np.ndarray, settings: Mapping, jacobian: Jacobian | None
) -> dict[str, tuple]:
    """Growth rates and their extrapolations from (case, time), where they are asked for."""
    if "lyapunov" not in settings:
        return {}
    rates = growth.mean_growth(jacobian(centres[tokens]), settings["lyapunov"]["longest"])
    fits = [growth.extrapolated(rates, first) for first in FITS]
    return {
        "growth": (("steps",), rates),
        "lyapunov_fit": (("first",), fits),
        "first": _labels("first", FITS, "first number of steps in the fit"),
    }


def disjoint(
    train: np.ndarray, size: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two groups of `size` different trajectories of (seed, time)."""
    if len(train) < 2 * size:
        raise ValueError(
            f"two groups of {size} trajectories need {2 * size} for training, there are "
            f"{len(train)}; give truth.train more seeds, or truth.test fewer"
        )
    chosen = generator.permutation(len(train))[: 2 * size]
    return train[chosen[:size]], train[chosen[size:]]


def pair_distance(
    a: np.ndarray,
    b: np.ndarray,
    lag: int,
    centres: np.ndarray,
    points: int,
    generator: np.random.Generator,
) -> float:
    """W₁ between the laws of (x_t, x_{t+lag}) of two sets of series, `points` draws of each."""

    def draws(tokens: np.ndarray) -> xr.DataArray:
        case = generator.integers(len(tokens), size=points)
        time = generator.integers(tokens.shape[1] - lag, size=points)
        pair = np.concatenate(
            [centres[tokens[case, time]], centres[tokens[case, time + lag]]], axis=-1
        )
        return xr.DataArray(pair, dims=("sample", "state"))

    return float(wasserstein(draws(a), draws(b)))


def score_shadows(
    shadows: Mapping[str, np.ndarray],
    tokens: np.ndarray,
    centres: np.ndarray,
    interval: float,
) -> xr.Dataset:
    """How the true continuations of the windows part from other ones with the same past.

    Args:
        shadows: `shadow` (seed, draw, lead), `accepted`, `drawn` (seed) of the first window of each
            test trajectory, and where wanted `paired` (seed, start, lead), one for each window.
        tokens: (seed, start, lead), the true continuations.
    """
    scores = {
        "shadow": (("seed", "draw", "lead"), shadows["shadow"].astype(np.int32)),
        "accepted": (("seed",), shadows["accepted"]),
        "drawn": (("seed",), shadows["drawn"]),
        **_agreement(tokens[:, 0], shadows["shadow"], interval),
    }
    if "paired" in shadows:
        paired = shadows["paired"]
        apart = divergence.mean_distance(_flat(tokens), _flat(paired), centres)
        scores |= {
            "paired": (("seed", "start", "lead"), paired.astype(np.int32)),
            "paired_difference": (("lead",), apart),
            "paired_plateau": ((), divergence.plateau(apart)),
            "paired_growth_rate": ((), divergence.growth_rate(apart, interval)),
        }
    return describe(
        xr.Dataset(scores),
        shadow=("1", "token of an accepted draw, -1: none"),
        accepted=("1", "accepted draws"),
        drawn=("1", "draws"),
        divergence=("1", "model time that the truth agrees with an accepted draw"),
        match_median=("1", "median model time that accepted draws agree with the truth"),
        match_longest=("1", "longest such time of a trajectory's draws, mean over trajectories"),
        paired=("1", "token of the first accepted draw, -1: none"),
        paired_difference=("1", "mean distance of the truth to a trajectory with the same past"),
        paired_plateau=("1", "that distance at late times"),
        paired_growth_rate=("1", "growth rate of its logarithm, per unit of model time"),
    )


def _agreement(made: np.ndarray, shadows: np.ndarray, interval: float) -> dict[str, tuple]:
    """(seed, lead), (seed, draw, lead): how long each draw agrees, and what the table says of it."""
    times = divergence.match_times(made, shadows, interval)
    known = times[~np.isnan(times).all(1)]
    longest = np.nanmax(known, 1).mean() if len(known) else np.nan
    return {
        "divergence": (("seed", "draw"), times),
        "match_median": ((), np.nanmedian(times) if len(known) else np.nan),
        "match_longest": ((), longest),
    }


def _flat(tokens: np.ndarray) -> np.ndarray:
    """(seed, start, lead) -> (window, lead)."""
    return tokens.reshape(-1, tokens.shape[-1])


def score_generations(
    methods: Mapping[str, xr.Dataset],
    codec_of: Mapping[str, str],
    tokens: Mapping[str, Tokens],
    marks: xr.Dataset,
    settings: Mapping,
    windows: Mapping[str, np.ndarray],
    jacobian: Jacobian | None,
    interval: float,
    seed: int = 0,
) -> xr.Dataset:
    """Generated tokens held against true ones, each method with its codec.

    Args:
        methods: as `arrays.token_forecasts_dataset` makes them.
        codec_of: codec of each method.
        tokens: by codec and split.
        marks: what `score_codecs` and `score_shadows` gave.
        settings: `sets`, true groups that each run is held against (the test part is the first),
            and `pair_points`.
        windows: by codec (seed, start, lead), the true continuations.
        seed: of the random groups and points, the same for all methods.
    """
    found = {}
    for name, made in methods.items():
        codec = codec_of[name]
        truth = _Truth(tokens[codec], made.centre.values, settings, np.random.default_rng(seed))
        marked = marks.sel(codec=codec) if codec in marks.codec else None
        found[name] = xr.merge(
            [
                _run_scores(made.free_run, truth, settings, marks, jacobian, seed),
                _window_scores(made.forecast, windows[codec], truth, marks, codec, interval),
                _loss_scores(made),
                _marks(marked),
            ]
        )
    labels = xr.DataArray(list(found), dims="method", name="method")
    scores = xr.concat(list(found.values()), labels, join="outer").transpose(
        "method", "temperature", "repeat", ..., missing_dims="ignore"
    )
    scores["entropy_rate"] = marks.entropy_rate
    scores["w1_ratio"] = scores.w1.median("set") / scores.w1_reference
    return describe(
        scores,
        w1_ratio=("1", "median distance to the truth over that of two true groups"),
        match_median=("1", "median model time that accepted draws agree with a generation"),
        match_longest=("1", "longest such time of a trajectory's draws, mean over trajectories"),
        w1=("1", "Wasserstein distance of a free run to a group of true trajectories"),
        w1_training=("1", "Wasserstein distance of a free run to all training states"),
        w1_pairs=("1", "Wasserstein distance between laws of two states a lag apart"),
        w1_reference=("1", "median distance of two true groups"),
        w1_reference_95=("1", "95 % quantile of the distance of two true groups"),
        cells_visited=("1", "cells that the free runs visit"),
        true_cells_visited=("1", "cells that the test trajectories visit"),
        unseen_bigram_share=("1", "share of generated transitions that training never shows"),
        periodic_share=("1", f"share of free runs whose last {TAIL} tokens are a cycle"),
        growth=("1", "mean growth rate of tangents at generated cells, per step"),
        lyapunov_fit=("1", "growth rates extrapolated to long stretches, per step"),
        divergence=("1", "model time that a generation agrees with an accepted draw"),
        difference=("1", "mean distance of the truth to a generation with the same past"),
        plateau=("1", "that distance at late times"),
        growth_rate=("1", "growth rate of its logarithm, per unit of model time"),
        test_loss=("1", "mean -log p of the next token on test windows, in nats"),
        test_loss_late=("1", "the same in the second half of the windows, in nats"),
        entropy_order1=("1", "conditional entropy of the next token given one, in nats"),
        entropy_rate=("1", "largest Lyapunov exponent times the sampling interval, in nats"),
    )


class _Truth:
    """The true tokens of one codec, and what is drawn of them."""

    def __init__(
        self, tokens: Tokens, centres: np.ndarray, settings: Mapping, generator: np.random.Generator
    ) -> None:
        self.train, self.test, self.centres = tokens["train"], tokens["test"], centres
        size = len(centres)
        others = [
            disjoint(self.train, len(self.test), generator)[0] for _ in range(settings["sets"] - 1)
        ]
        self.groups = [self.test, *others]
        self.visits = [counts(group, size) for group in self.groups]
        self.everything = counts(self.train, size)
        self.bigrams = symbolic.bigrams(self.train, size)


def _run_scores(
    runs: xr.DataArray,
    truth: _Truth,
    settings: Mapping,
    marks: xr.Dataset,
    jacobian: Jacobian | None,
    seed: int,
) -> xr.Dataset:
    """Scores of every free run (chain, time) of each temperature and repeat."""
    wanted = {"lyapunov": {"longest": marks.sizes["steps"]}} if "steps" in marks.sizes else {}
    longest = settings | wanted
    return over_runs(runs, lambda run: _one_run(run, truth, longest, jacobian, seed))


def over_runs(
    array: xr.DataArray, score: Callable[[np.ndarray], xr.Dataset], *others: str
) -> xr.Dataset:
    """`score` of the values of every temperature and repeat, stacked along these dimensions."""
    for dim in ("temperature", "repeat"):
        if dim in array.dims:
            parts = [over_runs(array.sel({dim: value}), score) for value in array[dim].values]
            return xr.concat(
                parts, array[dim].drop_vars([c for c in array[dim].coords if c != dim])
            )
    return score(array.values)


def _one_run(
    run: np.ndarray, truth: _Truth, settings: Mapping, jacobian: Jacobian | None, seed: int
) -> xr.Dataset:
    centres, generator = truth.centres, np.random.default_rng(seed)
    visits = counts(run, len(centres))
    tail = min(TAIL, run.shape[-1] // 2)
    points = settings["pair_points"]
    scores = {
        "w1": (("set",), [wasserstein_cells(visits, v, centres) for v in truth.visits]),
        "w1_training": ((), wasserstein_cells(visits, truth.everything, centres)),
        "lag": _labels("lag", LAGS, "lag in samples"),
        "w1_pairs": (
            ("lag",),
            [pair_distance(run, truth.test, lag, centres, points, generator) for lag in LAGS],
        ),
        "cells_visited": ((), int((visits > 0).sum())),
        "true_cells_visited": ((), int((truth.visits[0] > 0).sum())),
        "unseen_bigram_share": ((), symbolic.unseen_share(run, truth.bigrams, len(centres))),
        "periodic_share": ((), np.mean([symbolic.period(chain[-tail:]) > 0 for chain in run])),
    }
    return xr.Dataset(scores | _growth(run, centres, settings, jacobian))


def _window_scores(
    forecast: xr.DataArray,
    true: np.ndarray,
    truth: _Truth,
    marks: xr.Dataset,
    codec: str,
    interval: float,
) -> xr.Dataset:
    """Of continuations (seed, start, lead): distance to the truth, agreement with its shadows."""
    shadows = marks.shadow.values if marks.get("shadow_codec", None) == codec else None

    def score(made: np.ndarray) -> xr.Dataset:
        apart = divergence.mean_distance(_flat(true), _flat(made), truth.centres)
        scores = {
            "difference": (("lead",), apart),
            "plateau": ((), divergence.plateau(apart)),
            "growth_rate": ((), divergence.growth_rate(apart, interval)),
        }
        if shadows is not None:
            scores |= _agreement(made[:, 0], shadows, interval)
        return xr.Dataset(scores)

    return over_runs(forecast, score).assign_coords(lead=forecast.lead)


def _loss_scores(made: xr.Dataset) -> xr.Dataset:
    if "log_loss" not in made:
        return xr.Dataset()
    loss = made.log_loss
    late = loss.isel(position=slice(loss.sizes["position"] // 2, None))
    return xr.Dataset(
        {
            "test_loss": loss.mean(("window", "position")),
            "test_loss_late": late.mean(("window", "position")),
        }
    )


def _marks(marks: xr.Dataset) -> xr.Dataset:
    return xr.Dataset(
        {
            "w1_reference": marks.w1.median("pair"),
            "w1_reference_95": marks.w1.quantile(0.95, "pair").drop_vars("quantile"),
            "entropy_order1": marks.entropy.sel(order=1, drop=True),
        }
    ).drop_vars("codec", errors="ignore")
