"""Beside the scores of filters that learned: did it come to rest, and what needs no filter."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from papers.adda.metrics.learning import errors_of, scores_of_errors


def at_the_end(epochs: int) -> tuple[slice, slice]:
    """Both halves of the last quarter of the epochs, over which errors are averaged.

    Half a quarter has one epoch at least.
    """
    half = max(1, epochs // 8)
    return slice(-2 * half, -half), slice(-half, None)


def change_at_the_end(error: np.ndarray) -> np.ndarray:
    """By which factor, 1 or more, means (...) of errors (..., epoch) `at_the_end` differ.

    NaN where there is but one epoch.
    """
    if error.shape[-1] < 2:
        return np.full(error.shape[:-1], np.nan)
    first, second = (error[..., part].mean(-1) for part in at_the_end(error.shape[-1]))
    return np.maximum(first / second, second / first)


def score_convergence(
    history: xr.Dataset,
    losses: Mapping[str, str],
    trajectories: Mapping[str, int],
    observed: xr.DataArray,
) -> xr.Dataset:
    """Whether a learning came to rest (run, repeat): what happens `at_the_end`.

    loss_change: how far the mean losses of the two halves lie apart, in nats per observed number.
        A variance of the forecast that is wrong by a factor of 1.5 costs
        (1.5 - 1 - ln 1.5) / 2 = 0.05 of them. A squared misfit is taken in units of 2 r first.
    late_restarts: restarts of a trajectory in an epoch of both halves.

    Args:
        history: loss and restarts (run, repeat, epoch).
        losses: by filter, where it is not the likelihood.
        trajectories: by filter, of a repeat.
        observed: (run,), how many numbers are observed at a time.
    """
    epochs = history.sizes["epoch"]
    first, second = at_the_end(epochs)
    loss = history.loss if epochs > 1 else history.loss * np.nan
    change = abs(
        loss.isel(epoch=second).mean("epoch", skipna=False)
        - loss.isel(epoch=first if epochs > 1 else second).mean("epoch", skipna=False)
    )
    names = [str(name) for name in history["filter"].values]
    misfit = xr.DataArray([losses.get(name) == "misfit" for name in names], dims="run")
    restarts = history.restarts.isel(epoch=slice(first.start, None)).mean("epoch")
    return xr.Dataset(
        {
            "loss_change": change / xr.where(misfit, 2 * history.obs_variance, 1.0) / observed,
            "late_restarts": restarts / xr.DataArray([trajectories[n] for n in names], dims="run"),
        }
    ).reset_coords(drop=True)


def score_consistency(analyses: xr.Dataset, observed: xr.DataArray, spinup: int) -> xr.Dataset:
    """innovation_variance (run, repeat): mean of dᵀ S⁻¹ d over test observations, per number.

    It is 1 where the covariances S, and so their determinants, are those of the innovations d.
    """
    late = analyses.misfit.isel(time=slice(spinup, None))
    mean = late.mean(("trajectory", "time"))
    return xr.Dataset({"innovation_variance": mean / observed}).reset_coords(drop=True)


def score_nulls(analyses: xr.Dataset, inputs: Mapping, product: Mapping) -> xr.Dataset:
    """Scores (run, repeat) of estimates that need no filter, `observations_` or `climatology_`.

    climatology: each true component's mean over the test trajectories and times.
    observations: what is observed as it is, the climatology elsewhere.

    They are late_rmse, unobserved_ratio, and rmse_<part> and bias_<part> of `score_filtering`.
    """
    found: dict[tuple, xr.Dataset] = {}
    rows = []
    for i in range(analyses.sizes["run"]):
        one = analyses[["x", "seen"]].isel(run=i)
        key = (float(one.obs_variance), one.seen.values.tobytes())
        if key not in found:
            found[key] = _nulls(one, inputs, product)
        rows.append(found[key])
    return xr.concat(rows, "run", coords="minimal", compat="override")


def _nulls(one: xr.Dataset, inputs: Mapping, product: Mapping) -> xr.Dataset:
    """(repeat,), at the errors of the observations and the components that a run sees."""
    repeats, trajectories = one.sizes["repeat"], one.sizes["trajectory"]
    seeds, times = slice(repeats * trajectories), slice(one.sizes["time"])
    truth, y = inputs["truth"].x, inputs["observations"].y
    if "error" in y.dims:
        y = y.sel(error=float(one.obs_variance) ** 0.5, method="nearest")
    y = y.isel(seed=seeds, time=times).rename(obs="state").reindex(state=one.state.values)
    y = y.transpose("seed", "time", "state").values.reshape(repeats, trajectories, *y.shape[1:])
    y = xr.DataArray(y, dims=("repeat", "trajectory", "time", "state"))
    climate = truth.isel(seed=seeds).mean(("seed", "time")).values
    climate = xr.DataArray(climate, dims="state") + xr.zeros_like(y.fillna(0.0))
    seen = xr.DataArray(one.seen.values > 0, dims=("time", "state"))
    estimates = {
        "observations": xr.where(seen & y.notnull(), y, climate),
        "climatology": climate,
    }
    kept = ["late_rmse", "unobserved_ratio"]
    kept += [f"{score}_{part}" for part in product.get("parts", {}) for score in ("rmse", "bias")]
    scores = {}
    for name, x in estimates.items():
        x = x.transpose("repeat", "trajectory", "time", "state")
        made = scores_of_errors(errors_of(x, truth), seen, product)
        scores |= {f"{name}_{key}": made[key].reset_coords(drop=True) for key in kept}
    return xr.Dataset(scores).assign_coords(repeat=np.arange(repeats))
