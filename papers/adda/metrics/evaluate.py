"""Scores of filters that learned: of their dynamics, and of how they follow test trajectories."""

from collections.abc import Callable, Mapping

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.build import start
from dalib.filters.base import Gaussian
from dalib.filters.variational import FixedGain, Var3D
from dalib.observe import evenly, randomly
from dalib.points import COORDINATES, training_of
from dalib.simulate import simulate, whole_intervals
from dalib.streams import Streams, stream
from papers.adda.metrics.costs import costs_of_runs, memory_of_segments
from papers.adda.metrics.learned import (
    change_at_the_end,
    score_consistency,
    score_convergence,
    score_nulls,
)
from papers.adda.metrics.learning import (
    arranged,
    at_grids,
    described,
    score_filtering,
    score_grids,
    score_shown,
)

SCALARS = ("scale", "weight", "radius", "inflation")  # numbers that filters learn


def learning(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """Scores of the experiments of a case; those of the second and further ones have its name.

    sections: case, product, and `experiment_<name>`. inputs: truth and observations of the test
    part, and by experiment `analyses`, `weights` and `histories`.
    """
    product, found = sections["product"], xr.Dataset()
    for position, name in enumerate(product["methods"]):
        section = sections[f"experiment_{name}"]
        if position:
            product = build.without(product, "shown", "counted", "interactions")
        scores = _scores(sections["case"], section, product, inputs, name)
        if position:
            own = {v: f"{name}_{v}" for v in (*scores.data_vars, *scores.dims)}
            scores = scores.rename(own)
        found = found.merge(scores, join="outer")
    return described(found.where(abs(found) < float("inf")))


def _scores(
    case: Mapping, section: Mapping, product: Mapping, inputs: Mapping, name: str
) -> xr.Dataset:
    weights, history = inputs["weights"][name], inputs["histories"][name]
    analyses = inputs["analyses"][name]
    errors = _errors(case, section, product, weights, history)
    observed = analyses.seen.isel(time=0).sum("state")
    filtering = score_filtering(analyses, inputs["truth"].x, product)
    filtering = filtering.merge(score_consistency(analyses, observed, product["spinup"]))
    filtering = filtering.merge(score_nulls(analyses, inputs, product))
    own = places_of(weights, analyses)
    filtering, observed = filtering.isel(run=own), observed.isel(run=own)
    counts = xr.Dataset(
        {
            "restarts": history.restarts.sum("epoch"),
            "skipped": history.skipped.sum("epoch"),
            "loss": history.loss,
        }
    )
    learned = {str(n): rate for n, rate in history.items() if str(n).startswith("rate_")}
    learned |= {f"value_{n}": weights[n] for n in SCALARS if n in weights}
    learned |= {f"path_{n}": history[n] for n in SCALARS if n in history}
    if "noise" in weights:
        learned["value_noise"] = weights["noise"].mean("noise_0")
    keys = ("filter", *COORDINATES)
    many = {n: training_of(section, n)["trajectories"] for n in section["learned"]}
    numbers = observed.reset_coords(drop=True)
    settled = score_convergence(history, section["losses"], many, numbers)
    parts = [errors, counts, settled, xr.Dataset(learned)]
    if "counted" in product:
        parts.append(costs_of_runs(case, section, weights))
    whole = xr.merge(
        [part.drop_vars(keys, errors="ignore") for part in parts], compat="equals"
    ).assign_coords({key: weights[key] for key in keys})
    scores = arranged(whole, filtering, section)
    if "shown" in product:
        shown = score_shown(analyses, inputs, section, product)
        methods = [*scores.method.values, *set(shown.method.values) - set(scores.method.values)]
        scores = scores.reindex(method=methods).merge(
            shown.reindex(method=methods), compat="equals", join="outer"
        )
    if "counted" in product:
        memory = memory_of_segments(case, section, **product["counted"])
        scores = scores.merge(memory, join="left")
    if "interactions" in product:
        scores = scores.assign(interactions=interactions(case, product["interactions"]))
    grids = score_grids(analyses, inputs["truth"].x, product)
    scores = scores.merge(grids, join="outer")
    scores = scores.merge(at_grids(section, product, weights, analyses, inputs["truth"].x))
    size = build.system(case).size
    return scores.assign(size=size, **_changing(size, section))


def places_of(weights: xr.Dataset, analyses: xr.Dataset) -> list[int]:
    """Where each run of `weights` stands among the runs of `analyses`: same filter, same point."""

    def keys(runs: xr.Dataset) -> list[tuple]:
        columns = [runs["filter"].values, *(runs[name].fillna(-1).values for name in COORDINATES)]
        return list(zip(*columns, strict=True))

    there = {key: place for place, key in enumerate(keys(analyses))}
    lacking = [key for key in keys(weights) if key not in there]
    if lacking:
        raise ValueError(
            f"{lacking[0][0]!r} learned at {dict(zip(COORDINATES, lacking[0][1:], strict=True))} "
            "(-1: not varied), but has no analyses there; run the stage assimilate again"
        )
    return [there[key] for key in keys(weights)]


def _changing(size: int, section: Mapping) -> dict[str, float]:
    """Where what is observed changes: <method>_refused, 1 if a method cannot be used there.

    A fixed gain and, beside it, a fixed covariance are tried, the gain first with observations of
    as many components that stay the same.
    """
    if section["seen"]["default"] != "random":
        return {}
    still = evenly(size, section["base"]["observed"])
    moving = randomly(size, section["base"]["observed"], 2, stream("changing observations"))
    given = {"step": torch.clone, "obs_std": 1.0}
    fixed = {"gain": torch.zeros(size, len(still.index))}
    background = Gaussian(torch.zeros(size), torch.eye(size))
    FixedGain(observe=still, **given, **fixed)
    return {
        "fixed_gain_refused": _refused(FixedGain, observe=moving, **given, **fixed),
        "var3d_refused": _refused(Var3D, observe=moving, **given, background=background),
    }


def _refused(method: Callable, **settings) -> float:
    """1 if the method says that it cannot be built with these settings, 0 if it is built."""
    try:
        method(**settings)
    except ValueError:
        return 1.0
    return 0.0


def interactions(case: Mapping, count: int) -> xr.DataArray:
    """(species, other), the true matrix A of the system of a case with `count` species."""
    system = build.make("system", case["system"] | {"size": count})
    attrs = {"units": "1", "long_name": "effect of the other species on the species"}
    return xr.DataArray(system.matrix.numpy(), dims=("species", "other"), attrs=attrs)


def _errors(
    case: Mapping, section: Mapping, product: Mapping, weights: xr.Dataset, history: xr.Dataset
) -> xr.Dataset:
    """<measure> (run, repeat), the mean over the `last` epochs, for each measure that the map has.

    start_<measure> that of the first model, <measure>_by_update after each epoch; `error` is
    another name for the measure that the product names, and error_change of `change_at_the_end`.
    """
    dynamics = build.make("map", section["map"])
    states = _attractor(case, product["states"])
    shape = (weights.sizes["run"], weights.sizes["repeat"])
    fixed = _tensors(weights, "fixed.", shape)
    path = _tensors(history, "map.", shape)
    updates = history.sizes["update"]
    measured: dict[str, list[Tensor]] = {}
    for update in range(updates):
        values = fixed | {name: value[:, update] for name, value in path.items()}
        values = {name: value.to(dynamics.dtype) for name, value in values.items()}
        for name, error in dynamics.errors(values, states).items():
            measured.setdefault(name, []).append(error)
    found = {}
    for name, values in measured.items():
        names = [name, "error"] if name == product["measure"] else [name]
        error = torch.stack(values, -1).unflatten(0, shape).double().numpy()
        for label in names:
            dims = ("run", "repeat", "update")
            found[f"{label}_by_update"] = (dims, error)
            found[label] = (dims[:2], error[..., -product["last"] :].mean(-1))
            found[f"start_{label}"] = (dims[:2], error[..., 0])
        if name == product["measure"]:
            found["error_change"] = (dims[:2], change_at_the_end(error[..., 1:]))
    return xr.Dataset(found)


def _tensors(dataset: xr.Dataset, prefix: str, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Variables with a prefix, without it, (run x repeat, ...)."""
    return {
        str(name).removeprefix(prefix): arrays.to_tensor(
            value.transpose("run", "repeat", ...)
        ).flatten(0, 1)
        for name, value in dataset.data_vars.items()
        if str(name).startswith(prefix)
    }


def _attractor(case: Mapping, count: int) -> Tensor:
    """(point, state): states of the true system after its spin-up, from independent starts."""
    interval, truth = build.interval(case), case["truth"]
    starts = Streams(tuple(stream("attractor", case["system"]["kind"], i) for i in range(count)))
    x = simulate(
        build.step(case),
        start(case),
        1,
        seeds=range(count),
        spinup=whole_intervals(truth["spinup"], interval, "the spin-up of the truth"),
        generator=starts,
    )
    return x[:, -1]
