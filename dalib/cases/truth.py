"""The true trajectories of a case."""

from collections.abc import Mapping, Sequence

import xarray as xr

from dalib import arrays, build
from dalib.simulate import Start, simulate
from dalib.streams import streams


def truth(case: Mapping, split: str, experiment: str) -> xr.Dataset:
    """x (seed, time, state): the trajectories of one split ("train", "valid" or "test")."""
    settings, names = case["truth"], build.system(case).names
    seeds = range(settings[split]["seeds"])
    interval = build.interval(case)
    x = simulate(
        build.step(case),
        start(case),
        settings[split]["samples"],
        seeds=seeds,
        spinup=round(settings["spinup"] / interval),
        noise_std=settings["model_noise_std"],
        generator=streams(experiment, seeds, f"truth {split}"),
    )
    return arrays.truth_dataset(x, seeds=seeds, interval=interval, names=names)


def start(case: Mapping) -> Start:
    """Where trajectories of a case start; one number as the mean stands for all components."""
    settings, names = case["truth"]["start"], build.system(case).names
    mean = settings["mean"]
    mean = mean if isinstance(mean, Sequence) else [mean] * len(names)
    if len(mean) != len(names):
        raise ValueError(
            f"truth.start.mean has {len(mean)} values, but the state of "
            f"{case['system']['kind']} has {len(names)} components: {', '.join(names)}"
        )
    return Start(**{**settings, "mean": mean})
