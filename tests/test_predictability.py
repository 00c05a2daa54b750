"""Errors and times of forecasts against hand calculation, and on Lorenz-63."""

import math

import numpy as np
import pytest
import xarray as xr
from true_runs import lorenz63

from dalib import metrics
from dalib.metrics import Evaluation, pointwise, predictability

LYAPUNOV, INTERVAL = 0.906, 0.02


def series(values, dims=("run", "case", "lead", "state")):
    values = np.array(values, float)
    return xr.DataArray(values.reshape((1,) * (len(dims) - values.ndim) + values.shape), dims=dims)


def forecasts(estimate, truth, **fields):
    """Of scalar series by hand; the training truth has standard deviation 1 and steps of 2."""
    given = {"training": series([[-1.0], [1.0]], ("time", "state")), "interval": 0.5}
    truth = series(truth, ("case", "lead", "state"))
    return Evaluation(
        estimate=series(estimate), truth=truth, **{**given, "lyapunov": 2.0, **fields}
    )


def lorenz(horizon=600, cases=50):
    """Forecasts of Lorenz-63: the truth, persistence, and the truth of another case."""
    x = lorenz63(cases, horizon + 1, INTERVAL).rename(time="lead")
    truth = x.isel(lead=slice(1, None))
    persistence = x.isel(lead=0).broadcast_like(truth).transpose(*truth.dims)
    estimate = xr.concat([truth, persistence, truth.roll(case=1)], "run")
    return Evaluation(
        estimate=estimate,
        truth=truth,
        training=lorenz63(1, 20_000, INTERVAL, seed=1),
        interval=INTERVAL,
        lyapunov=LYAPUNOV,
    )


def test_vpt_counts_the_steps_before_the_first_error_above_the_threshold():
    """Errors 0.1, 0.3, 0.5, 0.1: two steps of 0.5 model time, two Lyapunov times a unit."""
    found = predictability.VPT(threshold=(0.2, 0.4, 0.5))(
        forecasts([[0.1], [0.3], [0.5], [0.1]], [[0.0]] * 4)
    )
    assert found.dims == ("run", "case", "threshold")
    assert found.threshold.values.tolist() == [0.2, 0.4, 0.5]
    assert found.values.ravel().tolist() == [1.0, 2.0, 4.0]
    censored = predictability.VPTCensored(threshold=(0.2, 0.4, 0.5))
    assert censored(
        forecasts([[0.1], [0.3], [0.5], [0.1]], [[0.0]] * 4)
    ).values.ravel().tolist() == [*(0, 0, 1)]


def test_vpt_of_a_first_step_that_is_wrong_is_0_and_a_nan_is_wrong():
    truth = [[0.0]] * 3
    assert predictability.VPT()(forecasts([[0.5], [0], [0]], truth)).item() == 0
    assert predictability.VPT()(forecasts([[0], [np.nan], [0]], truth)).item() == 1
    assert predictability.VPTCensored()(forecasts([[0], [np.nan], [0]], truth)).item() == 0


def test_vpt_is_in_periods_where_no_exponent_is_positive():
    errors, truth = [[0.1], [0.3], [0.5]], [[0.0]] * 3  # two steps, model time 1
    of = forecasts(errors, truth, lyapunov=0.0, period=4.0)
    assert predictability.VPT()(of).item() == 0.25
    wave = series(math.sqrt(2) * np.sin(2 * np.pi * np.arange(400) / 8)[:, None], ("time", "state"))
    of = forecasts([[0.1], [0.3], [0.5]], truth, lyapunov=-0.1, training=wave)  # period 8 samples
    assert predictability.VPT()(of).item() == pytest.approx(2 / 8)


def test_the_exponent_may_differ_from_run_to_run():
    of = forecasts([[0.1], [0.3], [0.5]], [[0.0]] * 3)
    runs = xr.DataArray([2.0, -1.0], dims="run")
    of = Evaluation(
        estimate=xr.concat([of.estimate.isel(run=0)] * 2, "run"),
        truth=of.truth,
        training=of.training,
        interval=of.interval,
        lyapunov=runs,
        period=4.0,
    )
    assert predictability.VPT()(of).values.ravel().tolist() == [2.0, 0.25]


def test_vpt_on_lorenz63_is_censored_for_the_truth_and_a_twentieth_for_persistence():
    of = lorenz()
    median = predictability.VPT()(of).median("case").values
    assert median[0] == pytest.approx(LYAPUNOV * INTERVAL * 600)
    assert 0.05 <= round(float(median[1]), 2) <= 0.06
    censored = predictability.VPTCensored()(of).values
    assert (censored[0] == 1).all() and (censored[1:] == 0).all()


def test_a_time_says_its_threshold_its_norm_and_its_unit():
    attrs = predictability.VPT(threshold=0.5)(lorenz(10, 2)).attrs
    assert attrs["threshold"] == 0.5 and attrs["per_time"] == LYAPUNOV
    assert "root mean square" in attrs["norm"]


def test_a_variable_that_is_constant_in_training_is_refused():
    constant = series([[1.0], [1.0]], ("time", "state"))
    with pytest.raises(ValueError, match=r"training truth is constant: .* which are \[0.0\]"):
        predictability.VPT()(forecasts([[0.0]], [[0.0]], training=constant))


def test_two_independent_states_are_root_two_apart():
    of = lorenz()
    error = pointwise.NRMSE(over=("case", "lead", "state"))(of)
    assert error.values[0] == 0
    assert error.values[2] == pytest.approx(math.sqrt(2), rel=0.03)
    assert pointwise.NRMSE()(of).dims == ("run", "case", "lead")


def test_nrmse_takes_each_variable_in_its_own_units():
    std = xr.DataArray([1.0, 100.0], dims="state")
    truth = xr.DataArray([0.0, 0.0], dims="state")
    estimate = xr.DataArray([3.0, 400.0], dims="state")
    assert metrics.nrmse(estimate, truth, std).item() == pytest.approx(math.sqrt((9 + 16) / 2))


def test_smape_by_hand():
    """|3-1|/4, 0/0, |−1−1|/2 and a value that is not there: (0.5 + 0 + 1 + 1) / 4 of 200."""
    of = forecasts([[3.0], [0.0], [-1.0], [np.nan]], [[1.0], [0.0], [1.0], [1.0]])
    assert pointwise.SMAPE()(of).item() == pytest.approx(200 * 2.5 / 4)
    assert pointwise.SMAPE(horizon=1)(of).item() == pytest.approx(100)
    assert pointwise.SMAPE()(of).attrs["units"] == "%"
    assert math.isnan(pointwise.SMAPE()(forecasts([[3.0]], [[np.nan]])).item())


def test_mase_by_hand():
    """Mean errors 1 and 30 with steps of 2 and 10: the mean of 0.5 and 3."""
    training = series([[0.0, 0.0], [2.0, 10.0], [0.0, 20.0], [np.nan, 30.0]], ("time", "state"))
    of = Evaluation(
        estimate=series([[1.0, 20.0], [-1.0, 40.0]]),
        truth=series([[0.0, 0.0], [0.0, 0.0]], ("case", "lead", "state")),
        training=training,
    )
    assert pointwise.MASE()(of).item() == pytest.approx((0.5 + 3) / 2)
    assert pointwise.MASE(horizon=1)(of).item() == pytest.approx((0.5 + 2) / 2)


def test_persistence_over_one_step_of_its_own_training_series_has_mase_1():
    x = lorenz63(1, 2000, INTERVAL)
    pairs = {"case": x.isel(time=slice(None, -1)), "lead": x.isel(time=slice(1, None))}
    before, after = (v.isel(case=0, drop=True).rename(time="case") for v in pairs.values())
    of = Evaluation(
        estimate=before.expand_dims(run=1, lead=1), truth=after.expand_dims(lead=1), training=x
    )
    error = pointwise.MASE(over=("case", "lead", "state"))(of)
    assert error.item() == pytest.approx(1, rel=1e-12)


def test_decibels_of_the_mean_square_error_per_component():
    truth = series(np.zeros((2, 4, 3)), ("case", "time", "state"))
    estimate = series(np.full((2, 4, 3), 0.1), ("run", "case", "time", "state"))
    error = pointwise.MSEdB()(Evaluation(estimate=estimate, truth=truth))
    assert error.dims == ("run",) and error.attrs["units"] == "dB"
    assert error.item() == pytest.approx(-20)
    perfect = Evaluation(estimate=0 * estimate, truth=truth)
    assert pointwise.MSEdB()(perfect).item() == -np.inf


def test_what_is_not_finite_is_infinitely_wrong_and_what_is_not_known_is_missing():
    of = forecasts([[0.0], [np.nan]], [[0.0], [0.0]])
    for metric in (pointwise.RMSE(), pointwise.MAE(), pointwise.MSEdB(), pointwise.MASE()):
        assert metric(of).item() == np.inf
    assert pointwise.NRMSE()(of).values.ravel().tolist() == [0.0, np.inf]
    unknown = forecasts([[0.0], [0.0]], [[0.0], [np.nan]])
    assert math.isnan(pointwise.RMSE()(unknown).item())


def test_rmse_over_cases_and_states_is_a_curve_in_lead_time():
    of = forecasts([[3.0], [0.0]], [[0.0], [0.0]])
    error = pointwise.RMSE(over=("case", "state"))(of)
    assert error.dims == ("run", "lead") and error.values.tolist() == [[3.0, 0.0]]


def test_diverged_is_the_share_of_cases_beyond_ten_standard_deviations():
    training = series([[-1.0], [1.0]], ("time", "state"))
    cases = [[[0.0], [9.9]], [[0.0], [10.1]], [[np.nan], [0.0]], [[0.0], [-np.inf]]]
    of = Evaluation(estimate=series(cases), training=training)
    assert predictability.Diverged()(of).values.tolist() == [0.75]
    shifted = Evaluation(estimate=series(cases) + 50, training=training + 50)
    assert predictability.Diverged()(shifted).values.tolist() == [0.75]
