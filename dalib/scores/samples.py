"""Whether samples of a generative model lie on the attractor, in the right proportions."""

import numpy as np
import xarray as xr

from dalib.metrics import distributions, dynamical
from dalib.scores.common import Products, describe, stack_methods
from dalib.scores.sets import TRUE_SETS, several_samples, thin


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
