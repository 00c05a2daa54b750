"""States drawn from trained scores."""

from collections.abc import Mapping

import xarray as xr

from dalib import arrays, build
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
    return arrays.samples_dataset(drawn, weights, weights.quantity.values)
