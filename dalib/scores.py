"""Score datasets: all methods of a case against its truth, one function for each kind of product.

Values in, values out: each takes `{method: Dataset}` as the stages wrote them and gives one Dataset
with a `method` dimension. A method without a `repeat` dimension (a filter that is not trained) has
the same score in every repeat.
"""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical, pointwise

Products = Mapping[str, xr.Dataset]


# ------------------------------------------------------------------ analyses
def score_analyses(
    analyses: Products, truth: xr.Dataset, observations: xr.Dataset, discard: int
) -> xr.Dataset:
    """How well filters follow the truth; the first `discard` analyses are a transient, not scored.

    analyses: mean, std, forecast_mean, forecast_std ([repeat,] seed, time, state); truth: x (seed,
    time, state); observations: y (seed, time, obs).

    Returns rmse, spread, forecast_rmse, forecast_spread (method, [repeat,] seed), the root of the
    mean over components and time; obs_rmse (seed); climatological_std, the error of knowing
    nothing; diverged: 1 where the RMSE is above half of that, or not finite.
    """
    x = truth.x
    scores = stack_methods({m: _analysis_scores(a, x, discard) for m, a in analyses.items()})
    climatological = pointwise.climatological_std(x)
    scores["climatological_std"] = climatological
    scores["diverged"] = (~(scores.rmse < climatological / 2)).astype(float)
    seen = observations.y.isel(time=slice(discard, None))
    if set(seen.obs.values) <= set(x.state.values):  # observed components, not a function of them
        target = at_times(x, seen.time).sel(state=seen.obs).drop_vars("state")
        scores["obs_rmse"] = pointwise.rmse(seen, target, ("time", "obs"))
    units = x.attrs["units"]
    return describe(
        scores,
        rmse=(units, "root mean square error of the analysis"),
        spread=(units, "root mean variance of the analysis"),
        forecast_rmse=(units, "root mean square error of the one-step forecast"),
        forecast_spread=(units, "root mean variance of the one-step forecast"),
        obs_rmse=(units, "root mean square error of the observations"),
        climatological_std=(units, "root mean variance of the truth"),
        diverged=("1", "1 where the RMSE exceeds half the climatological deviation"),
    )


def _analysis_scores(analyses: xr.Dataset, x: xr.DataArray, discard: int) -> xr.Dataset:
    late = analyses.isel(time=slice(discard, None))
    if not late.sizes["time"]:
        raise ValueError(f"discard={discard} leaves none of {analyses.sizes['time']} analyses")
    target = at_times(x, late.time)
    return xr.Dataset(
        {
            "rmse": pointwise.rmse(late["mean"], target),
            "spread": pointwise.spread(late["std"]),
            "forecast_rmse": pointwise.rmse(late.forecast_mean, target),
            "forecast_spread": pointwise.spread(late.forecast_std),
        }
    )


# ------------------------------------------------------------------ models
def score_models(histories: Products) -> xr.Dataset:
    """What training did: from the histories of `train` to one row per model and repeat.

    Each history: loss (repeat, step) and held_out (repeat, check), -ELBO per step of a sequence.

    Returns first, last (training), held_out_last, fall = first - last, gap = held_out_last - last.
    """
    scores = stack_methods({m: _model_scores(h) for m, h in histories.items()}, "model")
    units = next(iter(histories.values())).loss.attrs["units"]
    return describe(
        scores,
        first=(units, "training loss at the first step"),
        last=(units, "training loss, mean over the last twentieth of the steps"),
        held_out_last=(units, "held-out loss at the end"),
        fall=(units, "fall of the training loss"),
        gap=(units, "held-out minus training loss at the end"),
    )


def _model_scores(history: xr.Dataset) -> xr.Dataset:
    loss = history.loss
    late = loss.isel(step=slice(-max(1, loss.sizes["step"] // 20), None))
    first, last = loss.isel(step=0, drop=True), late.mean("step", skipna=False)
    held_out = history.held_out.isel(check=-1, drop=True)
    return xr.Dataset(
        {
            "first": first,
            "last": last,
            "held_out_last": held_out,
            "fall": first - last,
            "gap": held_out - last,
        }
    )


# ------------------------------------------------------------------ forecasts
def score_forecasts(
    forecasts: Products,
    truth: xr.Dataset,
    *,
    points: int,
    generator: np.random.Generator,
) -> xr.Dataset:
    """How far forecasts follow the truth, and whether free runs stay on its attractor.

    forecasts: forecast ([repeat,] [member,] seed, start, lead, state), of which the mean over
    members is scored, and free_run ([repeat,] chain, time, state) where the method has one, NaN
    from where a chain was stopped. `points` states enter each Wasserstein distance.

    Returns rmse (method, [repeat,] lead), the root of the mean over seeds, starts and components;
    median_error, of the error norm; for the free runs w1, sign_changes, clipped; and to compare
    with: w1_floor (true against true), w1_gaussian (the Gaussian with the moments of the truth),
    true_sign_changes, climatological_std.
    """
    x = truth.x
    scores = stack_methods({m: _forecast_scores(f, x) for m, f in forecasts.items()})
    scores["climatological_std"] = pointwise.climatological_std(x)
    free = {m: f.free_run for m, f in forecasts.items() if "free_run" in f}
    if free:
        true_a, true_b = two_samples(x, points)
        gaussian = distributions.gaussian_like(true_a, points, generator)
        free_scores = stack_methods({m: _free_run_scores(r, true_a) for m, r in free.items()})
        scores = scores.merge(free_scores.reindex(method=scores.method)).assign(
            w1_floor=distributions.wasserstein(true_a, true_b),
            w1_gaussian=distributions.wasserstein(gaussian, true_a),
            true_sign_changes=dynamical.sign_changes(x.isel(state=0, drop=True)).mean(),
        )
    units = x.attrs["units"]
    return describe(
        scores,
        rmse=(units, "root mean square error of the forecast"),
        median_error=(units, "median of the error norm of the forecast"),
        climatological_std=(units, "root mean variance of the truth"),
        w1=(units, "Wasserstein distance of the free run to the truth"),
        w1_floor=(units, "Wasserstein distance of two true sets of the same size"),
        w1_gaussian=(units, "Wasserstein distance of the moment-matched Gaussian to the truth"),
        sign_changes=("1", "sign changes of the first component per 1000 steps, free run"),
        true_sign_changes=("1", "sign changes of the first component per 1000 steps, truth"),
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
            "median_error": norm.median(("seed", "start"), skipna=False),
        }
    )


def _free_run_scores(run: xr.DataArray, truth: xr.DataArray) -> xr.Dataset:
    alive = np.isfinite(run).all(("time", "state"))
    return xr.Dataset(
        {
            "w1": each_repeat(run, lambda r: _distance(r, truth)),
            "sign_changes": dynamical.sign_changes(run.isel(state=0, drop=True)).mean("chain"),
            "clipped": 1 - alive.mean("chain"),
        }
    )


def _distance(run: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """W₁ of as many states of the run as `truth` has; NaN where stopped chains left too few."""
    if np.isfinite(run).all("state").sum() < truth.sizes["sample"]:
        return xr.DataArray(np.nan)
    return distributions.wasserstein(thin(run, truth.sizes["sample"]), truth)


# ------------------------------------------------------------------ samples
def score_samples(
    samples: Products,
    truth_train: xr.Dataset,
    truth_test: xr.Dataset,
    *,
    far: float,
    generator: np.random.Generator,
) -> xr.Dataset:
    """Whether samples of a generative model lie on the attractor and in the right proportions.

    samples: samples ([point,] repeat, sample, state), points with a coordinate noise_std, the
    noise added to the training states. Distances to the nearest state are taken to `truth_train`;
    `truth_test` is split in two sets as large as the samples, for W₁ and its floor.

    Returns w1, w1_ratio to w1_floor, nearest_median, nearest_95, far_share (distance above `far`),
    lag1, the lag-1 correlation of successive samples averaged over components (method, [point,]
    repeat); true_nearest_median and true_nearest_95 of held-out true states; lag1_bound = 2/√n;
    noisy_nearest_median (point): held-out true states with the training noise added.
    """
    n = next(iter(samples.values())).sizes["sample"]
    true_a, true_b = two_samples(truth_test.x, n)
    scores = stack_methods(
        {m: _sample_scores(s.samples, truth_train.x, true_a, far) for m, s in samples.items()}
    )
    floor = distributions.wasserstein(true_a, true_b)
    held_out = distributions.nearest_distance(true_a, truth_train.x)
    scores = scores.assign(
        w1_floor=floor,
        w1_ratio=scores.w1 / floor,
        lag1_bound=2 / np.sqrt(n),
        true_nearest_median=held_out.median(),
        true_nearest_95=held_out.quantile(0.95).drop_vars("quantile"),
    )
    if "noise_std" in scores.coords:
        noise = scores.noise_std * xr.DataArray(
            generator.standard_normal(true_a.shape), true_a.coords, true_a.dims
        )
        noisy = distributions.nearest_distance(true_a + noise, truth_train.x)
        scores["noisy_nearest_median"] = noisy.median("sample")
    units = truth_train.x.attrs["units"]
    return describe(
        scores,
        w1=(units, "Wasserstein distance of the samples to the truth"),
        w1_floor=(units, "Wasserstein distance of two true sets of the same size"),
        w1_ratio=("1", "Wasserstein distance over that of two true sets"),
        nearest_median=(units, "median distance to the nearest true state"),
        nearest_95=(units, "95 % quantile of the distance to the nearest true state"),
        far_share=("1", f"share of samples farther than {far:g} from a true state"),
        lag1=("1", "lag-1 correlation of the sequence of samples"),
        lag1_bound=("1", "two standard deviations of the lag-1 correlation of white noise"),
        true_nearest_median=(units, "median distance of held-out true states to the nearest"),
        true_nearest_95=(units, "95 % quantile of that distance"),
        noisy_nearest_median=(units, "median distance of noisy true states to the nearest"),
    )


def _sample_scores(
    samples: xr.DataArray, train: xr.DataArray, test: xr.DataArray, far: float
) -> xr.Dataset:
    distance = distributions.nearest_distance(samples, train)
    return xr.Dataset(
        {
            "w1": distributions.wasserstein(samples, test),
            "nearest_median": distance.median("sample", skipna=False),
            "nearest_95": distance.quantile(0.95, "sample", skipna=False).drop_vars("quantile"),
            "far_share": 1 - (distance <= far).mean("sample"),
            "lag1": dynamical.lag_correlation(samples, "sample").mean("state", skipna=False),
        }
    )


# ------------------------------------------------------------------ what they share
def at_times(x: xr.DataArray, time: xr.DataArray) -> xr.DataArray:
    """The truth at `time`, which may have any dimensions; a time it does not have is an error."""
    try:
        found = x.sel(time=time, method="nearest", tolerance=1e-6)
    except KeyError as error:
        have, want = x.time.values, time.values
        raise ValueError(
            f"the truth has times {have.min():g} to {have.max():g} in steps of "
            f"{have[1] - have[0]:g}; scoring needs {want.min():g} to {want.max():g}, "
            f"and not all of these are among them"
        ) from error
    if time.dims == ("time",):
        return found.assign_coords(time=time)  # bitwise those of the estimate
    return found.drop_vars("time")


def states(x: xr.DataArray) -> xr.DataArray:
    """(..., state) -> (sample, state): all finite states of all seeds and times, in order."""
    table = x.transpose(..., "state").values.reshape(-1, x.sizes["state"])
    table = table[np.isfinite(table).all(-1)]
    return xr.DataArray(table, dims=("sample", "state"), coords={"state": x.state})


def thin(x: xr.DataArray, count: int) -> xr.DataArray:
    """(..., state) -> (count, state): states at equal distances in the order of `states`."""
    every = states(x)
    if every.sizes["sample"] < count:
        raise ValueError(f"{count} states are needed, but there are {every.sizes['sample']}")
    chosen = np.linspace(0, every.sizes["sample"] - 1, count).round().astype(int)
    return every.isel(sample=chosen)


def two_samples(truth: xr.DataArray, count: int) -> tuple[xr.DataArray, xr.DataArray]:
    """(seed, time, state) -> twice (count, state): one from each half of the trajectories."""
    half = truth.sizes["seed"] // 2
    if half == 0:
        raise ValueError("two independent true samples need at least 2 trajectories, got 1")
    first, second = truth.isel(seed=slice(half)), truth.isel(seed=slice(half, None))
    return thin(first, count), thin(second, count)


def each_repeat(x: xr.DataArray, score: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """`score` of every repeat, or of `x` itself where nothing was repeated."""
    if "repeat" not in x.dims:
        return score(x)
    return xr.concat([score(x.sel(repeat=r)) for r in x.repeat], x.repeat, coords="minimal")


def stack_methods(scores: Mapping[str, xr.Dataset], dim: str = "method") -> xr.Dataset:
    """One dataset with a leading `dim`; what lacks a dimension that others have is repeated."""
    names = next(iter(scores.values())).data_vars
    labels = xr.DataArray(list(scores), dims=dim, name=dim)
    return xr.Dataset(
        {
            name: xr.concat(xr.broadcast(*(s[name] for s in scores.values())), labels, join="exact")
            for name in names
        }
    )


def describe(scores: xr.Dataset, **variables: tuple[str, str]) -> xr.Dataset:
    """The dataset with units and long_name on each of the variables that it has."""
    for name, (units, long_name) in variables.items():
        if name in scores:
            scores[name].attrs = {"units": units, "long_name": long_name}
    return scores
