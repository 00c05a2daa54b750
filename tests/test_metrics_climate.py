"""Metrics of long runs: identities, what is known of Lorenz-63, and what a diverged run gets."""

import math

import numpy as np
import pytest
import xarray as xr
from true_runs import lorenz63

from dalib import metrics
from dalib.metrics import Evaluation, climate, distributions, dynamical

STEP = 0.01


def rng(seed=0):
    return np.random.default_rng(seed)


def lorenz(length, cases=20):
    """Twice (case, time, state): independent true runs on the attractor, in pairs."""
    x = lorenz63(2 * cases, length, STEP)
    return x.isel(case=slice(cases)), x.isel(case=slice(cases, None))


def shuffled(x):
    return x.isel(time=rng().permutation(x.sizes["time"]))


def affine(x):
    """Other units for each variable."""
    scale, offset = [2.0, 3.0, 0.1], [5.0, 0.0, 1e3]
    return x * xr.DataArray(scale, dims="state") + xr.DataArray(offset, dims="state")


def cloud(*shape, seed=0, dims=("time", "state")):
    return xr.DataArray(rng(seed).normal(size=shape), dims=dims)


# -- density -------------------------------------------------------------------------------------


def test_a_density_does_not_differ_from_itself():
    x, _ = lorenz(1000)
    np.testing.assert_array_equal(metrics.d_stsp(x, x), 0)
    np.testing.assert_array_equal(metrics.d_stsp(shuffled(x), x), 0)
    assert metrics.d_stsp_mixture(x[0], x[0]).item() == 0


def test_densities_are_compared_in_any_units():
    """Bins follow the box of the truth; a state on the edge of a bin may fall on either side."""
    estimate, truth = lorenz(2000)
    np.testing.assert_allclose(
        metrics.d_stsp(affine(estimate), affine(truth)), metrics.d_stsp(estimate, truth), atol=5e-3
    )
    estimate, truth = estimate[0], truth[0]
    same = metrics.d_stsp_mixture(affine(estimate), affine(truth)).item()
    assert same == pytest.approx(metrics.d_stsp_mixture(estimate, truth).item(), abs=1e-9)


def test_divergence_of_two_histograms_by_hand():
    """Two bins in one dimension: all of the truth is in them, 3 : 1 against 2 : 2."""
    truth = xr.DataArray([[0.0], [0.0], [0.0], [1.0]], dims=("time", "state"))
    estimate = xr.DataArray([[0.0], [0.0], [1.0], [1.0]], dims=("time", "state"))
    found = metrics.d_stsp(estimate, truth, bins=2, alpha=1e-12).item()
    assert found == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-9)


def test_divergence_of_sparse_counts_is_that_of_all_bins():
    estimate, truth = cloud(200, 2, seed=1), cloud(300, 2, seed=2)
    x, y, bins, alpha = truth.values, estimate.values, 7, 1e-2
    ends = list(zip(x.min(0) - 0.1 * x.std(0), x.max(0) + 0.1 * x.std(0), strict=True))
    n, m = (np.histogramdd(z, bins, ends)[0] + alpha for z in (x, y))
    p, q = n / n.sum(), m / m.sum()
    found = metrics.d_stsp(estimate, truth, bins=bins, alpha=alpha).item()
    assert found == pytest.approx((p * np.log(p / q)).sum(), rel=1e-12)


def test_floors_and_anchors_of_lorenz63():
    """Medians of 20 pairs of runs; single pairs scatter by a factor of two."""
    floors = {1000: ((4.0, 6.5), (0.01, 0.025)), 10_000: ((0.3, 0.9), (0.015, 0.05))}
    for length, ends in floors.items():
        estimate, truth = lorenz(length)
        for distance, (low, high) in zip((metrics.d_stsp, metrics.d_h), ends, strict=True):
            assert low < distance(estimate, truth).median() < high
    np.testing.assert_array_equal(
        metrics.d_stsp(shuffled(estimate), truth), metrics.d_stsp(estimate, truth)
    )
    fixed = xr.DataArray([72**0.5, 72**0.5, 27.0], dims="state").broadcast_like(estimate)
    assert metrics.d_stsp(fixed, truth).median().item() == pytest.approx(14, abs=0.3)
    gaussian = truth.mean("time") + truth.std("time") * cloud(10_000, 3)
    assert metrics.d_stsp(gaussian, truth).median().item() == pytest.approx(7.1, abs=0.5)


def test_mixtures_tell_a_shift_from_the_truth_in_many_dimensions():
    """N(0, I) smoothed by N(0, I) and shifted by 2: KL = |shift|² / (2 · 2) = 1."""
    truth, estimate = cloud(5000, 8, seed=3), cloud(5000, 8, seed=4)
    shift = xr.DataArray([2.0] + [0.0] * 7, dims="state")
    assert metrics.d_stsp_mixture(estimate, truth).item() == pytest.approx(0, abs=0.05)
    moved = metrics.d_stsp_mixture(estimate + shift, truth)
    assert moved.item() == pytest.approx(1, abs=0.15)
    with pytest.raises(ValueError, match="up to 5 components are binned, got 8"):
        metrics.d_stsp(estimate, truth)


# -- spectrum ------------------------------------------------------------------------------------


def test_spectra_are_blind_to_a_shift_in_time_and_to_units():
    x, _ = lorenz(5000, cases=2)
    moved = metrics.d_h(x.roll(time=1234), x)
    assert (moved < 1e-6).all()  # the root of the round-off of 1 - 1
    np.testing.assert_allclose(moved**2, 0, atol=1e-12)
    np.testing.assert_allclose(metrics.d_h(affine(x), x) ** 2, 0, atol=1e-12)


def test_spectra_of_shuffled_and_of_constant_series_are_flat():
    estimate, truth = lorenz(10_000)
    assert metrics.d_h(shuffled(estimate), truth).median().item() == pytest.approx(0.87, abs=0.01)
    fixed = xr.DataArray([72**0.5, 72**0.5, 27.0], dims="state").broadcast_like(estimate)
    assert metrics.d_h(fixed, truth).median().item() == pytest.approx(0.87, abs=0.01)


def test_two_sines_far_apart_have_spectra_that_do_not_overlap():
    t = np.arange(4000)
    slow, fast = (xr.DataArray(np.sin(w * t)[:, None], dims=("time", "state")) for w in (0.2, 2.0))
    assert metrics.d_h(slow, fast).item() == pytest.approx(1, abs=0.01)  # both leak a little
    with pytest.raises(ValueError, match="equal lengths are compared, got 2000 and 4000"):
        metrics.d_h(slow[:2000], fast)


# -- dimension -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "components"), [(1, 3), (2, 3)])
def test_a_line_and_a_square_have_their_dimensions(dimension, components):
    points = rng(5).random((5000, dimension)) @ np.eye(dimension, components)
    found = metrics.correlation_dimension(xr.DataArray(points, dims=("time", "state")), 10)
    assert found.item() == pytest.approx(dimension, abs=0.05)


def test_the_dimension_of_lorenz63():
    x = lorenz63(3, 20_000, 0.02)
    of = Evaluation(free_run=x.expand_dims(run=1), climate=x.isel(case=0), interval=0.02)
    found = climate.CorrelationDimension()(of)
    assert found.median().item() == pytest.approx(2.05, abs=0.05)


def test_a_window_leaves_out_neighbours_in_time():
    """A slow straight walk is a line in space, also where its samples lie densely."""
    noisy = cloud(2000, 3, seed=6).cumsum("time")  # Brownian: dimension 2 without the window
    assert metrics.correlation_dimension(noisy, 400) != metrics.correlation_dimension(noisy, 1)
    with pytest.raises(ValueError, match="too few for a Theiler window of 1500: .* 3000 samples"):
        metrics.correlation_dimension(noisy, 1500)
    assert metrics.correlation_dimension(0 * noisy, 1).item() == 0


# -- transport -----------------------------------------------------------------------------------


def test_sliced_distance_of_one_dimension_is_that_of_the_sorted_values():
    a, b = (cloud(50, 1, seed=s, dims=("sample", "state")) for s in (7, 8))
    expected = np.sqrt(((np.sort(a[:, 0]) - np.sort(b[:, 0])) ** 2).mean()) / b.values.std()
    assert metrics.sliced_wasserstein(a, b).item() == pytest.approx(float(expected), rel=1e-12)


def test_sliced_distance_agrees_with_pot_on_the_same_directions():
    import ot

    a, b = (cloud(40, 3, seed=s, dims=("sample", "state")) for s in (9, 10))
    theta = rng(0).normal(size=(3, 200))
    theta /= np.linalg.norm(theta, axis=0)
    std = b.values.std(0)
    expected = ot.sliced_wasserstein_distance(a.values / std, b.values / std, projections=theta)
    assert metrics.sliced_wasserstein(a, b).item() == pytest.approx(expected, rel=1e-10)


def test_sliced_distance_of_sets_that_differ_in_size_counts_each_by_its_weight():
    a = cloud(30, 3, seed=11, dims=("sample", "state"))
    b = cloud(45, 3, seed=12, dims=("sample", "state"))
    three, two = (xr.concat([x] * n, "sample") for x, n in ((a, 3), (b, 2)))
    expected = metrics.sliced_wasserstein(three, two).item()
    assert metrics.sliced_wasserstein(a, b).item() == pytest.approx(expected, rel=1e-10)
    assert metrics.sliced_wasserstein(a, three).item() == pytest.approx(0, abs=1e-7)


def test_sliced_distance_of_a_shift_is_its_mean_length_along_a_direction():
    """E (θ·s)² = |s|² / d."""
    a = cloud(100, 3, seed=13, dims=("sample", "state"))
    a = a / a.std("sample")
    shift = xr.DataArray([3.0, 0, 0], dims="state")
    found = metrics.sliced_wasserstein(a + shift, a, directions=5000)
    assert found.item() == pytest.approx(3 / math.sqrt(3), rel=0.02)


# -- diverged runs -------------------------------------------------------------------------------


def test_a_run_that_diverged_has_the_worst_value():
    run = xr.concat([cloud(200, 3, seed=14), np.nan * cloud(200, 3)], "run").expand_dims(case=1)
    of = Evaluation(free_run=run, climate=cloud(200, 3, seed=15), interval=0.1, period=1.0)
    for metric in (
        climate.DStsp(),
        distributions.Wasserstein(),
        distributions.SlicedWasserstein(),
        distributions.NearestDistance(),
    ):
        assert np.isfinite(metric(of)[0]) and metric(of)[1].item() == np.inf, metric
    assert climate.DH()(of)[1].item() == 1
    assert math.isnan(climate.CorrelationDimension()(of)[1].item())
    assert math.isnan(dynamical.LobeChanges()(of)[1].item())
    assert math.isnan(dynamical.LagCorrelation()(of)[1].item())


def test_a_run_that_diverged_late_keeps_the_density_of_what_was_there():
    run = cloud(200, 3, seed=16).expand_dims(run=1, case=1)
    late = run.where(xr.DataArray(np.arange(200) < 150, dims="time"))
    of = Evaluation(free_run=late, climate=cloud(200, 3, seed=17))
    before = Evaluation(free_run=run.isel(time=slice(150)), climate=of.climate)
    assert climate.DStsp()(of).item() == climate.DStsp()(before).item()
    assert distributions.SlicedWasserstein()(of).item() == np.inf


# -- periods and exponents -----------------------------------------------------------------------


def test_the_mean_period_of_a_sine_is_its_period():
    t = np.arange(1000)
    x = xr.DataArray(np.sin(2 * np.pi * t / 25)[:, None] + 7, dims=("time", "state"))
    assert dynamical.mean_period(x, 0.1) == pytest.approx(2.5)


def test_the_error_of_an_exponent_is_relative():
    of = Evaluation(exponent=xr.DataArray([0.8, np.nan], dims="run"), lyapunov=-1.0)
    values = dynamical.LyapunovError()(of).values
    assert values[0] == pytest.approx(1.8) and math.isnan(values[1])
