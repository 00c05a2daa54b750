"""Scores of ensembles as samples of a predicted distribution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib import limits
from dalib.metrics.base import STATE, Evaluation, Metric, infinite, present
from dalib.metrics.pointwise import SERIES, mae


def crps(ensemble: xr.DataArray, truth: xr.DataArray, dim: str = "member") -> xr.DataArray:
    """Fair continuous ranked probability score, in the units of `truth`; 0 is perfect.

        E|X - y| - ½ E|X - X'|

    with X, X' independent draws, estimated without bias from n members (Ferro 2014).
    All other dimensions are kept: average over time, space or trajectories at the call.

    Range: about 0 to infinity (a fair score can fall below 0 by chance); 0 is perfect.
    Source: Gneiting & Raftery 2007; Ferro 2014.
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

        X_(k) ≤ y ≤ X_(n+1-k)

    The interval ends at the k-th smallest and the k-th largest of n members, with the largest k for
    which it holds at least `level` of a calibrated truth, or their whole range if none does: its
    mean is then `calibrated_coverage(n, level)`, whatever the distribution. All other dimensions
    are kept. An ensemble with a NaN covers nothing.

    Range: 0 to 1; `calibrated_coverage` is right.
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

    Range: 0 to 1; the level, where there are enough members.
    """
    return 1 - 2 * _left_out(members, level) / (members + 1)


def _left_out(members: int, level: float) -> int:
    """k: so that 1 - 2k/(n + 1) is `level` or more, and at least 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if members < 2:
        raise ValueError(f"an interval needs at least 2 members, got {members}")
    return max(1, int((1 - level) / 2 * (members + 1) + 1e-9))


def rank_counts(
    ensemble: xr.DataArray, truth: xr.DataArray, dim: str = "member", over: Sequence[str] = ()
) -> xr.DataArray:
    """Rank histogram: how often so many members lie below the truth.

        c_r = #{ cases with #{ i : X_i < y } = r },   r = 0 ... m

    over the dimensions `over`; flat for a calibrated ensemble. Where the truth or a member is not
    there nothing is counted, so that the counts sum to the number of whole ensembles.

    Diverged: dropped; the counts of a run that diverged are 0.
    Range: 0 to the number of cases; equal counts are right.
    Source: Hamill 2001.
    """
    rank = (ensemble < truth).sum(dim)
    there = np.isfinite(ensemble).all(dim) & np.isfinite(truth)
    ranks = xr.DataArray(np.arange(ensemble.sizes[dim] + 1), dims="rank")
    ranks = ranks.assign_coords(rank=ranks)
    each = [((rank == r) & there).sum(over) for r in ranks.values]
    return xr.concat(each, ranks).transpose(..., "rank").astype(float)


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class CRPS(Metric):
    """Mean of `crps` over some dimensions; of a single member, its mean absolute error.

    Attributes:
        over: dimensions over which the mean is taken.
    """

    over: Sequence[str] = SERIES

    asks = frozenset({"members", "truth"})
    function = staticmethod(crps)
    units = STATE
    long_name = "fair continuous ranked probability score"
    scored = "members"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        members, truth, over = evaluation.members, evaluation.truth, self.over
        if members.sizes["member"] == 1:
            point = infinite(members.isel(member=0, drop=True))
            return mae(point, truth, present(over, point))
        score = crps(members, truth).where(members.notnull().all("member"), np.inf)
        return score.where(truth.notnull()).mean(present(over, score), skipna=False)


@dataclass(frozen=True)
class Coverage(Metric):
    """Mean of `coverage` over some dimensions, for the central intervals of some levels.

    Attributes:
        over: dimensions over which the mean is taken.
        levels: of the central intervals, shares between 0 and 1.
    """

    levels: Sequence[float] = (0.5, 0.9)
    over: Sequence[str] = SERIES

    asks = frozenset({"members", "truth"})
    worst = 0.0
    function = staticmethod(coverage)
    long_name = "share of truths within the central interval"
    scored = "members"
    adds = ("level",)

    def __post_init__(self) -> None:
        limits.more_than(0, levels=self.levels)
        limits.less_than(1, levels=self.levels)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        members, truth = evaluation.members, evaluation.truth
        within = xr.concat([coverage(members, truth, level) for level in self.levels], "level")
        within = within.where(truth.notnull()).assign_coords(level=list(self.levels))
        return within.mean(present(self.over, within), skipna=False)


@dataclass(frozen=True)
class CalibratedCoverage(Metric):
    """`calibrated_coverage` of so many members: what `Coverage` should be.

    Attributes:
        levels: of the central intervals, shares between 0 and 1.
    """

    levels: Sequence[float] = (0.5, 0.9)

    asks = frozenset({"members"})
    worst = None
    function = staticmethod(calibrated_coverage)
    long_name = "share of truths that so many calibrated members hold"
    scored = "members"
    over = ("case", *SERIES)
    adds = ("level",)

    def __post_init__(self) -> None:
        limits.more_than(0, levels=self.levels)
        limits.less_than(1, levels=self.levels)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        runs, count = evaluation.members.run, evaluation.members.sizes["member"]
        shares = [calibrated_coverage(count, level) for level in self.levels]
        shares = xr.DataArray(shares, dims="level", coords={"level": list(self.levels)})
        return shares.expand_dims(run=runs)


@dataclass(frozen=True)
class RankCounts(Metric):
    """`rank_counts` over all cases, times and components.

    Attributes:
        over: dimensions over which counts are added up.
    """

    over: Sequence[str] = ("case", *SERIES)

    asks = frozenset({"members", "truth"})
    function = staticmethod(rank_counts)
    worst = 0.0
    long_name = "how often so many members lie below the truth"
    scored = "members"
    adds = ("rank",)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        members, truth = evaluation.members, evaluation.truth
        return rank_counts(members, truth, over=present(self.over, members))
