"""States drawn from trained scores."""

from collections.abc import Mapping, Sequence

import xarray as xr

from dalib import arrays, build
from dalib.arrays import labelled
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.streams import Streams, stream


def samples(
    case: Mapping,
    method: Mapping,
    weights: xr.Dataset,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """States drawn by one sampler from a trained score, for each of its points and repeats.

    checkpoint: from which the sampler continues, as if it had not been interrupted.
    """
    network = build.network(method["model"], weights).to(device)
    sampler = build.make("sampler", method)
    points, repeats = weights.sizes.get("point", 1), weights["repeat"].values.tolist()
    runs = [repeat * points + point for point in range(points) for repeat in repeats]  # of a sweep
    generator = Streams(tuple(stream(experiment, run, "sample") for run in runs))
    drawn = sampler.sample(
        network,
        case["samples"]["count"],
        generator,
        save=checkpoint.save,
        resume=checkpoint.load(),
    )
    to_units = network.scaling.invert  # the score is one of standardised states
    drawn = drawn._replace(states=to_units(drawn.states), snapshots=to_units(drawn.snapshots))
    return samples_dataset(drawn, weights, weights.quantity.values)


def samples_dataset(drawn, runs: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """States drawn by a sampler: samples (run, sample, state), snapshots (run, level, ...).

    `runs` is any dataset with the axes of the runs, such as that of the weights.
    """
    dims = arrays.run_dims(runs)
    shape = tuple(runs.sizes[dim] for dim in dims)
    coords = {name: runs[name].variable for name in ("noise_std", "repeat") if name in runs.coords}
    level = labelled(("level",), drawn.levels, "1", "noise level")
    return xr.Dataset(
        {
            "samples": labelled(
                (*dims, "sample", "state"), drawn.states.unflatten(0, shape), "1", "sampled state"
            ),
            "snapshots": labelled(
                (*dims, "level", "sample", "state"),
                drawn.snapshots.unflatten(0, shape),
                "1",
                "states on leaving a noise level",
            ),
        },
        coords | {"level": level} | arrays.states_of(names),
    )
