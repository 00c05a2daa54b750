"""The true trajectories of a case."""

from collections.abc import Mapping

import xarray as xr

from dalib import arrays, build
from dalib.simulate import Start, simulate
from dalib.streams import streams


def truth(case: Mapping, split: str, experiment: str) -> xr.Dataset:
    """x (seed, time, state): the trajectories of one split ("train", "valid" or "test")."""
    settings, names = case["truth"], build.system(case).names
    if len(settings["start"]["mean"]) != len(names):
        raise ValueError(
            f"truth.start.mean has {len(settings['start']['mean'])} values, but the state of "
            f"{case['system']['kind']} has {len(names)} components: {', '.join(names)}"
        )
    seeds = range(settings[split]["seeds"])
    interval = build.interval(case)
    x = simulate(
        build.step(case),
        Start(**settings["start"]),
        settings[split]["samples"],
        seeds=seeds,
        spinup=round(settings["spinup"] / interval),
        noise_std=settings["model_noise_std"],
        generator=streams(experiment, seeds, f"truth {split}"),
    )
    return arrays.truth_dataset(x, seeds=seeds, interval=interval, names=names)
