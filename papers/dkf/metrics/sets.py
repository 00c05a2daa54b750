"""Sets of true states that others are compared with."""

import numpy as np
import xarray as xr

TRUE_SETS = 5  # W₁ between two true sets varies by a tenth, mostly with the shares of the lobes


def states(x: xr.DataArray) -> xr.DataArray:
    """(..., state) -> (sample, state): all finite states of all cases and times, in order."""
    table = x.transpose(..., "state").values.reshape(-1, x.sizes["state"])
    table = table[np.isfinite(table).all(-1)]
    return xr.DataArray(table, dims=("sample", "state"), coords={"state": x.state})


def thin(x: xr.DataArray, count: int) -> xr.DataArray:
    """(..., state) -> (count, state): states at equal distances in the order of `states`."""
    every = states(x)
    if every.sizes["sample"] < count:
        raise ValueError(
            f"{count} states are needed, but there are {every.sizes['sample']}; ask for fewer "
            "(count, points), or give the truth more seeds or samples"
        )
    chosen = np.linspace(0, every.sizes["sample"] - 1, count).round().astype(int)
    return every.isel(sample=chosen)


def halves(truth: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """(case, time, state) -> every other trajectory, and the rest."""
    if truth.sizes["case"] < 2:
        raise ValueError("two independent true samples need at least 2 trajectories, got 1")
    return truth.isel(case=slice(0, None, 2)), truth.isel(case=slice(1, None, 2))


def several_samples(truth: xr.DataArray, count: int, sets: int) -> xr.DataArray:
    """(case, time, state) -> (set, count, state): from different trajectories, at most `sets`."""
    seeds, needed = truth.sizes["case"], -(-count // truth.sizes["time"])
    groups = np.array_split(np.arange(seeds), max(1, min(sets, seeds // needed)))
    return xr.concat([thin(truth.isel(case=group), count) for group in groups], "set")
