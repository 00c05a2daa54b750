"""How far forecasts follow the truth, and whether free runs stay on its attractor."""

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical, pointwise
from dalib.scores import Products, at_times, describe, each_repeat, stack_methods
from papers.dkf.metrics.sets import TRUE_SETS, halves, several_samples, thin

LOBE = 1.0  # a state of Lorenz-63 is in a lobe where |x| exceeds this


def score_forecasts(
    forecasts: Products,
    truth: xr.Dataset,
    climate: xr.Dataset,
    *,
    points: int,
    generator: np.random.Generator,
) -> xr.Dataset:
    """How far forecasts follow the truth, and whether free runs stay on its attractor.

    forecasts: forecast ([repeat,] [member,] seed, start, lead, state), of which the mean over
    members is scored, and free_run ([repeat,] chain, time, state) where the method has one, NaN
    from where a chain was stopped. Free runs are compared with `climate`, true trajectories of any
    time, best many: a few have the lobes in wrong proportions. `points` states enter each W₁.

    Returns rmse (method, [repeat,] lead), the root of the mean over seeds, starts and components;
    rms_error and median_error, of the error norm; of each trajectory alone seed_rmse and
    seed_median_error (method, [repeat,] seed, lead); for the free runs w1, lobe_changes, clipped.
    To compare with: w1_floor, the median of w1_floors (set), true sets against true; w1_gaussian
    (the Gaussian with mean and covariance of the climate), true_lobe_changes, shuffled_lobe_changes
    (of true states in random order), climatological_std.
    """
    x = truth.x
    scores = stack_methods({m: _forecast_scores(f, x) for m, f in forecasts.items()})
    scores["climatological_std"] = pointwise.climatological_std(x)
    free = {m: f.free_run for m, f in forecasts.items() if "free_run" in f}
    if free:
        some, others = halves(climate.x)
        true = thin(some, points)
        floors = distributions.wasserstein(several_samples(others, points, TRUE_SETS), true)
        gaussian = distributions.gaussian_like(true, points, generator)
        free_scores = stack_methods({m: _free_run_scores(r, true) for m, r in free.items()})
        scores = scores.merge(free_scores.reindex({"method": scores.method})).assign(
            w1_floor=floors.median(),
            w1_floors=floors,
            w1_gaussian=distributions.wasserstein(gaussian, true),
            true_lobe_changes=_lobe_changes(climate.x).mean(),
            shuffled_lobe_changes=_lobe_changes(_shuffled(true, generator)),
        )
    units = x.attrs["units"]
    return describe(
        scores,
        rmse=(units, "root mean square error of the forecast"),
        rms_error=(units, "root mean square of the error norm of the forecast"),
        median_error=(units, "median of the error norm of the forecast"),
        seed_rmse=(units, "root mean square error of the forecasts of a trajectory"),
        seed_median_error=(units, "median of the error norm of the forecasts of a trajectory"),
        climatological_std=(units, "root mean variance of the truth"),
        w1=(units, "Wasserstein distance of the free run to the truth"),
        w1_floor=(units, "Wasserstein distance of two true sets of the same size"),
        w1_floors=(units, "the same for several true sets, of which the floor is the median"),
        w1_gaussian=(units, "Wasserstein distance of the moment-matched Gaussian to the truth"),
        lobe_changes=("1", "changes of lobe per 1000 steps, free run"),
        true_lobe_changes=("1", "changes of lobe per 1000 steps, truth"),
        shuffled_lobe_changes=("1", "changes of lobe per 1000 true states in random order"),
        clipped=("1", "share of chains that left to infinity"),
    )


def _forecast_scores(forecasts: xr.Dataset, x: xr.DataArray) -> xr.Dataset:
    forecast = forecasts.forecast
    if "member" in forecast.dims:
        forecast = forecast.mean("member", skipna=False)
    target = at_times(x, forecast.start + forecast.lead)
    norm = pointwise.error_norm(forecast, target)
    return xr.Dataset(
        {
            "rmse": pointwise.rmse(forecast, target, ("seed", "start", "state")),
            "rms_error": np.sqrt((norm**2).mean(("seed", "start"), skipna=False)),
            "median_error": norm.median(("seed", "start"), skipna=False),
            "seed_rmse": pointwise.rmse(forecast, target, ("start", "state")),
            "seed_median_error": norm.median("start", skipna=False),
        }
    )


def _free_run_scores(run: xr.DataArray, truth: xr.DataArray) -> xr.Dataset:
    alive = np.isfinite(run).all(("time", "state"))
    return xr.Dataset(
        {
            "w1": each_repeat(run, lambda r: _distance(r, truth)),
            "lobe_changes": _lobe_changes(run).mean("chain"),
            "clipped": 1 - alive.mean("chain"),
        }
    )


def _lobe_changes(x: xr.DataArray) -> xr.DataArray:
    return dynamical.lobe_changes(x.isel(state=0, drop=True), LOBE)


def _shuffled(states: xr.DataArray, generator: np.random.Generator) -> xr.DataArray:
    """(sample, state) -> (time, state): the states one after the other, in random order."""
    order = generator.permutation(states.sizes["sample"])
    return states.isel(sample=order).rename(sample="time")


def _distance(run: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """W₁ of as many states of the run as `truth` has; NaN where stopped chains left too few."""
    if np.isfinite(run).all("state").sum() < truth.sizes["sample"]:
        return xr.DataArray(np.nan)
    return distributions.wasserstein(thin(run, truth.sizes["sample"]), truth)
