"""What is seen of the truth, and what a filter knows when it starts."""

from collections.abc import Mapping

import torch
import xarray as xr

from dalib import arrays, build
from dalib.observe import noisy
from dalib.streams import normal_like, streams


def observations(case: Mapping, truth: xr.Dataset, split: str, experiment: str) -> xr.Dataset:
    """y (seed, time, obs) from the second time of the truth on; of `test`, NaN after `until`.

    With a list for `error_std`, y (error, seed, time, obs): the same errors, scaled.
    """
    settings, x = case["observations"], truth.x.isel(time=slice(1, None))
    seeds = truth.seed.values.tolist()
    operator = build.operator(case, truth.sizes["state"])
    generator = streams(experiment, seeds, f"observations {split}")
    std = torch.as_tensor(settings["error_std"], dtype=torch.float64)
    exact = operator(arrays.to_tensor(x))
    y = exact + std[..., None, None, None] * normal_like(exact, generator)
    if split == "test" and settings["until"] is not None:
        y[..., x.time.values > settings["until"] + 1e-9, :] = torch.nan
    obs_std = std[..., None].expand(*std.shape, y.shape[-1])
    names = getattr(operator, "seen", lambda names: None)(x.state.values.tolist())
    return arrays.observations_dataset(
        y, obs_std, seeds=seeds, interval=float(truth.time[1]), names=names
    )


def prior(case: Mapping, truth: xr.Dataset, experiment: str) -> xr.Dataset:
    """What a filter knows at time 0: the truth with an error of known covariance, or a mean."""
    seeds = truth.seed.values.tolist()
    x, settings = arrays.to_tensor(truth.x.isel(time=0)), case["prior"]
    if "mean" in settings:
        std = settings["std"]
        mean = torch.as_tensor(settings["mean"], dtype=x.dtype).expand_as(x)
    else:
        std = settings["error_std"]
        mean = noisy(lambda state: state, x, std, streams(experiment, seeds, "prior"))
    cov = std**2 * torch.eye(x.shape[-1], dtype=x.dtype)
    return arrays.prior_dataset(mean, cov, seeds=seeds, names=truth.state.values)
