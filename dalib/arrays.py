"""Labelled arrays to tensors and back: the border between files and algorithms.

Outside it names, coordinates and units (xarray), inside it tensors whose last axis is the state.
"""

from collections.abc import Mapping, Sequence

import torch
import xarray as xr
from torch import Tensor

SEED = {"units": "1", "long_name": "seed of the random streams"}
TIME = {"units": "1", "long_name": "model time"}
STATE = {"units": "1", "long_name": "component of the state"}


def to_tensor(array: xr.DataArray, dtype: torch.dtype = torch.float64) -> Tensor:
    """The values, axes in the array's order; a copy, which may be written to."""
    return torch.tensor(array.values, dtype=dtype)


def truth_dataset(
    x: Tensor,
    *,
    seeds: Sequence[int],
    interval: float,
    names: Sequence[str],
    units: str = "1",
    start: float = 0.0,
) -> xr.Dataset:
    """True states x (seed, time, state), sampled every `interval` from time `start` on."""
    coords = _seeds(seeds) | _times(x.shape[1], interval, start) | _states(names)
    x = _variable(("seed", "time", "state"), x, units, "true state")
    return xr.Dataset({"x": x}, coords)


def observations_dataset(
    y: Tensor,
    obs_std: Tensor,
    *,
    seeds: Sequence[int],
    interval: float,
    units: str = "1",
) -> xr.Dataset:
    """Observations y (seed, time, obs), one interval after the start of the truth and on.

    `obs_std` (obs,) is the standard deviation of their errors; a missing value is NaN.
    """
    y = _variable(("seed", "time", "obs"), y, units, "observation")
    obs_std = _variable(("obs",), obs_std, units, "standard deviation of observation errors")
    coords = _seeds(seeds) | _times(y.sizes["time"], interval, interval)
    return xr.Dataset({"y": y, "obs_std": obs_std}, coords)


def prior_dataset(
    mean: Tensor,
    cov: Tensor,
    *,
    seeds: Sequence[int],
    names: Sequence[str],
    units: str = "1",
) -> xr.Dataset:
    """What a filter knows at time 0: mean (seed, state) and cov (state, state)."""
    squared = "1" if units == "1" else f"({units})2"
    mean = _variable(("seed", "state"), mean, units, "prior mean")
    cov = _variable(("state", "state_"), cov, squared, "prior covariance")
    return xr.Dataset({"mean": mean, "cov": cov}, _seeds(seeds) | _states(names))


def analyses_dataset(
    analyses,
    *,
    time: xr.DataArray,
    seed: xr.DataArray,
    names: Sequence[str],
    units: str = "1",
) -> xr.Dataset:
    """Estimates of a filter: `Analyses` of ([repeat,] seed, time, state).

    `time` and `seed` are the coordinates of the observations it was given.
    """
    long_names = {
        "mean": "analysis mean",
        "std": "analysis standard deviation",
        "forecast_mean": "forecast mean",
        "forecast_std": "forecast standard deviation",
    }
    dims = ("repeat", "seed", "time", "state")[-analyses.mean.ndim :]
    variables = {
        name: _variable(dims, getattr(analyses, name), units, long_name)
        for name, long_name in long_names.items()
    }
    return xr.Dataset(variables, {"time": time, "seed": seed} | _states(names))


def weights_dataset(weights: Mapping[str, Tensor], leading: Sequence[str]) -> xr.Dataset:
    """The weights of a network; every tensor leads with the axes `leading` (`repeat`, `point`)."""
    leading = tuple(leading)

    def variable(name: str, values: Tensor) -> xr.Variable:
        own = tuple(f"{name}_{axis}" for axis in range(values.ndim - len(leading)))
        return _variable(leading + own, values, "1", f"weights {name}")

    return xr.Dataset({name: variable(name, values) for name, values in weights.items()})


def weights(dataset: xr.Dataset) -> dict[str, Tensor]:
    """What `weights_dataset` was given, each tensor in the type it was stored in."""
    return {str(name): torch.tensor(array.values) for name, array in dataset.data_vars.items()}


def windows(x: Tensor, length: int, every: int = 1) -> Tensor:
    """(..., time, state) -> (window, length, state): stretches of successive times.

    A window starts `every` times; windows of all leading axes stand one after the other.
    """
    time = x.shape[-2]
    if not 1 <= length <= time:
        raise ValueError(f"windows need a length from 1 to the {time} times there are, got {length}")
    return x.unfold(-2, length, every).movedim(-1, -2).reshape(-1, length, x.shape[-1])


def _variable(dims: tuple[str, ...], values: Tensor, units: str, long_name: str) -> xr.Variable:
    if values.ndim != len(dims):
        raise ValueError(f"{long_name}: axes ({', '.join(dims)}), got shape {tuple(values.shape)}")
    attrs = {"units": units, "long_name": long_name}
    return xr.Variable(dims, values.detach().cpu().numpy(), attrs)


def _seeds(seeds: Sequence[int]) -> dict[str, xr.Variable]:
    return {"seed": xr.Variable("seed", list(seeds), SEED)}


def _times(count: int, interval: float, start: float) -> dict[str, xr.Variable]:
    times = start + interval * torch.arange(count, dtype=torch.float64)
    return {"time": xr.Variable("time", times.numpy(), TIME)}


def _states(names: Sequence[str]) -> dict[str, xr.Variable]:
    return {"state": xr.Variable("state", list(names), STATE)}
