"""Errors of a single best estimate."""

from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

Dims = Hashable | Sequence[Hashable]


def rmse(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = ("time", "state")):
    """Root mean square error over `dim`, in the units of `truth`; all other dimensions are kept.

        √ mean_dim (estimate - truth)²

    The root is taken once, after the mean over all of `dim`. One NaN makes the result NaN: a filter
    that left to infinity is not excused. Coordinates must agree exactly.
    """
    with xr.set_options(arithmetic_join="exact"):
        return np.sqrt(((estimate - truth) ** 2).mean(dim, skipna=False))


def spread(std: xr.DataArray, dim: Dims = ("time", "state")) -> xr.DataArray:
    """Root mean variance over `dim`, in the units of `std`; equals the RMSE of a calibrated filter.

    √ mean_dim std²
    """
    return np.sqrt((std**2).mean(dim, skipna=False))


def error_norm(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = "state") -> xr.DataArray:
    """Euclidean length of the error, ‖estimate - truth‖ over `dim`; in the units of `truth`."""
    with xr.set_options(arithmetic_join="exact"):
        error = np.sqrt(((estimate - truth) ** 2).sum(dim, skipna=False))
    return error.assign_attrs(units=truth.attrs.get("units", "1"), long_name="error norm")


def climatological_std(truth: xr.DataArray, dim: Dims = ("seed", "time")) -> xr.DataArray:
    """Error of the best constant forecast, √ mean_state var_dim(truth); in the units of `truth`."""
    return np.sqrt(truth.var(dim, skipna=False).mean("state", skipna=False))
