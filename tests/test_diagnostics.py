"""Diagnostics against what is known exactly of calibrated and of wrong ensembles."""

import numpy as np
import pytest
import xarray as xr

from dalib import diagnostics as d
from dalib.diagnostics import plots
from dalib.metrics import crps

TIMES, SIZE, N = 4000, 3, 12
UNITS = {"units": "m", "long_name": "height"}


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def state(values):
    return xr.DataArray(values, dims=("time", "state"), attrs=UNITS)


def members(values):
    return xr.DataArray(values, dims=("time", "member", "state"), attrs=UNITS)


def calibrated(factor=1.0, times=TIMES):
    """Truth and members are draws of one distribution, its centre and width vary."""
    centre, width = drawn(times, 1, SIZE, seed=1), 0.5 + drawn(times, 1, SIZE, seed=2) ** 2
    E = centre + factor * width * drawn(times, N, SIZE, seed=3)
    truth = (centre + width * drawn(times, 1, SIZE, seed=4))[:, 0]
    return members(E), state(truth)


def ar1(a, n, count, seed=0):
    noise = drawn(count, n + 200, seed=seed)
    x = np.zeros_like(noise)
    for k in range(1, noise.shape[1]):
        x[:, k] = a * x[:, k - 1] + noise[:, k]
    return xr.DataArray(x[:, 200:], dims=("case", "time"), attrs=UNITS)


def kalman(bias=0.0, spread=1.0, times=40_000):
    """Innovations and residuals of an optimal gain, with correlated R and P."""
    A, B = drawn(SIZE, SIZE, seed=5), drawn(SIZE, SIZE, seed=6)
    R, P = A @ A.T + np.eye(SIZE), B @ B.T + np.eye(SIZE)
    S = R + P
    inn = drawn(times, SIZE, seed=7) @ np.linalg.cholesky(S).T + bias
    residual = inn @ np.linalg.solve(S, R)
    named = [xr.DataArray(v, dims=("time", "obs"), attrs=UNITS) for v in (inn, residual)]
    std = xr.DataArray(spread * np.sqrt(S.diagonal()), dims="obs").expand_dims(time=times)
    return *named, std, R, P


# -- innovations -------------------------------------------------------------------------------


def test_innovations_of_an_optimal_filter_are_white_and_of_the_right_size():
    inn, _, std, *_ = kalman()
    found = d.innovation_statistics(inn, std)
    assert (abs(found["mean"]) < 3 * found.mean_error).all()
    assert (abs(found.chi_square - 1) < 4 * found.chi_square_error).all()
    assert (abs(found.lag_correlation) < 0.02).all()
    np.testing.assert_allclose(found["std"], found.expected_std, rtol=0.02)


def test_bias_and_wrong_spread_are_seen():
    inn, _, std, *_ = kalman(bias=0.3, spread=0.5)
    found = d.innovation_statistics(inn, std)
    assert (found["mean"] > 10 * found.mean_error).all()
    assert (found.chi_square > 3.9).all()


def test_missing_innovations_are_left_out():
    inn, _, std, *_ = kalman(times=400)
    whole = d.innovation_statistics(inn.isel(time=slice(200)), std.isel(time=slice(200)))
    holes = inn.where(inn.time < 200) if "time" in inn.coords else inn.copy()
    holes[200:] = np.nan
    found = d.innovation_statistics(holes, std)
    for name in ("mean", "std", "chi_square", "expected_std"):
        np.testing.assert_allclose(found[name], whole[name])


def test_desroziers_gives_the_covariances_of_an_optimal_gain():
    inn, residual, _, R, P = kalman()
    found = d.desroziers(inn, residual)
    np.testing.assert_allclose(found.obs_cov, R, atol=0.1)
    np.testing.assert_allclose(found.forecast_cov, P, atol=0.12)
    K = P @ np.linalg.inv(R + P)
    np.testing.assert_allclose(found.analysis_cov, P - K @ P, atol=0.1)
    np.testing.assert_allclose(found.obs_std, np.sqrt(R.diagonal()), rtol=0.03)
    total = (inn.values.T @ inn.values) / len(inn)
    np.testing.assert_allclose(found.obs_cov + found.forecast_cov, total, rtol=1e-10)
    assert found.obs_cov.attrs["units"] == "(m)2"


# -- ensembles ---------------------------------------------------------------------------------


def test_spread_equals_error_for_a_calibrated_ensemble_however_small():
    E, truth = calibrated()
    for count in (2, 3, 12):
        found = d.spread_skill(E.isel(member=slice(count)), truth, bins=4)
        assert float(found.ratio) == pytest.approx(1, abs=0.06)
    for name in ("spread", "error"):  # classes of equal size
        whole = (found[f"binned_{name}"] ** 2).mean("bin") ** 0.5
        assert float(whole) == pytest.approx(float(found[name]), rel=1e-12)
    assert (found.binned_error.diff("bin") > 0).all()
    assert float(d.spread_skill(*calibrated(0.5)).ratio) < 0.6


def test_ranks_of_a_calibrated_ensemble_are_uniform():
    E, truth = calibrated()
    found = d.rank_histogram(E, truth)
    assert float(found.counts.sum()) == TIMES * SIZE
    assert float(found.expected) == pytest.approx(TIMES * SIZE / (N + 1))
    assert 0.001 < float(found.p_value) < 0.999
    assert float(d.rank_histogram(*calibrated(0.7)).p_value) < 1e-20


def test_p_values_of_calibrated_ensembles_are_uniform():
    """The χ² distribution of N degrees of freedom, by the quartiles of 400 of them."""
    E = xr.DataArray(drawn(400, 200, 5, seed=8), dims=("case", "time", "member"))
    truth = xr.DataArray(drawn(400, 200, seed=9), dims=("case", "time"))
    p = d.rank_histogram(E, truth, over=("time",)).p_value
    np.testing.assert_allclose(np.quantile(p, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.07)


def test_the_parts_of_the_brier_score_add_up():
    E, truth = calibrated(0.6)
    found = d.reliability(E, truth, 0.5)
    p = (E > 0.5).mean("member")
    brier = ((p - (truth > 0.5)) ** 2).mean()
    assert float(found.brier_score) == pytest.approx(float(brier), rel=1e-12)
    assert float(found.cases.sum()) == TIMES * SIZE
    sharp = d.reliability(*calibrated(), 0.5)
    assert float(sharp.reliability) < float(found.reliability) / 3


# -- scores ------------------------------------------------------------------------------------


def test_the_parts_of_the_crps_add_up():
    E, truth = calibrated(0.6)
    found = d.crps_decomposition(E, truth)
    gap = abs(E - truth).mean("member")
    pairs = abs(E - E.rename(member="other")).mean(("member", "other"))
    assert float(found.crps) == pytest.approx(float((gap - pairs / 2).mean()), rel=1e-12)
    assert float(found.reliability + found.potential) == pytest.approx(float(found.crps), rel=1e-12)
    y = truth.values.ravel()[:300]
    few = d.crps_decomposition(E.isel(time=slice(100)), truth.isel(time=slice(100)))
    clim = abs(y[:, None] - y).mean() - abs(y[:, None] - y).mean() / 2
    assert float(few.uncertainty) == pytest.approx(clim, rel=1e-12)
    assert float(few.resolution + few.potential) == pytest.approx(clim, rel=1e-12)


def test_a_climatological_ensemble_has_no_resolution_and_is_reliable():
    E, truth = members(drawn(20_000, 40, 1, seed=10)), state(drawn(20_000, 1, seed=11))
    found = d.crps_decomposition(E, truth)
    assert abs(float(found.resolution)) < 0.02 and float(found.reliability) < 0.002
    assert float(found.uncertainty) == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)


def test_the_energy_score_of_one_component_is_the_crps():
    E, truth = calibrated(times=50)
    found = d.energy_score(E.isel(state=[0]), truth.isel(state=[0]))
    np.testing.assert_allclose(found, crps(E, truth).isel(state=0), atol=1e-12)


def test_the_energy_score_is_that_of_all_pairs_and_fair():
    E, truth = calibrated(times=20)
    norm = lambda x: np.sqrt((x**2).sum("state"))  # noqa: E731
    pairs = norm(E - E.rename(member="other")).sum(("member", "other")) / (N * (N - 1))
    expected = norm(E - truth).mean("member") - pairs / 2
    np.testing.assert_allclose(d.energy_score(E, truth), expected, atol=1e-12)
    E, truth = members(drawn(40_000, 4, 2, seed=12)), state(drawn(40_000, 2, seed=13))
    few, more = d.energy_score(E.isel(member=slice(2)), truth), d.energy_score(E, truth)
    assert float(few.mean()) == pytest.approx(float(more.mean()), abs=0.02)
    assert float(more.mean()) == pytest.approx(np.sqrt(np.pi) / 2, abs=0.02)  # E|X-y| / 2


def test_the_log_score_of_the_right_distribution_is_its_entropy():
    truth, zero = state(2 * drawn(40_000, 1)), state(np.zeros((40_000, 1)))
    right, wrong = (d.log_score(zero, xr.full_like(zero, s), truth).mean() for s in (2.0, 1.0))
    assert float(right) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 4), abs=0.02)
    assert float(wrong) > float(right)


# -- along time --------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_an_autoregressive_process_has_its_correlation_and_its_sample_size(a):
    x = ar1(a, 20_000, 40)
    ρ = d.error_autocorrelation(x, 5, over=("case",))
    np.testing.assert_allclose(ρ, a ** np.arange(6), atol=0.04)
    size = d.effective_sample_size(x, over=("case",))
    assert float(size) == pytest.approx(800_000 * (1 - a) / (1 + a), rel=0.1)


def test_autocorrelation_is_that_of_the_sums():
    x = ar1(0.7, 50, 1).isel(case=0)
    e = x.values - x.values.mean()
    expected = [(e[: 50 - k] * e[k:]).sum() / (e**2).sum() for k in range(4)]
    np.testing.assert_allclose(d.error_autocorrelation(x, 3), expected, atol=1e-12)


def test_the_standard_error_is_how_means_scatter():
    x = ar1(0.8, 1000, 500, seed=3)
    found = d.mean_with_error(x)
    assert float(found["mean"].std()) == pytest.approx(float(found["error"].mean()), rel=0.15)
    within = abs(found["mean"]) < 2 * found["error"]
    assert 0.90 < float(within.mean()) < 0.98


def test_a_series_that_does_not_vary_has_no_error():
    still = xr.DataArray(np.ones(10), dims="time", attrs=UNITS)
    found = d.mean_with_error(still)
    assert float(found["error"]) == 0 and float(found.effective_sample_size) == 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda E, y: d.spread_skill(E.isel(member=[0]), y), "at least 2 members, got 1"),
        (lambda E, y: d.energy_score(E.isel(member=[0]), y), "at least 2 members, got 1"),
        (lambda E, y: d.effective_sample_size(y.isel(time=slice(3))), "at least 4 values, got 3"),
        (lambda E, y: d.error_autocorrelation(y, TIMES), "a series of 4000 values"),
    ],
)
def test_too_few_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(*calibrated())


# -- plots -------------------------------------------------------------------------------------


def figures() -> dict:
    E, truth = calibrated(0.8)
    inn, residual, std, *_ = kalman(times=2000)
    inn, residual = (v.assign_coords(obs=["u", "v", "w"]) for v in (inn, residual))
    rmse = ar1(0.9, 1000, 1).isel(case=0) * 0.05 + 1
    rmse = rmse.assign_attrs(units="m", long_name="RMSE").assign_coords(time=np.arange(1000) * 0.1)
    scores = d.energy_score(E, truth).isel(time=slice(300)).assign_coords(time=np.arange(300))
    groups = d.crps_decomposition(E, truth, over=("time",)).assign_coords(state=["x", "y", "z"])
    return {
        "innovation_statistics": lambda: plots.plot_innovation_statistics(
            d.innovation_statistics(inn, std)
        ),
        "desroziers": lambda: plots.plot_desroziers(d.desroziers(inn, residual)),
        "spread_skill": lambda: plots.plot_spread_skill(d.spread_skill(E, truth)),
        "rank_histogram": lambda: plots.plot_rank_histogram(d.rank_histogram(E, truth)),
        "reliability": lambda: plots.plot_reliability(d.reliability(E, truth, 0.5)),
        "crps_decomposition": lambda: plots.plot_crps_decomposition(groups),
        "scores": lambda: plots.plot_scores(scores),
        "error_autocorrelation": lambda: plots.plot_error_autocorrelation(
            d.error_autocorrelation(ar1(0.9, 2000, 8), 40)
        ),
        "mean_with_error": lambda: plots.plot_mean_with_error(rmse, d.mean_with_error(rmse)),
    }


@pytest.mark.parametrize("name", figures())
def test_every_diagnostic_can_be_drawn(name, tmp_path):
    drawn = figures()[name]()
    assert len(drawn.axes) == 1 and drawn.axes[0].has_data()
    drawn.savefig(tmp_path / f"{name}.png")
    assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_a_panel_refuses_what_it_cannot_show():
    E, truth = calibrated(times=50)
    with pytest.raises(ValueError, match="found.isel\\(state=0\\)"):
        plots.plot_rank_histogram(d.rank_histogram(E, truth, over=("time",)))
