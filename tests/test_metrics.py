"""Metrics against closed forms and against independent implementations."""

import math

import numpy as np
import pytest
import scoringrules
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import norm

from dalib.metrics import (
    Evaluation,
    distributions,
    dynamical,
    measures,
    pointwise,
    probabilistic,
)

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
    members = xr.DataArray(np.arange(1, 1000) / 1000, dims="member")
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


def test_lobe_changes_of_an_alternating_sequence_are_one_per_step():
    x = xr.DataArray([1.0, -1.0] * 10, dims="time")
    assert dynamical.lobe_changes(x, 0.5).item() == 1000
    assert dynamical.lobe_changes(abs(x), 0.5).item() == 0
    assert dynamical.lobe_changes(x, 1.0).item() == 0


def test_coverage_of_a_calibrated_ensemble_is_what_so_few_members_reach():
    """Truth and members from one distribution, whatever it is; five standard errors."""
    random = rng(7)
    for members, reached in ((2, 1 / 3), (10, 9 / 11), (20, 19 / 21), (39, 0.95), (100, 97 / 101)):
        for draw in (random.normal, random.exponential):
            ensemble = xr.DataArray(draw(size=(20_000, members)), dims=("case", "member"))
            truth = xr.DataArray(draw(size=20_000), dims="case")
            share = probabilistic.coverage(ensemble, truth, 0.95).mean().item()
            assert probabilistic.calibrated_coverage(members, 0.95) == pytest.approx(reached)
            noise = math.sqrt(reached * (1 - reached) / 20_000)
            assert share == pytest.approx(reached, abs=5 * noise)


def test_a_lost_ensemble_covers_nothing():
    members = xr.DataArray([[0.0, 2.0], [0.0, np.nan]], dims=("case", "member"))
    truth = xr.DataArray([1.0, 1.0], dims="case")
    assert probabilistic.coverage(members, truth, 0.95).values.tolist() == [1.0, 0.0]


def test_noise_changes_no_lobes():
    """An orbit that lingers on both sides, with noise on it that changes its sign many times."""
    orbit = xr.DataArray(6 * np.sin(np.linspace(0, 60, 4000)), dims="time")
    noisy = orbit + 0.3 * rng(1).normal(size=orbit.size)
    signs = lambda x: int((np.diff(np.sign(x)) != 0).sum())  # noqa: E731
    assert signs(noisy) > 1.2 * signs(orbit)
    assert dynamical.lobe_changes(noisy, 1.0) == dynamical.lobe_changes(orbit, 1.0)
    assert dynamical.lobe_changes(orbit, 1.0) == pytest.approx(1000 * 19 / 3999)  # 60 / pi


def test_lobe_changes_keep_other_dimensions():
    x = xr.DataArray([[2.0, 0.5, -0.5, -2.0], [2.0, 0.5, -0.5, 2.0]], dims=("chain", "time"))
    assert dynamical.lobe_changes(x, 1.0).values.tolist() == [pytest.approx(1000 / 3), 0.0]


def test_lobe_changes_count_only_steps_that_are_there():
    x = xr.DataArray([1.0, -1.0, -1.0, np.nan, 1.0], dims="time")
    assert dynamical.lobe_changes(x, 0.5).item() == 500


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
    assert measures.Median()(a).value == 2.0
    assert measures.Largest()(a).value == 6.0
    assert measures.Smallest()(a).value == 1.0
    assert measures.Ratio()(a, b).value == 1.0
    assert measures.Difference()(a, b).value == 0.0
    assert measures.LargestDeviation()(a, b).value == 1.0


def test_growth_is_the_smallest_step_of_the_medians():
    values = xr.DataArray([[1.0, 3.0], [2.0, 4.0], [9.0, 9.0]], dims=("point", "repeat"))
    assert measures.Growth()(values).value == 1.0
    assert measures.Growth()(values[::-1]).value == -6.0


def test_deviation_can_leave_out_the_first_points():
    values = xr.DataArray([9.0, 1.1], dims="point")
    reference = xr.DataArray([0.0, 1.0], dims="point")
    assert measures.LargestDeviation(skip=1)(values, reference).value == pytest.approx(0.1)


def sweep(rows):
    """(point, repeat) with the points 1, 2, ..."""
    points = {"point": range(1, len(rows) + 1)}
    return xr.DataArray(np.array(rows, float), dims=("point", "repeat"), coords=points)


def test_medians_are_taken_over_repeats_at_each_point():
    values = sweep([[1, 2, 9], [4, 6, 8]])  # medians 2 and 6
    over = ("repeat",)
    assert measures.Largest(over=over)(values).value == 6.0
    assert measures.Smallest(over=over)(values).value == 2.0
    assert measures.Factor(over=over)(values).value == 3.0
    assert measures.LargestDeviation(over=over)(values, 2 * values + 4).value == 0.75  # 2 / 8


def test_a_lost_repeat_counts_as_the_worst():
    values = sweep([[1, 2, np.nan], [4, np.nan, np.nan]])  # medians 2 and infinity
    assert measures.Smallest(over=("repeat",))(values).value == 2.0
    assert measures.Largest(over=("repeat",))(values).value == np.inf
    assert measures.Largest(over=("repeat",))(sweep([[1, 2, np.nan, np.nan]])).value == np.inf
    assert measures.LargestRatio()(values[:1] * 0 + 3, values[:1]).value == 1.5
    assert math.isnan(measures.LargestRatio()(values, values).value)
    assert measures.LargestRatio()(values[1:].fillna(1.0), values[1:]).value == 0.0


def test_largest_ratio_compares_each_point_with_a_quantile():
    values, start = sweep([[1, 2, 9], [4, 6, 8]]), sweep([[0, 4, 8], [2, 4, 6]])
    assert measures.LargestRatio()(values, start).value == 1.5  # 2 / 4 and 6 / 4
    assert measures.LargestRatio(quantile=0.25)(values, start).value == 2.0  # 2 / 2, 6 / 3


def test_largest_ratio_sets_all_against_all_across_a_dimension():
    values = sweep([[1, 2, 9], [4, 6, 8]])
    across = measures.LargestRatio(across=("point",))
    assert across(values, values).value == 3.0
    assert across(values, values[:1] + 2).value == 1.5  # 6 / 4


def test_mean_ratio_takes_the_mean_of_medians():
    three_and_five, one = sweep([[1, 3, 8], [2, 5, 7]]), sweep([[1, 1, 1]])
    assert measures.MeanRatio()(three_and_five, one).value == 4.0


def test_bands_overlap_where_they_meet():
    values = sweep([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])  # from 1 to 3
    reference = sweep([[2, 2, 2, 2, 2], [3, 3, 3, 3, 3], [3, 4, 5, 6, 7]])  # 2; 3; from 4 to 6
    share = measures.ShareOverlapping(low=0.25, high=0.75)(values, reference)
    assert share.value == pytest.approx(2 / 3)
    assert measures.ShareOverlapping(low=0.25, high=0.75)(reference, values).value == share.value


def test_highest_exceeding_is_the_last_point_above_the_reference():
    values, reference = sweep([[8, 9, 9], [5, 6, 1], [1, 2, 5]]), sweep([[8, 8, 8]] * 3)
    exceeding = measures.HighestExceeding(dim="point", factor=0.5)
    assert exceeding(values, reference).value == 2.0
    assert exceeding(values / 9, reference).value == 0.0
    nowhere = measures.HighestExceeding(dim="point", factor=2.0, nowhere=-1.0)
    assert nowhere(values, reference).value == -1.0


def test_spread_ratio_is_of_medians_along_a_sweep_or_of_repeats():
    a, b = sweep([[1, 2, 4], [2, 6, 8]]), sweep([[1, 1, 2], [1, 2, 2]])
    assert measures.SpreadRatio(along=("point",), over=("repeat",))(a, b).value == 1.5  # 3 / 2
    assert measures.SpreadRatio(along=("repeat",))(a, b).value == 2.0  # 4 and 4; 2 and 2


def test_points_on_a_line_do_not_deviate():
    line = xr.DataArray([5.0, 7.0, 11.0], dims="rank", coords={"rank": [1, 2, 4]})
    assert measures.LinearDeviation(dim="rank")(line).value == pytest.approx(0, abs=1e-12)
    bent = xr.DataArray([0.0, 2.0, 1.0], dims="rank", coords={"rank": [1, 2, 3]})
    deviation = measures.LinearDeviation(dim="rank")(bent)  # the line is 0.5, 1, 1.5
    assert deviation.value == pytest.approx(1.0)
    assert math.isnan(measures.LinearDeviation(dim="rank")(line[:2]).value)


def test_count_leaves_out_what_is_missing():
    assert measures.Count()(xr.DataArray([1.0, np.nan, 3.0], dims="seed")).value == 2.0


def test_a_nan_reaches_the_measured_value():
    assert math.isnan(measures.Median()(xr.DataArray([1.0, np.nan], dims="seed")).value)


def test_ranks_of_a_calibrated_ensemble_are_equally_frequent():
    members = xr.DataArray(rng(8).normal(size=(20_000, 4)), dims=("case", "member"))
    truth = xr.DataArray(rng(9).normal(size=20_000), dims="case")
    counts = probabilistic.rank_counts(members, truth, over=("case",))
    assert counts.dims == ("rank",) and counts.sum() == 20_000
    np.testing.assert_allclose(counts, 4000, atol=5 * math.sqrt(20_000 * 0.2 * 0.8))


def test_ranks_count_the_members_below_the_truth_of_whole_ensembles():
    members = xr.DataArray([[0.0, 1.0], [0.0, 1.0], [np.nan, 1.0]], dims=("case", "member"))
    truth = xr.DataArray([0.5, 2.0, 0.5], dims="case")
    counts = probabilistic.rank_counts(members, truth, over=("case",))
    assert counts.values.tolist() == [0, 1, 1] and counts["rank"].values.tolist() == [0, 1, 2]


def ensembles(members, truth):
    """(case, state, member) and (case, state) of one run and one lead."""
    members = xr.DataArray(np.array(members, float), dims=("case", "state", "member"))
    truth = xr.DataArray(np.array(truth, float), dims=("case", "state"))
    return Evaluation(members=members.expand_dims(run=1, lead=1), truth=truth.expand_dims(lead=1))


def test_the_registered_crps_is_a_mean_and_of_one_member_the_absolute_error():
    of = ensembles([[[0.0, 2.0], [1.0, 1.0]]], [[1.0, 4.0]])
    values = probabilistic.CRPS(over=("lead",))(of)
    assert values.dims == ("run", "case", "state")
    assert values.values.ravel().tolist() == [0.0, 3.0]  # 1 - 1 and 3 - 0
    assert probabilistic.CRPS()(of).item() == 1.5
    assert probabilistic.CRPS()(ensembles([[[3.0]]], [[1.0]])).item() == 2.0


def test_the_registered_crps_of_a_gaussian_ensemble_is_the_closed_form():
    """N(0, 2²) at truths 0.7 and -3 (Gneiting & Raftery 2007, eq. 21), members at the quantiles."""
    n, truths, std = 4000, np.array([0.7, -3.0]), 2.0
    members = std * norm.ppf((np.arange(n) + 0.5) / n)
    z = truths / std
    closed = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    of = ensembles(np.tile(members, (2, 1, 1)), truths[:, None])
    np.testing.assert_allclose(probabilistic.CRPS()(of).values[0], closed, atol=2e-3)


def test_a_lost_member_is_infinitely_wrong_and_an_unknown_truth_is_missing():
    lost = ensembles([[[0.0, np.nan]], [[0.0, 1.0]]], [[0.0], [np.nan]])
    values = probabilistic.CRPS()(lost).values.ravel()
    assert values[0] == np.inf and np.isnan(values[1])
    values = probabilistic.Coverage()(lost).isel(run=0)
    assert values[0].values.tolist() == [0.0, 0.0] and np.isnan(values[1]).all()


def test_coverage_is_compared_with_what_so_few_members_reach():
    of = ensembles(rng(5).normal(size=(50, 400, 9)), rng(6).normal(size=(50, 400)))
    found = probabilistic.Coverage()(of)
    reached = probabilistic.CalibratedCoverage()(of)
    assert found.level.values.tolist() == reached.level.values.tolist() == [0.5, 0.9]
    assert reached.values.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    np.testing.assert_allclose(found.mean("case"), reached, atol=5 * 0.5 / math.sqrt(20_000))
