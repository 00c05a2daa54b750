"""Score datasets: all methods of a case against its truth, one function for each kind of product.

Values in, values out: each takes `{method: Dataset}` as the stages wrote them and gives one Dataset
with a `method` dimension. A method without a `repeat` dimension (a filter that is not trained) has
the same score in every repeat.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical, pointwise

TRUE_SETS = 5  # W₁ between two true sets varies by a tenth, mostly with the shares of the lobes

Products = Mapping[str, xr.Dataset]
Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)


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


def score_models(histories: Products) -> xr.Dataset:
    """What training did, from the histories that `train` wrote.

    Each history reports on fixed data at every check: training_<q> and held_out_<q> (repeat,
    check, ...) for quantities q, as `negative_elbo` (-ELBO per step of a sequence, in nats).

    Returns for each q: <q>_first and <q>_last on the training data, <q>_fall = first - last,
    <q>_held_out at the end, <q>_held_out_fall, and <q>_gap = held_out - last (model, repeat, ...).
    """
    scores = stack_methods({m: _model_scores(h) for m, h in histories.items()}, "model")
    history = next(iter(histories.values()))
    meanings = {
        "first": "before training",
        "last": "after training",
        "fall": "fall during training of",
        "held_out": "held out, after training",
        "held_out_fall": "held out, fall during training of",
        "gap": "held-out minus training",
    }
    described = {
        f"{q}_{suffix}": (
            history[f"training_{q}"].attrs["units"],
            f"{meaning}: {history[f'training_{q}'].attrs['long_name']}",
        )
        for q in quantities(history)
        for suffix, meaning in meanings.items()
    }
    return describe(scores, **described)


def quantities(history: xr.Dataset) -> list[str]:
    """What a history reports on, training and held out."""
    prefix = "training_"
    reported = [str(name).removeprefix(prefix) for name in history if str(name).startswith(prefix)]
    return [q for q in reported if f"held_out_{q}" in history]


def _model_scores(history: xr.Dataset) -> xr.Dataset:
    scores = {}
    for q in quantities(history):
        training, held_out = history[f"training_{q}"], history[f"held_out_{q}"]
        first, last = training.isel(check=0, drop=True), training.isel(check=-1, drop=True)
        before, end = held_out.isel(check=0, drop=True), held_out.isel(check=-1, drop=True)
        scores |= {
            f"{q}_first": first,
            f"{q}_last": last,
            f"{q}_fall": first - last,
            f"{q}_held_out": end,
            f"{q}_held_out_fall": before - end,
            f"{q}_gap": end - last,
        }
    return xr.Dataset(scores)


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
    median_error, of the error norm; for the free runs w1, sign_changes, clipped; and to compare
    with: w1_floor, the median of w1_floors (set), true sets against true; w1_gaussian (the Gaussian
    with mean and covariance of the climate), true_sign_changes, climatological_std.
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
            true_sign_changes=dynamical.sign_changes(climate.x.isel(state=0, drop=True)).mean(),
        )
    units = x.attrs["units"]
    return describe(
        scores,
        rmse=(units, "root mean square error of the forecast"),
        median_error=(units, "median of the error norm of the forecast"),
        climatological_std=(units, "root mean variance of the truth"),
        w1=(units, "Wasserstein distance of the free run to the truth"),
        w1_floor=(units, "Wasserstein distance of two true sets of the same size"),
        w1_floors=(units, "the same for several true sets, of which the floor is the median"),
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


def score_samples(
    samples: Products,
    training: xr.Dataset,
    reference: xr.Dataset,
    truth: xr.Dataset,
    *,
    far: float,
    generator: np.random.Generator,
) -> xr.Dataset:
    """Whether samples of a generative model lie on the attractor and in the right proportions.

    samples: samples ([point,] repeat, sample, state), points with a coordinate noise_std, the
    noise added to the training states. W₁ is taken to as many states of `truth`, distances to the
    nearest of the many states of `reference`; `training` are the states that the model has seen,
    without noise.

    Returns (method, [point,] repeat): w1; w1_ratio to w1_floor, which is the median of w1_floors
    (set), of several true sets; nearest_median, nearest_95, far_share (distance above `far`);
    lag1, the lag-1 correlation of successive samples averaged over components. Beside these:
    w1_training (method, repeat), of the first point to as many training states; lag1_bound = 2/√n;
    true_nearest_median and true_nearest_95 of `truth` itself; noisy_nearest_median (point), of
    `truth` with the training noise added.
    """
    n = next(iter(samples.values())).sizes["sample"]
    true = thin(truth.x, n)
    scores = stack_methods(
        {m: _sample_scores(s.samples, true, reference.x, far) for m, s in samples.items()}
    )
    floors = distributions.wasserstein(several_samples(reference.x, n, TRUE_SETS), true)
    floor = floors.median()
    held_out = distributions.nearest_distance(true, reference.x)
    seen = thin(training.x, n)
    scores = scores.assign(
        w1_training=stack_methods(
            {m: _first_point(s.samples, seen) for m, s in samples.items()}
        ).w1,
        w1_floor=floor,
        w1_floors=floors,
        w1_ratio=scores.w1 / floor,
        lag1_bound=2 / np.sqrt(n),
        true_nearest_median=held_out.median(),
        true_nearest_95=held_out.quantile(0.95).drop_vars("quantile"),
    )
    if "noise_std" in scores.coords:
        noise = scores.noise_std * xr.DataArray(
            generator.standard_normal(true.shape), true.coords, true.dims
        )
        noisy = distributions.nearest_distance(true + noise, reference.x)
        scores["noisy_nearest_median"] = noisy.median("sample")
    units = reference.x.attrs["units"]
    return describe(
        scores,
        w1=(units, "Wasserstein distance of the samples to the truth"),
        w1_floors=(units, "the same for several true sets, of which the floor is the median"),
        w1_training=(units, "Wasserstein distance of the samples to training states"),
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


def _first_point(samples: xr.DataArray, seen: xr.DataArray) -> xr.Dataset:
    first = samples.isel(point=0, drop=True) if "point" in samples.dims else samples
    return xr.Dataset(
        {"w1": distributions.wasserstein(first.drop_vars("noise_std", errors="ignore"), seen)}
    )


def _sample_scores(
    samples: xr.DataArray, truth: xr.DataArray, reference: xr.DataArray, far: float
) -> xr.Dataset:
    distance = distributions.nearest_distance(samples, reference)
    return xr.Dataset(
        {
            "w1": distributions.wasserstein(samples, truth),
            "nearest_median": distance.median("sample", skipna=False),
            "nearest_95": distance.quantile(0.95, "sample", skipna=False).drop_vars("quantile"),
            "far_share": 1 - (distance <= far).mean("sample"),
            "lag1": dynamical.lag_correlation(samples, "sample").mean("state", skipna=False),
        }
    )


def at_times(x: Labelled, time: xr.DataArray) -> Labelled:
    """`x` at `time`, which may have any dimensions; a time it does not have is an error."""
    try:
        found = x.sel(time=time, method="nearest", tolerance=1e-6)
    except KeyError as error:
        have, want = x.time.values, time.values
        raise ValueError(
            f"there are times {have.min():g} to {have.max():g} in steps of "
            f"{have[1] - have[0]:g}; scoring needs {want.min():g} to {want.max():g}, "
            "and not all of these are among them"
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
        raise ValueError(
            f"{count} states are needed, but there are {every.sizes['sample']}; ask for fewer "
            "(count, points), or give the truth more seeds or samples"
        )
    chosen = np.linspace(0, every.sizes["sample"] - 1, count).round().astype(int)
    return every.isel(sample=chosen)


def halves(truth: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """(seed, time, state) -> every other trajectory, and the rest."""
    if truth.sizes["seed"] < 2:
        raise ValueError("two independent true samples need at least 2 trajectories, got 1")
    return truth.isel(seed=slice(0, None, 2)), truth.isel(seed=slice(1, None, 2))


def several_samples(truth: xr.DataArray, count: int, sets: int) -> xr.DataArray:
    """(seed, time, state) -> (set, count, state): from different trajectories, at most `sets`."""
    seeds, needed = truth.sizes["seed"], -(-count // truth.sizes["time"])
    groups = np.array_split(np.arange(seeds), max(1, min(sets, seeds // needed)))
    return xr.concat([thin(truth.isel(seed=group), count) for group in groups], "set")


def each_repeat(x: xr.DataArray, score: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """`score` of every repeat, or of `x` itself where nothing was repeated."""
    if "repeat" not in x.dims:
        return score(x)
    return xr.concat([score(x.sel(repeat=r)) for r in x.repeat], x.repeat, coords="minimal")


def stack_methods(scores: Mapping[str, xr.Dataset], dim: str = "method") -> xr.Dataset:
    """One dataset with a leading `dim`; what lacks a dimension that others have is repeated."""
    names = next(iter(scores.values())).data_vars
    labels = xr.DataArray(list(scores), dims=dim, name=dim)
    stacked = xr.Dataset(
        {
            name: xr.concat(xr.broadcast(*(s[name] for s in scores.values())), labels, join="exact")
            for name in names
        }
    )
    return stacked.transpose(dim, "point", "repeat", ..., missing_dims="ignore")


def describe(scores: xr.Dataset, **variables: tuple[str, str]) -> xr.Dataset:
    """The dataset with units and long_name on each of the variables that it has."""
    for name, (units, long_name) in variables.items():
        if name in scores:
            scores[name].attrs = {"units": units, "long_name": long_name}
    return scores
