"""Filters and smoothers over the observations of a case."""

from collections.abc import Mapping

import xarray as xr

from dalib import arrays, build
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.filters import Gaussian, assimilate
from dalib.streams import streams


def analyses(
    sections: Mapping,
    inputs: Mapping[str, xr.Dataset],
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """Run one filter, or smoother, over the test observations: means and standard deviations.

    Args:
        sections: `case`, `filter` with its settings, and `tuning` where the case says otherwise.
        inputs: `observations` and `prior`; `model`, the weights of the trained network of a learned
            filter, which runs on all seeds; other filters run on the seeds of the batch.
        batch: `index` and `size` of the batch of seeds.
        experiment: first name of the streams, with the method's name in it.
        checkpoint: from which a filter continues, as if it had not been interrupted.
    """
    case, method = sections["case"], sections["filter"] | sections["tuning"]
    observations, prior, weights = inputs["observations"], inputs["prior"], inputs.get("model")
    if weights is None:
        seeds = slice(batch["index"] * batch["size"], (batch["index"] + 1) * batch["size"])
        observations, prior = observations.isel(seed=seeds), prior.isel(seed=seeds)
    y, obs_std, mean, cov = (
        arrays.to_tensor(array).to(device)
        for array in (observations.y, observations.obs_std, prior["mean"], prior["cov"])
    )
    network = None if weights is None else build.network(method["model"], weights).to(device)
    filter = build.filter(case, method, obs_std=obs_std, network=network)
    if hasattr(filter, "smooth"):
        beliefs = filter.smooth(y)
    else:
        generator = streams(experiment, observations.seed.values.tolist(), "assimilate")
        beliefs = assimilate(
            filter,
            Gaussian(mean, cov),
            y,
            generator,
            progress=True,
            save=checkpoint.save,
            resume=checkpoint.load(),
        )
    names = prior.state if weights is None else weights.quantity
    return arrays.analyses_dataset(
        beliefs, time=observations.time, seed=observations.seed, names=names.values
    )
