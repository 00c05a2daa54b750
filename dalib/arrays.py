"""Labelled arrays to tensors and back: the border between files and algorithms.

Outside it names, coordinates and units (xarray), inside it tensors whose last axis is the state.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib import times

SEED = {"units": "1", "long_name": "seed of the random streams"}
TIME = {"units": "1", "long_name": "model time"}
REPEAT = {"units": "1", "long_name": "repeat of the training"}
NOISE_STD = {"units": "1", "long_name": "noise of the training data"}
STATE = {"units": "1", "long_name": "component of the state"}
GRID = ("grid_x", "grid_y")  # points of a field; x is the state
MANY = 1000  # components from which on they are numbered, not named


def to_tensor(array: xr.DataArray, dtype: torch.dtype | None = torch.float64) -> Tensor:
    """The values, axes in the array's order; a copy, which may be written to. None: as stored.

    Raises:
        ValueError: its times are not in equal steps; to a filter each is one step of the model.
    """
    for dim in array.dims:
        if dim == "time" and dim in array.coords:
            why = times.unequal(array[dim].values)
            if why:
                raise ValueError(f"{why}; or take torch.as_tensor(array.values), as it is")
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
    coords = _seeds(seeds) | times_of(x.shape[1], interval, start) | states_of(names)
    x = labelled(("seed", "time", "state"), x, units, "true state")
    return xr.Dataset({"x": x}, coords)


def names_of(system) -> Sequence[str] | range:
    """Names of the components of a system's state; numbers where there are many."""
    return range(system.size) if system.size > MANY else system.names


def layout(system) -> dict[str, xr.Variable]:
    """Coordinates of a state on a grid: `variable`, `unit` of each, `grid_x` and `grid_y`.

    A system has them where it has `shape` (variable, x, y), `variables` {name: unit} and
    `coordinates`, those of the points along either side.
    """
    if not hasattr(system, "shape"):
        return {}
    attrs = {"units": "m", "long_name": "distance from the middle of the basin"}
    along = system.coordinates.numpy()
    return {
        "variable": xr.Variable("variable", list(system.variables)),
        "unit": xr.Variable("variable", list(system.variables.values())),
        "grid_x": xr.Variable("grid_x", along, attrs),
        "grid_y": xr.Variable("grid_y", along, attrs),
    }


def shape_of(dataset: xr.Dataset, size: int) -> tuple[int, int, int]:
    """(variable, x, y) of flat states of `size` components; without a layout one long column."""
    if GRID[0] not in dataset.dims:
        return 1, size, 1
    return tuple(dataset.sizes[name] for name in ("variable", *GRID))


def layout_of(dataset: xr.Dataset) -> dict[str, xr.Variable]:
    """The layout that stands beside states, to hand it on."""
    return {n: dataset[n].variable for n in ("variable", "unit", *GRID) if n in dataset.coords}


def observations_dataset(
    y: Tensor,
    obs_std: Tensor,
    *,
    seeds: Sequence[int],
    interval: float,
    start: float | None = None,
    names: Sequence[str] | None = None,
    units: str = "1",
) -> xr.Dataset:
    """Observations y ([error,] seed, time, obs) from the time `start` on, by default one interval
    after that of the truth.

    `obs_std` ([error,] obs) is the standard deviation of their errors; a missing value is NaN.
    `names` are those of the state where its components are observed, else y0, y1, ...
    """
    names = [f"y{i}" for i in range(y.shape[-1])] if names is None else list(names)
    errors = ("error",) * (obs_std.ndim - 1)
    y = labelled((*errors, "seed", "time", "obs"), y, units, "observation")
    start = interval if start is None else start
    coords = _seeds(seeds) | times_of(y.sizes["time"], interval, start)
    if errors:
        attrs = {"units": units, "long_name": "standard deviation of the errors"}
        coords["error"] = xr.Variable("error", obs_std[:, 0].numpy(), attrs)
    obs_std = labelled((*errors, "obs"), obs_std, units, "standard deviation of observation errors")
    coords["obs"] = xr.Variable("obs", names, {"units": "1", "long_name": "observed quantity"})
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
    mean = labelled(("seed", "state"), mean, units, "prior mean")
    cov = labelled(("state", "state_"), cov, squared, "prior covariance")
    return xr.Dataset({"mean": mean, "cov": cov}, _seeds(seeds) | states_of(names))


def ensembles_dataset(
    members: Tensor, *, starts: Sequence[str], seeds: Sequence[int], names: Sequence, units="1"
) -> xr.Dataset:
    """Ensembles at time 0: members (start, seed, member, state), for each way to start."""
    values = labelled(("start", "seed", "member", "state"), members, units, "prior member")
    return xr.Dataset(
        {"members": values}, {"start": ("start", list(starts))} | _seeds(seeds) | states_of(names)
    )


def analyses_dataset(
    analyses,
    *,
    time: Any,
    names: Sequence[str],
    seed: xr.DataArray | None = None,
    units: str = "1",
) -> xr.Dataset:
    """Estimates of a filter: `Analyses` of ([[repeat,] seed,] time, state).

    `time` and `seed` are the coordinates of the observations it was given, the times those of
    xarray, of pandas, of numpy or a list; a time without description is one of the model. Of times
    that are not in equal steps a warning says so: to the filter each was one step of the model.
    """
    time = times.coordinate(time, analyses.mean.shape[-2])
    why = times.unequal(time.values)
    if why:
        warnings.warn(why, stacklevel=2)
    if not times.are_dates(time.values):
        time.attrs = {**TIME, **time.attrs}
    dims = ("repeat", "seed", "time", "state")[-analyses.mean.ndim :]
    lost = labelled(
        dims[:-2], analyses.diverged_at, "1", "index of the time from which it diverged, -1: never"
    )
    variables = {
        "diverged_at": lost,
        "mean": labelled(dims, analyses.mean, units, "analysis mean"),
        "std": labelled(dims, analyses.std, units, "analysis standard deviation"),
        "forecast_mean": labelled(dims, analyses.forecast_mean, units, "forecast mean"),
        "forecast_std": labelled(dims, analyses.forecast_std, units, "forecast standard deviation"),
    }
    seeds = {} if seed is None else {"seed": seed}
    return xr.Dataset(variables, {"time": time, **seeds} | states_of(names))


def weights_dataset(weights: Mapping[str, Tensor], axes: Mapping[str, Sequence]) -> xr.Dataset:
    """The weights of a network; the first axis of every tensor runs over the runs of `axes`.

    axes: {"repeat": labels}, or {"noise_std": values, "repeat": labels} for a sweep, whose runs are
    all points of the first repeat in order, and so on: stored as (point, repeat, ...).
    """
    coords, lengths = _runs(axes)

    def variable(name: str, values: Tensor) -> xr.Variable:
        own = tuple(f"{name}_{axis}" for axis in range(values.ndim - 1))
        return labelled(
            (*lengths, *own), values.unflatten(0, tuple(lengths.values())), "1", f"weights {name}"
        )

    return xr.Dataset({name: variable(name, values) for name, values in weights.items()}, coords)


def weights(dataset: xr.Dataset) -> dict[str, Tensor]:
    """What `weights_dataset` was given, each tensor in the type it was stored in."""
    count = len(run_dims(dataset))
    return {
        str(name): torch.tensor(array.values).flatten(0, count - 1)
        for name, array in dataset.data_vars.items()
    }


def history_dataset(history, axes: Mapping[str, Sequence]) -> xr.Dataset:
    """A training's `History`: loss (run, step), and each report (run, check) or (run, check, obs).

    Reports keep their names, `training_<quantity>` and `held_out_<quantity>`.
    """
    coords, lengths = _runs(axes)

    def variable(values: Tensor, own: tuple[str, ...], long_name: str) -> xr.Variable:
        shape = tuple(lengths.values())
        return labelled((*lengths, *own), values.unflatten(0, shape), "1", long_name)

    reports = {
        name: variable(values, ("check", "obs")[: values.ndim - 1], name.replace("_", " "))
        for name, values in history.reports.items()
    }
    coords["check"] = xr.Variable(
        "check", history.checks.numpy(), {"units": "1", "long_name": "updates done"}
    )
    loss = variable(history.loss, ("step",), "loss of the batch")
    return xr.Dataset({"loss": loss, **reports}, coords)


def _runs(axes: Mapping[str, Sequence]) -> tuple[dict[str, xr.Variable], dict[str, int]]:
    """Coordinates of the runs, and their dimensions with lengths, in order."""
    coords = {"repeat": xr.Variable("repeat", list(axes["repeat"]), REPEAT)}
    if "noise_std" not in axes:
        return coords, {"repeat": len(axes["repeat"])}
    coords["noise_std"] = xr.Variable("point", list(axes["noise_std"]), NOISE_STD)
    return coords, {"point": len(axes["noise_std"]), "repeat": len(axes["repeat"])}


def run_dims(dataset: xr.Dataset) -> tuple[str, ...]:
    """The axes of a dataset along which networks differ."""
    return tuple(dim for dim in ("point", "repeat") if dim in dataset.dims)


def labelled(dims: tuple[str, ...], values: Tensor, units: str, long_name: str) -> xr.Variable:
    """A tensor with names for its axes."""
    if values.ndim != len(dims):
        raise ValueError(f"{long_name}: axes ({', '.join(dims)}), got shape {tuple(values.shape)}")
    attrs = {"units": units, "long_name": long_name}
    return xr.Variable(dims, values.detach().cpu().numpy(), attrs)


def _seeds(seeds: Sequence[int]) -> dict[str, xr.Variable]:
    return {"seed": xr.Variable("seed", list(seeds), SEED)}


def times_of(count: int, interval: float, start: float) -> dict[str, xr.Variable]:
    """The coordinate `time`: `count` model times from `start` on."""
    first = round(start / interval)  # the same products in every file: equal to the last bit
    offset = start - first * interval
    offset = offset if abs(offset) > 1e-9 * max(abs(start), interval) else 0.0
    steps = torch.arange(first, first + count, dtype=torch.float64)
    return {"time": xr.Variable("time", (interval * steps + offset).numpy(), TIME)}


def states_of(names: Sequence[str]) -> dict[str, xr.Variable]:
    """The coordinate `state`."""
    return {"state": xr.Variable("state", list(names), STATE)}


def of_runs(dataset: xr.Dataset) -> list[str]:
    """Names of what has an axis `run`: NaN where a run learns something else, or was lost."""
    return [str(name) for name, array in dataset.variables.items() if "run" in array.dims]
