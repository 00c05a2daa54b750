"""Score datasets: identities between what goes in and what comes out."""

import numpy as np
import pytest
import xarray as xr

from dalib import io
from papers.dkf.metrics.analyses import score_analyses
from papers.dkf.metrics.forecasts import score_forecasts
from papers.dkf.metrics.models import score_models
from papers.dkf.metrics.samples import score_samples
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


def analyses(of, error, repeats=None):
    mean = of.x.isel(time=slice(1, None)) + error
    if repeats:
        mean = mean.expand_dims(repeat=repeats)
    return xr.Dataset(
        {"mean": mean, "std": 0 * mean + 2, "forecast_mean": mean + error, "forecast_std": 0 * mean}
    )


def test_a_constant_error_is_its_own_rmse_in_every_seed():
    t = truth()
    found = score_analyses({"ekf": analyses(t, 0.3)}, t, observations(t), discard=10)
    np.testing.assert_allclose(found.rmse.sel({"method": "ekf"}), 0.3)
    np.testing.assert_allclose(found.forecast_rmse, 0.6)
    np.testing.assert_allclose(found.spread, 2.0)
    np.testing.assert_allclose(found.obs_rmse, 1.0)
    assert (found.diverged == 0).all()


def test_methods_without_repeats_have_the_same_score_in_each():
    t = truth()
    both = {"ekf": analyses(t, 0.3), "net": analyses(t, 0.1, repeats=2)}
    found = score_analyses(both, t, observations(t), discard=0)
    assert found.rmse.dims == ("method", "repeat", "seed")
    np.testing.assert_allclose(found.rmse.sel({"method": "ekf"}), 0.3)
    np.testing.assert_allclose(found.rmse.sel({"method": "net"}), 0.1)


def test_neither_the_transient_nor_the_unobserved_end_is_scored():
    t = truth()
    a = analyses(t, 0.3)
    for name in a:
        a[name][:, :10] = 99.0
        a[name][:, 20:] = 99.0
    found = score_analyses({"ekf": a}, t, observations(t, until=1.01), discard=10)
    np.testing.assert_allclose(found.rmse, 0.3)


def test_what_is_lost_or_not_finite_counts_as_diverged():
    t = truth()
    a = analyses(t, 0.3)
    a["mean"][1, 15, 0] = np.nan
    a["mean"][2] = 50.0
    found = score_analyses({"ekf": a}, t, observations(t), discard=0)
    assert found.diverged.values.tolist() == [[0, 1, 1, 0]]
    assert np.isnan(found.rmse[0, 1])


def test_an_observation_error_is_that_of_the_components_seen():
    t = truth()
    found = score_analyses(
        {"ekf": analyses(t, 0.3)}, t, observations(t, components=["y"], error=2.0), discard=0
    )
    np.testing.assert_allclose(found.obs_rmse, 2.0)


def test_a_method_is_scored_on_the_components_that_it_estimates():
    t = truth()
    part = analyses(t, 0.3).sel(state=["z", "x"])
    found = score_analyses({"ekf": analyses(t, 0.1), "net": part}, t, observations(t), discard=0)
    np.testing.assert_allclose(found.rmse.sel({"method": "ekf"}), 0.1)
    np.testing.assert_allclose(found.rmse.sel({"method": "net"}), 0.3)
    assert found.estimated.values.tolist() == [[1, 1, 1], [1, 0, 1]]


def test_estimates_of_what_the_state_does_not_have_are_refused():
    t = truth()
    other = analyses(t, 0.3).assign_coords(state=["x", "y", "y0"])
    with pytest.raises(ValueError, match="analyses of x, y, y0 cannot be scored"):
        score_analyses({"net": other}, t, observations(t), discard=0)


def test_discarding_everything_is_refused():
    t = truth()
    with pytest.raises(ValueError, match="discard=30 leaves none of 30 observed times"):
        score_analyses({"ekf": analyses(t, 0.3)}, t, observations(t), discard=30)


def test_times_that_the_truth_does_not_have_are_refused():
    t = truth()
    shifted = analyses(t, 0.0)
    shifted = shifted.assign_coords(time=shifted.time + 0.02)
    with pytest.raises(ValueError, match="times"):
        score_analyses({"ekf": shifted}, t, observations(t), discard=0)


def history(first, last, held_out):
    coords = {"repeat": [0, 1], "check": [0, 100]}
    return xr.Dataset(
        {
            "training_loss": (("repeat", "check"), [[first, last]] * 2, UNITS),
            "held_out_loss": (("repeat", "check"), [[first, held_out]] * 2, UNITS),
            "training_kl": (("repeat", "check"), np.ones((2, 2)), UNITS),
        },
        coords,
    )


def test_models_fall_in_training_and_gap_on_held_out_data():
    found = score_models({"net": history(10.0, 1.0, 1.5)})
    assert (found.loss_fall == 9.0).all() and (found.loss_gap == 0.5).all()
    assert (found.loss_held_out_fall == 8.5).all()
    assert "kl_fall" not in found  # not watched on held-out data


def forecasts(of, error, free_run=None):
    starts, leads = 0.05 * np.array([2, 6]), 0.05 * np.arange(1, 5)
    when = xr.DataArray(starts[:, None] + leads, dims=("start", "lead"))
    value = of.x.sel(time=when, method="nearest").drop_vars("time") + error
    value = value.transpose("seed", "start", "lead", "state")
    value = value.assign_coords(start=("start", starts, UNITS), lead=("lead", leads, UNITS))
    found = xr.Dataset({"forecast": value})
    return found if free_run is None else found.assign(free_run=free_run)


def test_forecasts_are_verified_at_start_plus_lead():
    t = truth()
    found = score_forecasts(
        {"net": forecasts(t, 0.4)}, t, t, points=50, generator=np.random.default_rng(0)
    )
    np.testing.assert_allclose(found.rmse, 0.4)
    np.testing.assert_allclose(found.median_error, 0.4 * np.sqrt(3))
    np.testing.assert_allclose(found.seed_rmse, 0.4)
    assert found.seed_median_error.dims == ("method", "seed", "lead")
    assert "w1" not in found


def test_a_free_run_that_is_the_truth_has_distance_zero_and_stopped_chains_are_counted():
    t = truth(seeds=4)
    run = halves(t.x)[0].rename(seed="chain").drop_vars(("chain", "time"))
    stopped = run.copy()
    stopped[1, 20:] = np.nan
    found = score_forecasts(
        {"a": forecasts(t, 0.0, run), "b": forecasts(t, 0.0, stopped), "c": forecasts(t, 0.0)},
        t,
        t,
        points=50,
        generator=np.random.default_rng(0),
    )
    assert found.method.values.tolist() == ["a", "b", "c"]
    assert found.w1.sel({"method": "a"}).item() == pytest.approx(0.0, abs=1e-12)
    assert found.clipped.values[:2].tolist() == [0.0, 0.5]
    assert np.isnan(found.w1.sel({"method": "c"}))
    assert found.w1_floor > 0


def samples(of, shifts):
    drawn = of.x.stack(sample=("seed", "time")).transpose("sample", "state")[:60]
    drawn = drawn.reset_index("sample", drop=True).drop_vars(("seed", "time"), errors="ignore")
    points = [drawn + shift for shift in shifts]
    noise = xr.DataArray(list(shifts), dims="point", attrs=UNITS)
    stacked = xr.concat(points, "point").expand_dims(repeat=[0]).assign_coords(noise_std=noise)
    return xr.Dataset({"samples": stacked.transpose("point", "repeat", "sample", "state")})


def test_samples_that_are_true_states_are_nowhere_far_and_shifted_ones_are():
    t = truth(seeds=4, times=31)
    found = score_samples(
        {"sde": samples(t, [0.0, 20.0])},
        *(t, t, t),
        step=lambda x: x,
        far=0.4,
        generator=np.random.default_rng(0),
    )
    assert found.far_share.values.ravel().tolist() == [0.0, 1.0]
    assert found.nearest_median[0, 0] == 0.0
    assert found.w1_ratio[0, 1] > 5
    assert found.lag1_bound == pytest.approx(2 / np.sqrt(60))
    assert found.noisy_nearest_median[1] > found.noisy_nearest_median[0]


def test_a_sequence_of_samples_is_told_from_a_trajectory():
    """By the true map: a trajectory follows it, and its states in random order do not."""
    map_of = lambda x: (3.9 * x * (1 - x)).round(12)  # noqa: E731  the logistic map, chaotic
    orbit = [np.array([0.3, 0.6])]
    for _ in range(999):
        orbit.append(map_of(orbit[-1]))
    orbit = np.array(orbit)
    labels = {"seed": [0], "time": np.arange(1000.0), "state": ["x", "y"]}
    t = xr.Dataset({"x": (tuple(labels), orbit[None], UNITS)}, labels)
    several = xr.concat([t.assign_coords(seed=[seed]) for seed in range(2)], "seed")
    found = {}
    for name, order in {
        "orbit": slice(None),
        "shuffled": np.random.default_rng(0).permutation(1000),
    }.items():
        drawn = xr.DataArray(orbit[order], dims=("sample", "state"), coords={"state": ["x", "y"]})
        found[name] = xr.Dataset({"samples": drawn.expand_dims(repeat=[0])})
    scores = score_samples(
        found, *(several,) * 3, step=map_of, far=0.4, generator=np.random.default_rng(0)
    )
    assert scores.succession.sel({"method": "orbit"}).item() == scores.true_succession == 0.0
    assert scores.succession.sel({"method": "shuffled"}).item() == pytest.approx(1.0, abs=0.1)
    assert abs(scores.true_lag1) > scores.lag1_bound


def test_too_few_true_states_are_refused():
    with pytest.raises(ValueError, match="40 states are needed, but there are 31"):
        thin(truth(seeds=1).x, 40)
    with pytest.raises(ValueError, match="at least 2 trajectories, got 1"):
        halves(truth(seeds=1).x)


def test_true_sets_come_from_different_trajectories():
    x = truth(seeds=6, times=31).x
    sets = several_samples(x, 40, sets=5)
    assert sets.sizes == {"set": 3, "sample": 40, "state": 3}  # 2 trajectories hold 40 states
    flat = sets.values.reshape(-1, 3)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_every_score_can_be_written(tmp_path):
    t = truth()
    g = np.random.default_rng(0)
    both = {"ekf": analyses(t, 0.3), "net": analyses(t, 0.1, repeats=[0, 1])}
    run = t.x.isel(seed=slice(2)).rename(seed="chain").drop_vars(("chain", "time"))
    datasets = {
        "analyses": score_analyses(both, t, observations(t), 0).merge(
            score_models({"net": history(10.0, 1.0, 1.5)})
        ),
        "forecasts": score_forecasts(
            {"a": forecasts(t, 0.1, run), "b": forecasts(t, 0.1)}, t, t, points=50, generator=g
        ),
        "samples": score_samples(
            {"sde": samples(t, [0.0, 1.0])}, t, t, t, step=np.sin, far=0.4, generator=g
        ),
    }
    for name, ds in datasets.items():
        io.write(ds, tmp_path / f"{name}.nc", title=name, missing=list(ds))
        xr.testing.assert_allclose(io.read(tmp_path / f"{name}.nc"), ds)
