"""The true trajectories of a case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.simulate import Formed, Shocked, Start, simulate
from dalib.streams import streams


def truth(case: Mapping, split: str, experiment: str) -> xr.Dataset:
    """x (seed, time, state): the trajectories of one split ("train", "valid" or "test").

    Of a system on a grid, the layout of its states stands beside it.
    """
    settings, system = case["truth"], build.system(case)
    part = settings[split]
    seeds, interval = range(part["seeds"]), build.interval(case)
    x = simulate(
        step(case),
        start(case, part.get("start", settings["start"])),
        part["samples"],
        seeds=seeds,
        spinup=round(settings["spinup"] / interval),
        noise_std=settings["model_noise_std"],
        dtype=dtype(case),
        generator=streams(experiment, seeds, f"truth {split}"),
    )
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


def start(case: Mapping, settings: Mapping | None = None, **supplied: Any) -> Any:
    """Where trajectories of a case start; one number as the mean stands for all components.

    settings: of another start than that of its truth, which may need what is `supplied`.
    """
    settings = case["truth"]["start"] if settings is None else settings
    if "kind" in settings:
        given = {name: (lambda value=value: value) for name, value in supplied.items()}
        former = build.make("start", settings, {"system": lambda: build.system(case), **given})
        return former if hasattr(former, "draw") else Formed(former)
    system = build.system(case)
    mean = settings["mean"]
    mean = (
        mean
        if isinstance(mean, Sequence)
        else torch.full((system.size,), mean, dtype=torch.float64)
    )
    if len(mean) != system.size:
        raise ValueError(
            f"the start's mean has {len(mean)} values, but the state of {case['system']['kind']} "
            f"has {system.size} components: {', '.join(system.names)}"
        )
    return Start(**{**settings, "mean": mean})


def dtype(case: Mapping) -> torch.dtype:
    """The precision of a case: float64 where it does not say otherwise."""
    return getattr(torch, case.get("dtype", "float64"))
