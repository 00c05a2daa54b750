"""Metrics against closed forms and against independent implementations."""

import math

import numpy as np
import pytest
import scoringrules
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import norm

from dalib.metrics import distributions, dynamical, measures, pointwise, probabilistic

rng = np.random.default_rng


def points(n, size=3, seed=0, scale=1.0):
    return xr.DataArray(scale * rng(seed).normal(size=(n, size)), dims=("sample", "state"))


def test_rmse_takes_the_root_after_the_mean_over_time_and_state():
    truth = xr.DataArray(np.zeros((2, 3, 2)), dims=("seed", "time", "state"))
    estimate = truth + xr.DataArray([3.0, 4.0], dims="state")
    error = pointwise.rmse(estimate, truth)
    assert error.dims == ("seed",)
    np.testing.assert_allclose(error, math.sqrt(12.5))


def test_a_nan_is_never_skipped():
    truth = xr.DataArray(np.zeros((2, 3, 2)), dims=("seed", "time", "state"))
    estimate = truth.copy()
    estimate[1, 2, 0] = np.nan
    error = pointwise.rmse(estimate, truth)
    assert error[0] == 0 and np.isnan(error[1])


def test_rmse_refuses_times_that_differ():
    truth = xr.DataArray(np.zeros(3), dims="time", coords={"time": [0.0, 1.0, 2.0]})
    with pytest.raises(ValueError, match="time"):
        pointwise.rmse(truth.assign_coords(time=[0.0, 1.0, 2.5]), truth, "time")


def test_spread_is_the_root_of_the_mean_variance():
    std = xr.DataArray([[3.0, 4.0]], dims=("time", "state"))
    assert pointwise.spread(std).item() == pytest.approx(math.sqrt(12.5))


def test_climatological_std_is_the_error_of_the_mean_as_a_forecast():
    truth = xr.DataArray(rng(1).normal(size=(4, 50, 3)), dims=("seed", "time", "state"))
    mean = truth.mean(("seed", "time")).broadcast_like(truth)
    error = pointwise.rmse(mean, truth, ("seed", "time", "state"))
    assert pointwise.climatological_std(truth).item() == pytest.approx(error.item())


def test_error_norm_is_euclidean():
    a = xr.DataArray([[3.0, 4.0]], dims=("case", "state"))
    assert pointwise.error_norm(a, 0 * a).item() == 5.0


def test_fair_crps_agrees_with_scoringrules_and_with_its_definition():
    ensemble, y = rng(2).normal(size=(7, 20)), rng(3).normal(size=7)
    ours = probabilistic.crps(
        xr.DataArray(ensemble, dims=("case", "member")), xr.DataArray(y, dims="case")
    )
    np.testing.assert_allclose(ours, scoringrules.crps_ensemble(y, ensemble, estimator="fair"))
    pairs = abs(ensemble[:, :, None] - ensemble[:, None, :]).sum((1, 2)) / (20 * 19)
    np.testing.assert_allclose(ours, abs(ensemble - y[:, None]).mean(1) - pairs / 2)


def test_crps_of_a_large_gaussian_ensemble_tends_to_the_closed_form():
    """Gneiting & Raftery 2007, eq. 21; members at the quantiles, so that nothing is random."""
    n, y = 4000, 0.7
    members = xr.DataArray(norm.ppf((np.arange(n) + 0.5) / n), dims="member")
    closed = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / math.sqrt(math.pi)
    assert probabilistic.crps(members, xr.DataArray(y)).item() == pytest.approx(closed, abs=1e-3)


def test_crps_of_one_member_is_refused():
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        probabilistic.crps(xr.DataArray([[1.0]], dims=("case", "member")), xr.DataArray(0.0))


def test_coverage_of_evenly_spaced_truths_is_the_level():
    members = xr.DataArray(np.linspace(0, 1, 1001), dims="member")
    truth = xr.DataArray((np.arange(2000) + 0.5) / 2000, dims="case")
    for level in (0.5, 0.9):
        assert probabilistic.coverage(members, truth, level).mean().item() == pytest.approx(level)


def test_wasserstein_of_a_shifted_set_is_the_length_of_the_shift():
    a = points(60)
    shift = xr.DataArray([3.0, -4.0, 12.0], dims="state")
    assert distributions.wasserstein(a + shift, a).item() == pytest.approx(13.0, rel=1e-12)
    assert distributions.wasserstein(a, a).item() == pytest.approx(0.0, abs=1e-12)


def test_wasserstein_of_equal_sizes_is_an_assignment_problem():
    a, b = points(80, seed=1), points(80, seed=2, scale=2.0)
    cost = cdist(a, b)
    best = cost[linear_sum_assignment(cost)].mean()
    assert distributions.wasserstein(a, b).item() == pytest.approx(best, rel=1e-12)


def test_wasserstein_takes_sets_of_different_size_and_keeps_other_dimensions():
    a = xr.concat([points(20), points(20) + 5.0], "repeat")
    doubled = xr.concat([points(20), points(20)], "sample")
    distance = distributions.wasserstein(a, doubled)
    assert distance.dims == ("repeat",)
    np.testing.assert_allclose(distance, [0.0, 5 * math.sqrt(3)], atol=1e-12)


def test_wasserstein_of_a_set_with_nan_is_nan():
    a = points(10)
    a[3, 1] = np.nan
    assert np.isnan(distributions.wasserstein(a, points(10)))


def test_gaussian_like_has_the_moments_of_the_truth():
    truth = points(500, scale=3.0) + 7.0
    draws = distributions.gaussian_like(truth, 40_000, rng(0))
    np.testing.assert_allclose(draws.mean("sample"), truth.mean("sample"), atol=0.08)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(truth.T), atol=0.3)


def test_nearest_distance_agrees_with_all_pairs_and_is_zero_on_the_set():
    a, b = points(30, seed=1), points(50, seed=2)
    np.testing.assert_allclose(distributions.nearest_distance(a, b), cdist(a, b).min(1))
    assert (distributions.nearest_distance(b, b) == 0).all()
    a[4, 0] = np.nan
    assert np.isnan(distributions.nearest_distance(a, b)).sum() == 1


def test_sign_changes_of_an_alternating_sequence_are_one_per_step():
    x = xr.DataArray([1.0, -1.0] * 10, dims="time")
    assert dynamical.sign_changes(x).item() == 1000
    assert dynamical.sign_changes(abs(x)).item() == 0


def test_sign_changes_count_only_steps_that_are_there():
    x = xr.DataArray([1.0, -1.0, -1.0, np.nan, 1.0], dims="time")
    assert dynamical.sign_changes(x).item() == 500


def test_lag_correlation_of_an_autoregression_is_its_coefficient():
    x = np.zeros(20_000)
    for t, noise in enumerate(rng(4).normal(size=x.size - 1), start=1):
        x[t] = 0.7 * x[t - 1] + noise
    correlation = dynamical.lag_correlation(xr.DataArray(x, dims="time"))
    assert correlation.item() == pytest.approx(0.7, abs=4 * math.sqrt((1 - 0.49) / x.size))


def test_lag_correlation_of_an_alternating_sequence_is_minus_one():
    x = xr.DataArray([1.0, -1.0] * 500, dims="sample")
    assert dynamical.lag_correlation(x, "sample").item() == pytest.approx(-1, abs=2e-3)
    assert dynamical.lag_correlation(x, "sample", lag=2).item() == pytest.approx(1, abs=3e-3)


def test_lag_must_fit_the_sequence():
    with pytest.raises(ValueError, match="between 1 and 2, got 3"):
        dynamical.lag_correlation(xr.DataArray(np.zeros(3), dims="time"), lag=3)


def test_measures_of_small_arrays():
    a, b = xr.DataArray([1.0, 2.0, 6.0], dims="seed"), xr.DataArray([2.0, 2.0, 3.0], dims="seed")
    assert measures.Median()(a) == (2.0, 1.0, 6.0)
    assert measures.Largest()(a).value == 6.0
    assert measures.Smallest()(a).value == 1.0
    assert measures.Ratio()(a, b) == (1.0, 0.5, 2.0)
    assert measures.Difference()(a, b) == (0.0, -1.0, 3.0)
    assert measures.LargestDeviation()(a, b) == (1.0, 0.0, 1.0)


def test_growth_is_the_smallest_step_of_the_medians():
    values = xr.DataArray([[1.0, 3.0], [2.0, 4.0], [9.0, 9.0]], dims=("point", "repeat"))
    assert measures.Growth()(values) == (1.0, 1.0, 6.0)
    assert measures.Growth()(values[::-1]).value == -6.0


def test_deviation_can_leave_out_the_first_points():
    values = xr.DataArray([9.0, 1.1], dims="point")
    reference = xr.DataArray([0.0, 1.0], dims="point")
    assert measures.LargestDeviation(skip=1)(values, reference).value == pytest.approx(0.1)


def test_a_nan_reaches_the_measured_value():
    assert math.isnan(measures.Median()(xr.DataArray([1.0, np.nan], dims="seed")).value)
