"""The true trajectories of a case."""

from collections.abc import Mapping, Sequence

import xarray as xr

from dalib import arrays, build
from dalib.simulate import Start, simulate
from dalib.streams import Streams, streams

SPLITS = ("train", "valid", "test")


def truths(case: Mapping, experiment: str) -> dict[str, xr.Dataset]:
    """The trajectories of every split.

    Those as long as one another are simulated together: a step costs as much for one state as for
    hundreds.
    """
    lengths: dict[int, list[str]] = {}
    for split in SPLITS:
        lengths.setdefault(case["truth"][split]["samples"], []).append(split)
    found: dict[str, xr.Dataset] = {}
    for splits in lengths.values():
        found |= _together(case, splits, experiment)
    return found


def truth(case: Mapping, split: str, experiment: str) -> xr.Dataset:
    """x (seed, time, state): the trajectories of one split ("train", "valid" or "test")."""
    return _together(case, [split], experiment)[split]


def _together(case: Mapping, splits: Sequence[str], experiment: str) -> dict[str, xr.Dataset]:
    """The trajectories of splits of one length, each seed of a split from a stream of its own."""
    settings, names = case["truth"], build.system(case).names
    seeds = {split: range(settings[split]["seeds"]) for split in splits}
    interval = build.interval(case)
    drawn = [streams(experiment, seeds[split], f"truth {split}") for split in splits]
    x = simulate(
        build.step(case),
        start(case),
        settings[splits[0]]["samples"],
        seeds=[f"{seed} of {split}" for split in splits for seed in seeds[split]],
        spinup=round(settings["spinup"] / interval),
        noise_std=settings["model_noise_std"],
        generator=Streams(tuple(one for part in drawn for one in part.generators)),
    )
    parts = x.split([len(seeds[split]) for split in splits])
    return {
        split: arrays.truth_dataset(part, seeds=seeds[split], interval=interval, names=names)
        for split, part in zip(splits, parts, strict=True)
    }


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
