"""Whether a learning came to rest, and what estimates score that need no filter."""

import numpy as np
import pytest
import xarray as xr

from papers.adda.metrics.learned import (
    change_at_the_end,
    score_consistency,
    score_convergence,
    score_nulls,
)

RUNS = {"filter": ("run", ["enkf", "var3d_k"]), "obs_variance": ("run", [0.1, 0.1])}


def history(loss, restarts):
    dims = ("run", "repeat", "epoch")
    both = {"loss": (dims, np.array(loss, float)), "restarts": (dims, np.array(restarts))}
    return xr.Dataset(both, RUNS)


FILTERS = ({"var3d_k": "misfit"}, {"enkf": 4, "var3d_k": 4})  # losses and trajectories
OBSERVED = xr.DataArray([3.0, 3.0], dims="run")


def test_a_loss_that_still_falls_is_told_from_one_that_rests_in_nats_per_number():
    falling = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    found = score_convergence(
        history([[falling], [falling]], np.zeros((2, 1, 8), int)), *FILTERS, OBSERVED
    )
    # epoch 8 less 7; the misfit in units of 2 r
    np.testing.assert_allclose(found.loss_change, [[1.0 / 3], [1.0 / 3 / 0.2]])
    resting = score_convergence(
        history(np.full((2, 1, 8), -0.7), np.zeros((2, 1, 8), int)), *FILTERS, OBSERVED
    )
    assert (resting.loss_change == 0).all()


def test_restarts_count_at_the_end_alone_and_by_trajectory():
    restarts = np.zeros((2, 1, 8), int)
    restarts[0, 0] = [90, 80, 70, 60, 50, 40, 2, 6]
    found = score_convergence(history(np.zeros((2, 1, 8)), restarts), *FILTERS, OBSERVED)
    np.testing.assert_allclose(found.late_restarts, [[1.0], [0.0]])


def test_a_transient_before_the_last_quarter_is_forgotten():
    """Losses of 1e4 while covariances find their place, as 3DVar has them on the orbit."""
    loss = np.r_[np.full(28, 1e4), np.full(12, -0.7)]
    found = score_convergence(
        history([[loss], [loss]], np.zeros((2, 1, 40), int)), *FILTERS, OBSERVED
    )
    assert (found.loss_change == 0).all()


def test_a_quarter_whose_loss_is_missing_is_no_rest():
    loss = np.zeros((2, 1, 8))
    loss[0, 0, -1] = np.nan
    found = score_convergence(history(loss, np.zeros((2, 1, 8), int)), *FILTERS, OBSERVED)
    assert np.isnan(found.loss_change[0, 0]) and found.loss_change[1, 0] == 0


def test_the_change_of_an_error_is_a_factor_in_either_direction():
    halved, doubled = np.array([8.0, 4.0, 4.0, 2.0]), np.array([1.0, 1.0, 1.0, 2.0])
    np.testing.assert_allclose(change_at_the_end(np.stack([halved, doubled])), [2.0, 2.0])
    assert np.isnan(change_at_the_end(np.ones((1, 1))))  # one epoch says nothing


def test_covariances_of_the_innovations_have_the_variance_one():
    d = np.random.default_rng(0).normal(size=(1, 2, 4, 500, 3))
    misfit = xr.DataArray((d**2).sum(-1), dims=("run", "repeat", "trajectory", "time"))
    too_large = xr.concat([misfit, misfit / 9], "run")  # S that is nine times too large
    found = score_consistency(xr.Dataset({"misfit": too_large}), OBSERVED, 10)
    np.testing.assert_allclose(found.innovation_variance.mean("repeat"), [1, 1 / 9], rtol=0.05)


@pytest.fixture
def made():
    """Two runs of two repeats of two trajectories; the second sees the first component alone."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(4, 201, 2)) * [1.0, 3.0] + [5.0, -2.0]
    truth = xr.DataArray(truth, dims=("seed", "time", "state"))
    y = truth.values[:, 1:] + 0.1 * rng.normal(size=(4, 200, 2))
    axes = ("run", "repeat", "trajectory", "time", "state")
    analyses = xr.Dataset(
        {
            "x": (axes, np.zeros((2, 2, 2, 200, 2))),
            "seen": (("run", "time", "state"), np.ones((2, 200, 2), np.int8)),
        },
        {"obs_variance": ("run", [0.01, 0.01]), "state": ["a", "b"]},
    )
    analyses.seen[1, :, 1] = 0
    observations = xr.Dataset({"y": (("seed", "time", "obs"), y)}, {"obs": ["a", "b"]})
    inputs = {"truth": xr.Dataset({"x": truth}), "observations": observations}
    return analyses, inputs, {"spinup": 20, "parts": {"hidden": [1]}}


def test_observations_err_by_their_errors_and_the_climatology_by_the_spread(made):
    found = score_nulls(*made)
    np.testing.assert_allclose(found.observations_late_rmse[0], 0.1, rtol=0.1)
    np.testing.assert_allclose(found.climatology_late_rmse, np.sqrt(5.0), rtol=0.1)
    # where nothing is observed the observations are the climatology
    np.testing.assert_allclose(found.observations_rmse_hidden[1], 3.0, rtol=0.1)
    np.testing.assert_allclose(found.observations_unobserved_ratio[1], 30.0, rtol=0.2)


def test_the_errors_are_those_of_the_point(made):
    analyses, inputs, product = made
    inputs["observations"] = xr.concat(
        [inputs["observations"], inputs["observations"] + 10.0], "error"
    ).assign_coords(error=[0.1, 1.0])
    analyses = analyses.assign_coords(obs_variance=("run", [0.01, 1.0]))
    found = score_nulls(analyses, inputs, product)
    assert float(found.observations_late_rmse[0, 0]) < 0.2
    assert float(found.observations_late_rmse[1, 0]) > 5
