"""Metrics of the paper: identities between what goes in and what comes out."""

import numpy as np
import pytest
import xarray as xr

from dalib import io
from dalib.experiments import evaluate
from dalib.experiments.evaluate import Given
from dalib.metrics.base import Evaluation
from dalib.metrics.pointwise import RMSE, Spread
from papers.dkf.metrics import analyses, climate, forecasts, learning, samples
from papers.dkf.metrics.sets import halves, several_samples, thin

UNITS = {"units": "1", "long_name": "x"}


def truth(seeds=4, times=31, interval=0.05, seed=0):
    x = np.random.default_rng(seed).normal(size=(seeds, times, 3))
    return xr.Dataset(
        {"x": (("seed", "time", "state"), x, UNITS)},
        {
            "seed": np.arange(seeds),
            "time": ("time", interval * np.arange(times), UNITS),
            "state": ["x", "y", "z"],
        },
    )


def observations(of, until=None, components=("x", "y", "z"), error=1.0):
    y = of.x.isel(time=slice(1, None)).sel(state=list(components)) + error
    y = y.rename(state="obs").assign_coords(obs=list(components))
    if until is not None:
        y = y.where(y.time < until)
    std = ("obs", np.full(len(components), error), UNITS)
    return xr.Dataset({"y": y, "obs_std": std})


def estimates(of, error):
    """(run = 1, case, time, state), as the stage assimilate writes them."""
    mean = of.x.isel(time=slice(1, None)).rename(seed="case").expand_dims(run=[0]) + error
    moments = {"mean": mean, "std": 0 * mean + 2, "forecast_mean": mean + error}
    return xr.Dataset(moments | {"forecast_std": 0 * mean})


def of_analyses(result, of, observed, discard=0):
    entry = {"data": 0, "observations": 0}
    case = {"assimilate": {"discard": discard}}
    return evaluate.of_analyses(result, case, entry, Given([of], [of], (), [observed]))


def test_a_constant_error_is_its_own_rmse_in_every_trajectory():
    t = truth()
    one = of_analyses(estimates(t, 0.3), t, observations(t), discard=10)
    np.testing.assert_allclose(RMSE()(one), np.full((1, 4), 0.3))
    np.testing.assert_allclose(analyses.ForecastRMSE()(one), 0.6)
    np.testing.assert_allclose(Spread()(one), 2.0)
    np.testing.assert_allclose(analyses.ObservationRMSE()(one), np.ones(4))
    assert (analyses.Diverged()(one) == 0).all()


def test_neither_the_transient_nor_the_unobserved_end_is_scored():
    t = truth()
    a = estimates(t, 0.3)
    for name in a:
        a[name][:, :, :10] = 99.0
        a[name][:, :, 20:] = 99.0
    one = of_analyses(a, t, observations(t, until=1.01), discard=10)
    np.testing.assert_allclose(RMSE()(one), 0.3)
    np.testing.assert_allclose(analyses.ObservationRMSE()(one), 1.0)


def test_what_is_lost_or_not_finite_counts_as_diverged():
    t = truth()
    a = estimates(t, 0.3)
    a["mean"][0, 1, 15, 0] = np.nan
    a["mean"][0, 2] = 50.0
    one = of_analyses(a, t, observations(t))
    assert analyses.Diverged()(one).values.tolist() == [[0, 1, 1, 0]]
    assert np.isinf(RMSE()(one)[0, 1])


def test_an_observation_error_is_that_of_the_components_observed():
    t = truth()
    one = of_analyses(estimates(t, 0.3), t, observations(t, components=["y"], error=2.0))
    np.testing.assert_allclose(analyses.ObservationRMSE()(one), 2.0)
    assert analyses.ObservationError()(one).values.tolist() == [2.0]


def test_a_method_is_scored_on_the_components_that_it_estimates():
    t = truth()
    part = estimates(t, 0.3).sel(state=["z", "x"])
    part["mean"].loc[{"state": "z"}] += 0.4
    one = of_analyses(part, t, observations(t))
    np.testing.assert_allclose(RMSE()(one), np.sqrt((0.3**2 + 0.7**2) / 2))
    assert analyses.Estimated()(one).values.tolist() == [[1, 0, 1]]


def test_discarding_everything_is_refused():
    t = truth()
    with pytest.raises(ValueError, match="discard=30 leaves none of 30 observed times"):
        of_analyses(estimates(t, 0.3), t, observations(t), discard=30)


def test_times_that_the_truth_does_not_have_are_refused():
    t = truth()
    shifted = estimates(t, 0.0)
    shifted = shifted.assign_coords(time=shifted.time + 0.02)
    with pytest.raises(ValueError, match="times"):
        of_analyses(shifted, t, observations(t))


def test_reports_fall_in_training_and_gap_on_validation_data():
    reports = {"train_loss": [[10.0, 1.0]], "valid_loss": [[10.0, 1.5]]}
    errors = ("run", "check", "state"), [[[3.0, 3.0], [1.1, 0.9]]]
    history = xr.Dataset(
        {name: (("run", "check"), values) for name, values in reports.items()}
        | {"train_error_std": errors},
        {"check": [0, 100]},
    )
    std = xr.DataArray([1.0, 1.0], dims="obs", coords={"obs": ["x", "y"]})
    one = Evaluation(history=history, obs_std=std)
    assert learning.Fall("train_loss")(one).values.tolist() == [9.0]
    assert learning.Gap("loss")(one).values.tolist() == [0.5]
    assert learning.Last("valid_loss")(one).values.tolist() == [1.5]
    assert learning.Curve("train_loss")(one).dims == ("run", "check")
    learned = learning.LearnedError()(one)
    assert learned.values.tolist() == [[1.1, 0.9]] and learned.obs.values.tolist() == ["x", "y"]


def forecast_of(of, error, starts=(2, 6), leads=4):
    """An Evaluation of forecasts that err by `error`, made from analyses that err by 1."""
    x, cases = of.x.values, [(s, k) for s in of.seed.values for k in starts]
    ahead = np.array([x[s, k + 1 : k + 1 + leads] for s, k in cases])
    coords = {
        "case": np.arange(len(cases)),
        "trajectory": ("case", [s for s, _ in cases]),
        "lead": ("lead", 0.05 * np.arange(1, leads + 1), UNITS),
        "state": of.state.values,
    }
    true = xr.DataArray(ahead, coords, ("case", "lead", "state"), attrs=UNITS)
    start = true.isel(lead=0, drop=True).copy(data=np.array([x[s, k] for s, k in cases]) + 1)
    return Evaluation(
        estimate=(true + error).expand_dims(run=[0]),
        truth=true.drop_vars("trajectory"),
        start=start.expand_dims(run=[0]),
        step=lambda x: x + 1,
    )


def test_a_constant_error_is_that_of_every_forecast():
    one = forecast_of(truth(), 0.4)
    np.testing.assert_allclose(forecasts.Error("rmse")(one), np.full((1, 4), 0.4))
    np.testing.assert_allclose(forecasts.Error("median")(one), 0.4 * np.sqrt(3))
    each = forecasts.Error("rmse", each=True)(one)
    assert each.dims == ("run", "trajectory", "lead") and each.sizes["trajectory"] == 4
    np.testing.assert_allclose(each, 0.4)
    np.testing.assert_allclose(forecasts.Error("median", each=True)(one), 0.4 * np.sqrt(3))


def test_other_forecasts_go_on_from_where_the_method_starts():
    """A truth that grows by 1: the equations keep the error of the start, persistence adds 1."""
    t = truth()
    t["x"][:] = np.arange(31.0)[:, None]
    one = forecast_of(t, 0.0)
    np.testing.assert_allclose(forecasts.Error("rmse", "equations")(one), 1.0)
    still = forecasts.Error("rmse", "persistence")(one)
    np.testing.assert_allclose(still, np.abs([[0.0, 1.0, 2.0, 3.0]]))


def free_run(of, run):
    reference = of.x.rename(seed="case").drop_vars("time")
    return Evaluation(free_run=run.expand_dims(run=[0]), reference=reference)


def test_a_free_run_that_is_the_truth_has_distance_zero_and_a_stopped_one_too_few_states():
    t = truth(seeds=4)
    run = halves(t.x.rename(seed="case").drop_vars("time"))[0]
    stopped = run.copy()
    stopped[1, 20:] = np.nan
    whole = free_run(t, run)
    assert climate.W1(50)(whole).item() == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(climate.W1(60)(free_run(t, stopped))).all()
    floors = climate.W1Floors(50)(whole)
    assert floors.dims == ("set",) and (floors > 0).all()
    assert climate.W1Gaussian(50)(whole) > 0
    same = climate.LobeChangeRate()(free_run(t, whole.reference))
    np.testing.assert_allclose(same, climate.TrueLobeChangeRate()(whole))


def drawn_from(of, shift=0.0, step=None):
    states = of.x.rename(seed="case").drop_vars("time")
    flat = states.values.reshape(-1, 3)[:60] + shift
    run = xr.DataArray(flat[None, None], dims=("run", "case", "time", "state"))
    run = run.assign_coords(state=of.state.values, run=[0], case=[0])
    return Evaluation(
        free_run=run,
        climate=states,
        training=states,
        reference=states,
        step=step,
        values={samples.NOISE: shift},
    )


def test_samples_that_are_true_states_are_nowhere_far_and_shifted_ones_are():
    t = truth()
    exact, shifted = drawn_from(t), drawn_from(t, 20.0)
    assert samples.FarShare()(exact).item() == 0.0 and samples.FarShare()(shifted).item() == 1.0
    assert samples.Nearest()(exact).item() == 0.0
    assert samples.W1()(shifted) > 5 * samples.W1Floors()(shifted).median()
    assert samples.Lag1Bound()(exact) == pytest.approx(2 / np.sqrt(60))
    assert samples.NoisyNearest()(shifted) > samples.NoisyNearest()(exact)
    assert samples.FarShareGaussian()(exact) == samples.FarShareGaussian()(shifted)


def test_a_sequence_of_samples_is_told_from_a_trajectory():
    """By the true map: a trajectory follows it, and its states in random order do not."""
    map_of = lambda x: (3.9 * x * (1 - x)).round(12)  # noqa: E731  the logistic map, chaotic
    orbit = [np.array([0.3, 0.6])]
    for _ in range(999):
        orbit.append(map_of(orbit[-1]))
    true = xr.DataArray([orbit, orbit], dims=("case", "time", "state"))
    orders = {"orbit": slice(None), "shuffled": np.random.default_rng(0).permutation(1000)}
    found = {}
    for name, order in orders.items():
        run = true.isel(case=[0], time=order).expand_dims(run=[0])
        one = Evaluation(free_run=run, climate=true, step=map_of)
        found[name] = samples.Succession()(one).item()
    assert found["orbit"] == samples.TrueSuccession()(one).item() == 0.0
    assert found["shuffled"] == pytest.approx(1.0, abs=0.1)
    assert abs(samples.TrueLag1()(one)) > samples.Lag1Bound()(one)


def test_too_few_true_states_are_refused():
    x = truth(seeds=1).x.rename(seed="case")
    with pytest.raises(ValueError, match="40 states are needed, but there are 31"):
        thin(x, 40)
    with pytest.raises(ValueError, match="at least 2 trajectories, got 1"):
        halves(x)


def test_true_sets_come_from_different_trajectories():
    x = truth(seeds=6, times=31).x.rename(seed="case")
    sets = several_samples(x, 40, sets=5)
    assert sets.sizes == {"set": 3, "sample": 40, "state": 3}  # 2 trajectories hold 40 states
    flat = sets.values.reshape(-1, 3)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_every_score_can_be_written(tmp_path):
    t = truth()
    of_filter, of_forecast = (
        of_analyses(estimates(t, 0.3), t, observations(t)),
        forecast_of(t, 0.1),
    )
    found = xr.Dataset(
        {
            "rmse": RMSE()(of_filter),
            "forecast_rmse": analyses.ForecastRMSE()(of_filter),
            "obs_rmse": analyses.ObservationRMSE()(of_filter),
            "trajectory_rmse": forecasts.Error("rmse", each=True)(of_forecast),
            "nearest": samples.Nearest()(drawn_from(t)),
        }
    ).drop_vars(["run", "case"], errors="ignore")
    for name in ("trajectory", "lead"):
        found[name].attrs = UNITS
    io.write(found, tmp_path / "scores.nc", title="scores", missing=list(found))
    xr.testing.assert_allclose(io.read(tmp_path / "scores.nc"), found)
