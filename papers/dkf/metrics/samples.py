"""Whether samples of a generative model lie on the attractor, in the right proportions."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical
from dalib.scores import Products, describe, stack_methods
from papers.dkf.metrics.sets import TRUE_SETS, several_samples, thin


def score_samples(
    samples: Products,
    training: xr.Dataset,
    reference: xr.Dataset,
    truth: xr.Dataset,
    *,
    step: Callable[[np.ndarray], np.ndarray],
    far: float,
    generator: np.random.Generator,
) -> xr.Dataset:
    """Whether samples of a generative model lie on the attractor and in the right proportions.

    samples: samples ([point,] repeat, sample, state), points with a coordinate noise_std, the
    noise added to the training states. W₁ is taken to as many states of `truth`, distances to the
    nearest of the many states of `reference`; `training` are the states that the model has seen,
    without noise. `step` is the true map from one state of a trajectory to the next, (..., state).

    Returns (method, [point,] repeat): w1; w1_ratio to w1_floor, which is the median of w1_floors
    (set), of several true sets; nearest_median, nearest_95, far_share (distance above `far`);
    lag1, the lag-1 correlation of successive samples averaged over components; succession, how far
    a sample lies from the true successor of the one before it (see `_succession`). Beside these:
    w1_training (method, repeat), of the first point to as many training states; lag1_bound = 2/√n;
    w1_gaussian and far_share_gaussian, of the Gaussian with mean and covariance of the true states;
    true_lag1 and true_succession, of successive states of the trajectories of `truth`;
    true_nearest_median and true_nearest_95 of `truth` itself; noisy_nearest_median (point), of
    `truth` with the training noise added.
    """
    n = next(iter(samples.values())).sizes["sample"]
    true = thin(truth.x, n)
    scores = stack_methods(
        {m: _sample_scores(s.samples, true, reference.x, far, step) for m, s in samples.items()}
    )
    floors = distributions.wasserstein(several_samples(reference.x, n, TRUE_SETS), true)
    floor = floors.median()
    gaussian = distributions.gaussian_like(true, n, generator)
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
        w1_gaussian=distributions.wasserstein(gaussian, true),
        far_share_gaussian=_far_share(distributions.nearest_distance(gaussian, reference.x), far),
        true_lag1=dynamical.lag_correlation(truth.x, "time").mean(),
        true_succession=_succession(truth.x, "time", step).mean(),
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
        succession=("1", "distance to the true successor of the sample before, over random pairs"),
        w1_gaussian=(units, "Wasserstein distance of the moment-matched Gaussian to the truth"),
        far_share_gaussian=("1", "the share of that Gaussian that is as far from true states"),
        true_lag1=("1", "lag-1 correlation of the sequence of states of a true trajectory"),
        true_succession=("1", "distance to the true successor in a true trajectory"),
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
    samples: xr.DataArray,
    truth: xr.DataArray,
    reference: xr.DataArray,
    far: float,
    step: Callable[[np.ndarray], np.ndarray],
) -> xr.Dataset:
    distance = distributions.nearest_distance(samples, reference)
    return xr.Dataset(
        {
            "w1": distributions.wasserstein(samples, truth),
            "nearest_median": distance.median("sample", skipna=False),
            "nearest_95": distance.quantile(0.95, "sample", skipna=False).drop_vars("quantile"),
            "far_share": _far_share(distance, far),
            "succession": _succession(samples, "sample", step),
            "lag1": dynamical.lag_correlation(samples, "sample").mean("state", skipna=False),
        }
    )


def _far_share(distance: xr.DataArray, far: float) -> xr.DataArray:
    return 1 - (distance <= far).mean("sample")


def _succession(
    x: xr.DataArray, dim: str, step: Callable[[np.ndarray], np.ndarray]
) -> xr.DataArray:
    """How far x_{k+1} lies from M(x_k), in units of the distance between unrelated states.

        [ Σ_k |x_{k+1} - M(x_k)|² / Σ_k |x_{k+n/2} - M(x_k)|² ]^½

    0 for a trajectory of the true map M, about 1 for a sequence of independent states.
    """
    states = x.transpose(..., dim, "state")
    ahead = step(states.values)
    after, distant = (
        np.roll(states.values, -1, -2),
        np.roll(states.values, -(x.sizes[dim] // 2), -2),
    )
    apart = [((one - ahead)[..., :-1, :] ** 2).sum((-2, -1)) for one in (after, distant)]
    return states.isel({dim: 0, "state": 0}, drop=True).copy(data=np.sqrt(apart[0] / apart[1]))
