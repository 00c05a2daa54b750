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
    """1 where the truth lies within the central interval of the members, else 0.

    The interval ends at the k-th smallest and the k-th largest of n members, with the largest k for
    which it holds at least `level` of a calibrated truth, or their whole range if none does: its
    mean is then `calibrated_coverage(n, level)`, whatever the distribution. All other dimensions
    are kept.
    """
    k = _left_out(ensemble.sizes[dim], level)
    ordered = xr.apply_ufunc(np.sort, ensemble, input_core_dims=[[dim]], output_core_dims=[[dim]])
    low, high = ordered.isel({dim: k - 1}, drop=True), ordered.isel({dim: -k}, drop=True)
    lost = ensemble.isnull().any(dim)  # NaN is sorted to the end
    return ((low <= truth) & (truth <= high) & ~lost).astype(float)


def calibrated_coverage(members: int, level: float) -> float:
    """The share of truths that the interval of `coverage` holds if truth and members are alike.

        (n + 1 - 2k) / (n + 1)

    since the truth then has every rank among the members equally often. 20 members reach 0.905.
    """
    return 1 - 2 * _left_out(members, level) / (members + 1)


def _left_out(members: int, level: float) -> int:
    """k: so that 1 - 2k/(n + 1) is `level` or more, and at least 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if members < 2:
        raise ValueError(f"an interval needs at least 2 members, got {members}")
    return max(1, int((1 - level) / 2 * (members + 1) + 1e-9))
