"""Scores of ensembles as samples of a predicted distribution."""

import numpy as np
import xarray as xr


def crps(ensemble: xr.DataArray, truth: xr.DataArray, dim: str = "member") -> xr.DataArray:
    """Fair continuous ranked probability score, in the units of `truth`; 0 is perfect.

        E|X - y| - ½ E|X - X'|

    with X, X' independent draws, estimated without bias from n members (Ferro 2014).
    All other dimensions are kept: average over time, space or trajectories at the call.
    """
    n = ensemble.sizes[dim]
    if n < 2:
        raise ValueError(f"the fair CRPS needs at least 2 members, got {n} along {dim!r}")
    error = abs(ensemble - truth).mean(dim, skipna=False)
    ordered = xr.apply_ufunc(np.sort, ensemble, input_core_dims=[[dim]], output_core_dims=[[dim]])
    rank = xr.DataArray(np.arange(1, n + 1), dims=dim)
    half_spread = (ordered * (2 * rank - n - 1)).sum(dim, skipna=False) / (n * (n - 1))
    return error - half_spread


def coverage(
    ensemble: xr.DataArray, truth: xr.DataArray, level: float, dim: str = "member"
) -> xr.DataArray:
    """1 where the truth lies within the central `level` interval of the members, else 0.

    Its mean is `level` for a calibrated, large ensemble. The interval's ends are the quantiles
    (1 ∓ level)/2 of the members, so that small ensembles cover a little less. All other
    dimensions are kept.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    ends = ensemble.quantile([(1 - level) / 2, (1 + level) / 2], dim, skipna=False)
    low, high = ends.isel(quantile=0, drop=True), ends.isel(quantile=1, drop=True)
    return ((low <= truth) & (truth <= high)).astype(float)
