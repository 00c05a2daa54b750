"""How well filters follow the truth while it is observed."""

import numpy as np
import xarray as xr

from dalib.metrics import pointwise
from dalib.scores import Products, at_times, describe, stack_methods


def score_analyses(
    analyses: Products,
    truth: xr.Dataset,
    observations: xr.Dataset,
    discard: int,
) -> xr.Dataset:
    """How well filters follow the truth while it is observed, but for the first `discard` analyses.

    analyses: mean, std, forecast_mean, forecast_std ([repeat,] seed, time, state), of all or some
    components of the state; truth: x (seed, time, state); observations: y (seed, time, obs).

    Returns rmse, spread, forecast_rmse, forecast_spread (method, [repeat,] seed), the root of the
    mean over time and the components that the method estimates, of which `estimated` (method,
    state) is 1; obs_rmse (seed); climatological_std, the error of knowing
    nothing; diverged: 1 where the RMSE is above half of that, or not finite.
    """
    x, scored = truth.x, scored_times(observations.y, discard)
    scores = stack_methods({m: _analysis_scores(a, x, scored) for m, a in analyses.items()})
    climatological = pointwise.climatological_std(x)
    scores["climatological_std"] = climatological
    scores["diverged"] = (~(scores.rmse < climatological / 2)).astype(float)
    scores["obs_std"] = observations.obs_std
    if set(observations.obs.values) <= set(x.state.values):  # components, not functions of them
        scores["obs_rmse"] = _observation_error(at_times(observations.y, scored), x)
    units = x.attrs["units"]
    return describe(
        scores,
        estimated=("1", "1 where the method estimates the component"),
        rmse=(units, "root mean square error of the analysis"),
        spread=(units, "root mean variance of the analysis"),
        forecast_rmse=(units, "root mean square error of the one-step forecast"),
        forecast_spread=(units, "root mean variance of the one-step forecast"),
        obs_rmse=(units, "root mean square error of the observations"),
        obs_std=(units, "standard deviation of the observation error"),
        climatological_std=(units, "root mean variance of the truth"),
        diverged=("1", "1 where the RMSE exceeds half the climatological deviation"),
    )


def scored_times(y: xr.DataArray, discard: int) -> xr.DataArray:
    """(seed, time, obs) -> times from the first one after `discard` to the last observed one."""
    observed = y.notnull().any([d for d in y.dims if d != "time"])
    last = int(observed.values.nonzero()[0].max(initial=-1))
    if last < discard:
        raise ValueError(f"discard={discard} leaves none of {last + 1} observed times to score")
    return y.time.isel(time=slice(discard, last + 1))


def _observation_error(y: xr.DataArray, x: xr.DataArray) -> xr.DataArray:
    """RMSE of the observations that are there; a missing one is NaN."""
    seen = at_times(x, y.time).sel(state=y.obs).drop_vars("state")
    return np.sqrt(((y - seen) ** 2).mean(("time", "obs")))


def _analysis_scores(analyses: xr.Dataset, x: xr.DataArray, scored: xr.DataArray) -> xr.Dataset:
    estimated = x.state.isin(analyses.state)
    if estimated.sum() < analyses.sizes["state"]:
        raise ValueError(
            f"analyses of {', '.join(analyses.state.values)} cannot be scored: the truth has "
            f"{', '.join(x.state.values)}"
        )
    late, target = at_times(analyses, scored), at_times(x, scored).sel(state=analyses.state)
    return xr.Dataset(
        {
            "estimated": estimated.astype(float),
            "rmse": pointwise.rmse(late["mean"], target),
            "spread": pointwise.spread(late["std"]),
            "forecast_rmse": pointwise.rmse(late.forecast_mean, target),
            "forecast_spread": pointwise.spread(late.forecast_std),
        }
    )
