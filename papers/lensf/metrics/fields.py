"""How well filters follow fields: errors over all points, and ensembles at some of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from dalib.metrics.probabilistic import calibrated_coverage, coverage, crps
from dalib.scores import describe

LEVEL = 0.95  # of the central interval
EARLY = 5  # analyses whose mean says how fast a filter finds the truth
NTH = (1, 2, 5, 10)  # analyses that are reported on by themselves, and the last


def score_run(
    run: xr.Dataset,
    truth: xr.DataArray,
    shape: Sequence[int],
    std: np.ndarray,
    *,
    centre: np.ndarray | float = 0.0,
    area: np.ndarray | float = 1.0,
) -> xr.Dataset:
    """Scores of one run, (seed, time) each, some for every variable too.

    Args:
        run: mean, forecast_mean (seed, time, state), spread (seed, time, variable), and
            kept_members (seed, time, member, sampled) where there is an ensemble.
        truth: (seed, time, state), at the same times.
        shape: (variable, x, y) of a state.
        std, centre: (variable,), of the training states; errors are in units of the first, and
            relative to departures from the second.
        area: (x, 1), weights of the points, with mean 1.
    """

    def fields(x: xr.DataArray) -> np.ndarray:
        return x.values.reshape(*x.shape[:-1], *shape).astype(np.float64)

    def squares(values: np.ndarray) -> np.ndarray:
        """(seed, time, variable), weighted means over the points."""
        return (values**2 * area).mean((-2, -1))

    per = np.reshape(std, (-1, 1, 1))
    x = fields(truth)
    size = squares((x - np.reshape(centre, (-1, 1, 1))) / per)
    error = squares((fields(run["mean"]) - x) / per)
    before = squares((fields(run["forecast_mean"]) - x) / per)
    physical = np.sqrt((error * std**2).sum(-1) / (size * std**2).sum(-1))
    axes = ("seed", "time")
    found = {
        "relative_rmse": (axes, np.sqrt(error.mean(-1) / size.mean(-1))),
        "relative_rmse_physical": (axes, physical),
        "variable_relative_rmse": ((*axes, "variable"), np.sqrt(error / size)),
        "forecast_relative_rmse": (axes, np.sqrt(before.mean(-1) / size.mean(-1))),
        "rmse": (axes, np.sqrt(error.mean(-1))),
        "forecast_rmse": (axes, np.sqrt(before.mean(-1))),
        "spread": (axes, np.sqrt((run["spread"].values ** 2).mean(-1))),
    }
    coords = {name: truth[name] for name in axes}
    scores = xr.Dataset(found, coords)
    if "kept_members" in run and run.kept_members.notnull().any():
        scores = scores.merge(_of_members(run, truth, shape, std))
    return scores


def _of_members(
    run: xr.Dataset, truth: xr.DataArray, shape: Sequence[int], std: np.ndarray
) -> xr.Dataset:
    """CRPS and coverage over the components that were kept, and the rank of the truth there.

    calibrated_coverage is what so few members cover of truths that are like them.
    """
    index = run["sampled"].values
    members = run.kept_members.dropna("member", how="all")
    scale = xr.DataArray(std[index // (shape[1] * shape[2])], dims="sampled")
    x = xr.DataArray(truth.values[..., index], dims=("seed", "time", "sampled")) / scale
    E = members.drop_vars(["seed", "time", "sampled", "member"], errors="ignore") / scale
    rank = (x > E).sum("member")
    return xr.Dataset(
        {
            "crps": crps(E, x).mean("sampled"),
            "coverage": coverage(E, x, LEVEL).mean("sampled"),
            "calibrated_coverage": calibrated_coverage(E.sizes["member"], LEVEL),
            "rank": rank.where(E.notnull().all("member")),
        }
    )


def score_runs(scored: Mapping[str, xr.Dataset], discard: int, members: Mapping[str, int]):
    """All runs in one dataset, with means over the times after the first `discard` analyses.

    members: of each run, for its rank histogram.
    """
    most = max(members.values(), default=0) + 1
    parts = []
    for label, one in scored.items():
        late = one.isel(time=slice(discard, None))
        early, times = one.relative_rmse.isel(time=slice(EARLY)), one.sizes["time"]
        nth = [min(n, times) for n in NTH] + [times]
        at = one.relative_rmse.isel(time=[n - 1 for n in nth]).drop_vars("time")
        made = one.drop_vars("rank", errors="ignore").assign(
            mean_relative_rmse=late.relative_rmse.mean("time", skipna=False),
            early_relative_rmse=early.mean("time", skipna=False),
            mean_rmse=late.rmse.mean("time", skipna=False),
            at_analysis=at.rename(time="nth"),
        )
        if "observed_relative_rmse" in one:
            seen = late.observed_relative_rmse.mean("time")  # at the times that have observations
            made["mean_observed_relative_rmse"] = seen
        if "rank" in one:
            counts = np.full(most, np.nan)
            ranks = late["rank"].values
            ranks = ranks[np.isfinite(ranks)].astype(int)
            counts[: members[label] + 1] = np.bincount(ranks, minlength=members[label] + 1)
            made["rank_count"] = ("rank", counts)
        parts.append(made)
    labels = xr.DataArray(list(scored), dims="run", name="run")
    found = xr.concat(parts, labels, data_vars="all", coords="minimal", join="outer")
    found = found.assign_coords(nth=[*map(str, NTH), "last"])
    return described(found)


def described(scores: xr.Dataset) -> xr.Dataset:
    """With units and names."""
    return describe(
        scores,
        relative_rmse=("1", "relative RMSE of the analysis mean"),
        relative_rmse_physical=("1", "relative RMSE of the analysis mean in physical units"),
        variable_relative_rmse=("1", "relative RMSE of the analysis mean, each variable"),
        forecast_relative_rmse=("1", "relative RMSE of the forecast mean"),
        rmse=("1", "RMSE of the analysis mean in standard deviations"),
        forecast_rmse=("1", "RMSE of the forecast mean in standard deviations"),
        spread=("1", "spread of the analysis in standard deviations"),
        crps=("1", "continuous ranked probability score in standard deviations"),
        coverage=("1", "share of truths within the central interval of the members"),
        calibrated_coverage=("1", "that share for truths that are like the members"),
        rank_count=("1", "times that the truth had this rank among the members"),
        mean_relative_rmse=("1", "mean relative RMSE over the late analyses"),
        early_relative_rmse=("1", f"mean relative RMSE over the first {EARLY} analyses"),
        mean_observed_relative_rmse=("1", "mean error of interpolated observations, late"),
        mean_rmse=("1", "mean RMSE over the late analyses in standard deviations"),
        at_analysis=("1", "relative RMSE of the n-th analysis"),
        diverged=("1", "1 where the filter diverged"),
    )
