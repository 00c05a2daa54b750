"""The work of the stages of a study, from data to scores, in one small case."""

import itertools

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import arrays, io
from dalib.experiments import data, evaluate, fit, forecast, runs
from dalib.experiments.spec import Forecasts
from pipeline.claims import inputs

CASE = {
    "system": {"kind": "lorenz63", "sigma": 10.0, "rho": 28.0, "beta": 8 / 3},
    "integrator": {"kind": "rk4", "dt": 0.02, "steps": 1},
    "truth": {
        "start": {"mean": [0.0, 1.0, 25.0], "std": 1.0},
        "spinup": 2.0,
        "model_noise_std": 0.0,
        "train": {"seeds": 1, "samples": 300},
        "valid": {"seeds": 1, "samples": 100},
        "test": {"seeds": 2, "samples": 200},
    },
    "observations": {"operator": {"kind": "identity"}, "obs_std_relative": 0.0},
    "forecast": {"context": 30, "horizon": 20, "starts": 3, "climate": 100, "discard": 10},
}
METHODS = {
    "persistence": {"kind": "persistence"},
    "nvar": {"kind": "nvar", "delays": 1, "degree": 2},
    "esn": {"kind": "esn", "units": 20, "washout": 10},
    "lstm": {"kind": "lstm", "steps": 4, "units": 5, "window": 20, "check_every": 2},
    "equations": {"kind": "equations"},
}
LEARNED = ("nvar", "esn", "lstm")
STD = "observations.obs_std_relative"
METRICS = {name: {"kind": name} for name in ("vpt", "nrmse", "crps", "d_stsp")}


@pytest.fixture(scope="module")
def observed():
    """(truth, observations at two sizes of their error)."""
    truth = data.truths(CASE, "lab")
    return truth, [
        data.observations(runs.case_at(CASE, {STD: std}), truth, "lab") for std in (0.0, 0.1)
    ]


def entries(method, replicates=2):
    """Runs of a method at both sizes in some replicates, as a spec has them."""
    return [
        {"method": method, "coordinates": {STD: std}, "values": {STD: std}, "replicate": replicate}
        | {"data": place, "is_base": std == 0.0}
        | ({"fit": f"{method} {std} {replicate}"} if method in LEARNED else {})
        for place, std in enumerate((0.0, 0.1))
        for replicate in range(replicates)
    ]


def fitted(method, observed, chosen):
    train, valid = ([parts[name] for parts in observed[1]] for name in ("train", "valid"))
    return fit.fits("forecaster", METHODS[method], CASE, chosen, train, valid, "lab")


def forecasts(method, observed, chosen, fits):
    context = [parts["test"] for parts in observed[1]]
    return forecast.forecasts("forecaster", METHODS[method], CASE, chosen, context, fits, "lab")


def test_the_relative_error_is_a_share_of_the_spread_of_training_states(observed):
    truth, (exact, noisy) = observed
    x = truth["test"].x.isel(time=slice(1, None)).values
    assert np.array_equal(exact["test"].y.values, x)
    std = truth["train"].x.values.std((0, 1), ddof=1)
    assert np.allclose(noisy["test"].obs_std, 0.1 * std)
    unit = (noisy["test"].y.values - x) / (0.1 * std)
    assert abs(unit.std() - 1) < 4 / np.sqrt(2 * unit.size)  # four standard errors


def test_another_size_of_the_error_scales_the_same_errors(observed):
    truth, (_, noisy) = observed
    half = data.observations(runs.case_at(CASE, {STD: 0.05}), truth, "lab")
    x = truth["test"].x.isel(time=slice(1, None)).values
    assert np.allclose(2 * (half["test"].y.values - x), noisy["test"].y.values - x, atol=1e-10)


@pytest.mark.parametrize("method", ["nvar", "esn", "lstm"])
def test_how_many_runs_share_a_job_and_in_which_order_changes_no_value(observed, method, tmp_path):
    """Fitted, saved, read and forecast in one job, or each run in one of its own."""
    every = entries(method)
    together = fitted(method, observed, every)
    io.write(together, tmp_path / "fits.nc", title="fits", missing=list(together.variables))
    whole = forecasts(method, observed, every, [io.read(tmp_path / "fits.nc")])
    for place, entry in reversed(list(enumerate(every))):
        alone = forecasts(method, observed, [entry], [fitted(method, observed, [entry])])
        for name in ("forecast", "free_run"):
            assert np.array_equal(alone[name][0], whole[name][place], equal_nan=True), entry


class KilledError(Exception):
    """Stands for the end of a job's time."""


class Kept:
    """A checkpoint in memory; the job ends after some states."""

    def __init__(self, states):
        self.left, self.state = states, None

    def load(self):
        return self.state

    def save(self, state):
        self.state, self.left = state(), self.left - 1
        if not self.left:
            raise KilledError


def test_a_fit_that_was_killed_continues_to_the_same_weights(observed):
    every = entries("lstm")
    train, valid = ([parts[name] for parts in observed[1]] for name in ("train", "valid"))
    given = ("forecaster", METHODS["lstm"], CASE, every, train, valid, "lab", "cpu")
    kept = Kept(1)
    with pytest.raises(KilledError):
        fit.fits(*given, kept)
    assert kept.load()
    xr.testing.assert_identical(fit.fits(*given, kept), fit.fits(*given))


def test_a_fit_of_other_conditions_is_not_taken_for_it(observed):
    every = entries("nvar")
    with pytest.raises(ValueError, match="no file of the stage fit holds the run"):
        forecasts("nvar", observed, every[2:], [fitted("nvar", observed, every[:2])])


@pytest.fixture(scope="module")
def scores(observed):
    every, made = [], []
    for method in METHODS:
        own = entries(method)
        fits = [fitted(method, observed, own)] if method in LEARNED else []
        made.append(forecasts(method, observed, own, fits))
        every += [entry | {"data": 0} for entry in own]
    truth = observed[0]
    given = evaluate.Given([truth["test"]], [truth["train"]])
    return evaluate.scores("forecast", {"case": CASE}, METRICS, every, made, given)


def test_scores_are_tidy_along_runs(scores):
    assert scores.sizes["run"] == 5 * 2 * 2
    assert set(scores.coords) >= {"method", "replicate", "is_base", STD.replace(".", "_")}
    assert scores.nrmse.dims == ("run", "case", "lead") and scores.sizes["case"] == 2 * 3
    assert scores.vpt.notnull().all() and (scores.vpt >= 0).all()
    assert 0.5 < float(scores.lyapunov[0]) < 1.3
    base = scores.method.values[scores.is_base.values > 0]
    assert sorted(base) == sorted([*METHODS, *METHODS])


def test_the_equations_from_an_exact_start_are_the_truth(scores):
    exact = (scores.method == "equations") & (scores.is_base == 1)
    assert float(scores.nrmse.isel(run=exact.values).max()) < 1e-9
    horizon = 20 * 0.02 * float(scores.lyapunov[0])
    assert np.allclose(scores.vpt.isel(run=exact.values), horizon)


def test_the_error_is_that_of_the_states_that_follow_the_start(scores, observed):
    """Persistence, by hand: from the last observation of the context."""
    truth = observed[0]
    x, std = truth["test"].x.values, truth["train"].x.values.std((0, 1))
    start = forecast.start_indices(Forecasts(**CASE["forecast"]), x.shape[1] - 1)[1]
    error = (x[0, start] - x[0, start + 1 : start + 21]) / std
    place = int(np.flatnonzero((scores.method == "persistence") & (scores.is_base == 1))[0])
    assert np.allclose(scores.nrmse[place, 1], np.sqrt((error**2).mean(-1)))


def test_equations_reach_the_floor_and_what_asks_for_no_free_run_has_none(scores):
    exact = (scores.method == "equations") & (scores.is_base == 1)
    assert np.allclose(scores.d_stsp.isel(run=exact.values), scores.d_stsp_floor)
    assert "vpt_floor" not in scores


def test_claims_find_runs_by_method_and_axis(scores):
    found = {"noise": scores}
    where = {"method": "nvar", "observations_obs_std_relative": 0.1}
    values = inputs.select(found, {"scores": "noise", "variable": "vpt", "where": where})
    own = (scores.method == "nvar") & (scores.observations_obs_std_relative == 0.1)
    assert set(values.dims) == {"replicate", "case"}
    expected = scores.vpt.isel(run=own.values).transpose("run", "case")
    assert np.array_equal(values.transpose("replicate", "case"), expected)


def test_claims_on_axes_that_vary_alone_keep_the_others_at_their_base():
    runs_of = [("a", 1, 10), ("a", 2, 10), ("a", 3, 10), ("a", 1, 20)]
    method, one, other = zip(*runs_of, strict=True)
    base = [int(run == ("a", 1, 10)) for run in runs_of]
    coords = {"method": method, "one": one, "other": other, "replicate": [0] * 4, "is_base": base}
    labelled = {name: ("run", list(values)) for name, values in coords.items()}
    found = {"study": xr.Dataset({"rmse": ("run", [1.0, 2.0, 3.0, 4.0])}, labelled)}

    def selected(**more):
        address = {"scores": "study", "variable": "rmse", **more}
        return inputs.select(found, address).values.ravel().tolist()

    assert selected() == [1.0]
    assert selected(vary="one") == [1.0, 2.0, 3.0]
    assert selected(where={"other": 20}) == [4.0]


def test_starts_that_do_not_fit_are_refused_with_what_would():
    settings = Forecasts(context=10, horizon=20, starts=4)
    starts = forecast.start_indices(settings, 33)
    assert starts == [10, 11, 12, 13]
    with pytest.raises(ValueError, match="truth.test.samples at least 33"):
        forecast.start_indices(settings, 32)


def test_a_diverged_forecast_is_missing_and_scored_as_infinitely_wrong(observed):
    """Infinity is no state: NaN in the forecast, the worst value in its scores."""

    class Bursting:
        def forecast(self, context, horizon, generator):
            ahead = torch.zeros(1, len(context), horizon, 3).double()
            ahead[..., 5:, :] = torch.inf
            return ahead

    settings = Forecasts(context=30, horizon=20, starts=3)
    made = forecast._run(Bursting(), settings, observed[1][0]["test"], None)
    assert made.forecast.isnull().sum() == 6 * 15 * 3
    truth = observed[0]
    one = made.expand_dims(run=[0])
    compared = evaluate.compared(one, settings, truth["test"], truth["train"], 0.9)
    assert np.isinf(evaluate.build.make("metric", {"kind": "nrmse"})(compared).isel(lead=10)).all()
    assert (
        isinstance(compared.truth, xr.DataArray)
        and arrays.to_tensor(compared.truth).isfinite().all()
    )


def test_every_combination_is_there_so_that_axes_can_be_dimensions(scores):
    labels = [
        scores[name].values.tolist() for name in ("method", STD.replace(".", "_"), "replicate")
    ]
    every = set(itertools.product(*map(set, labels)))
    assert every == set(zip(*labels, strict=True))
