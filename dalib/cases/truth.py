"""The true trajectories of a case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.simulate import Shocked, simulate, whole_intervals
from dalib.streams import Streams, streams

SPLITS = ("train", "valid", "test")


def truths(case: Mapping, experiment: str) -> dict[str, xr.Dataset]:
    """The trajectories of every split.

    Those as long as one another, with the same start, are simulated together: a step costs as much
    for one small state as for hundreds.
    """
    alike: dict[str, list[str]] = {}
    for split in SPLITS:
        part = case["truth"][split]
        alike.setdefault(f"{part['samples']} {part.get('start')}", []).append(split)
    found: dict[str, xr.Dataset] = {}
    for splits in alike.values():
        found |= _together(case, splits, experiment)
    return found


def truth(case: Mapping, split: str, experiment: str) -> xr.Dataset:
    """x (seed, time, state): the trajectories of one split ("train", "valid" or "test").

    Of a system on a grid, the layout of its states stands beside it.
    """
    return _together(case, [split], experiment)[split]


def _together(case: Mapping, splits: Sequence[str], experiment: str) -> dict[str, xr.Dataset]:
    """The trajectories of splits that are alike, each seed from a stream of its own."""
    settings, system, first = case["truth"], build.system(case), case["truth"][splits[0]]
    seeds = {split: range(settings[split]["seeds"]) for split in splits}
    interval = build.interval(case)
    drawn = [streams(experiment, seeds[split], f"truth {split}") for split in splits]
    x = simulate(
        step(case),
        build.start(case, first.get("start", settings["start"])),
        first["samples"],
        seeds=[f"{seed} of {split}" for split in splits for seed in seeds[split]],
        spinup=whole_intervals(settings["spinup"], interval, "the spin-up of the truth"),
        noise_std=settings["model_noise_std"],
        dtype=dtype(case),
        generator=Streams(tuple(one for part in drawn for one in part.generators)),
    )
    parts = x.split([len(seeds[split]) for split in splits])
    return {
        split: _dataset(part, seeds[split], interval, system)
        for split, part in zip(splits, parts, strict=True)
    }


def _dataset(x: Tensor, seeds: range, interval: float, system: Any) -> xr.Dataset:
    names = arrays.names_of(system)
    made = arrays.truth_dataset(x, seeds=seeds, interval=interval, names=names)
    if hasattr(system, "seconds"):
        made["time"].attrs["units"] = "s"
    return made.assign_coords(arrays.layout(system))


def step(case: Mapping) -> Callable[..., Tensor]:
    """The map of the truth over one sampling interval: that of the case, with its shocks."""
    shocks = case["truth"].get("shocks")
    if not shocks:
        return build.step(case)
    integrator = build.make("integrator", case["integrator"])
    one = replace(integrator, steps=1).flow(build.system(case))
    sizes, probabilities = ([shock[key] for shock in shocks] for key in ("size", "probability"))
    return Shocked(one, integrator.steps, sizes, probabilities)


def dtype(case: Mapping) -> torch.dtype:
    """The precision of a case: float64 where it does not say otherwise."""
    return getattr(torch, case.get("dtype", "float64"))
