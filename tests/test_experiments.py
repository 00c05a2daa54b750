"""The work of the stages of a study, from data to scores, in one small case."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import arrays, io
from dalib.cases.checkpoint import FORGOTTEN, Parts
from dalib.experiments import assimilate, data, evaluate, fit, forecast, runs, sample, time
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


def test_a_start_of_another_size_than_the_state_is_refused():
    start = {"start": {"mean": [0.0, 25.0], "std": 5.0}}
    with pytest.raises(ValueError, match="has 2 values, but the state of lorenz63 has 3 comp"):
        data.truths(CASE | {"truth": CASE["truth"] | start}, "lab")


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
    work = forecast._Work([Bursting()], ("lab", 0), "", Parts(FORGOTTEN))
    (made,) = forecast._run(work, settings, observed[1][0]["test"])
    assert made.forecast.isnull().sum() == 6 * 15 * 3
    truth = observed[0]
    one = made.expand_dims(run=[0])
    compared = evaluate.compared(one, settings, truth["test"], truth["train"], 0.9)
    assert np.isinf(evaluate.build.make("metric", {"kind": "nrmse"})(compared).isel(lead=10)).all()
    assert (
        isinstance(compared.truth, xr.DataArray)
        and arrays.to_tensor(compared.truth).isfinite().all()
    )


def test_forecasts_may_start_later_than_their_context_allows():
    settings = Forecasts(context=10, horizon=5, starts=3, first=20)
    assert forecast.start_indices(settings, 45) == [20, 30, 40]
    with pytest.raises(ValueError, match="5 samples from 20 on do not fit into 26 samples"):
        forecast.start_indices(settings, 26)
    with pytest.raises(ValueError, match="first is 9: a start needs the 10 samples"):
        Forecasts(context=10, horizon=5, starts=3, first=9)


def test_free_runs_begin_at_the_first_start(observed):
    """Persistence holds the last state that it is given."""
    case = CASE | {"forecast": CASE["forecast"] | {"first": 50}}
    run = entries("persistence", 1)[:1]
    context = [observed[1][0]["test"]]
    given = ("forecaster", METHODS["persistence"], case, run, context, [], "lab")
    made = forecast.forecasts(*given)
    last = observed[0]["test"].x.values[:, 50]  # the 50th observation is of this time
    assert np.array_equal(made.free_run[0].isel(time=0), last)


def test_exact_observations_from_the_start_are_the_states(observed):
    own = {"operator": {"kind": "identity"}, "obs_std": 0.0, "from_start": True}
    for part, one in data.observations(CASE | {"observations": own}, observed[0], "lab").items():
        assert np.array_equal(one.y.values, observed[0][part].x.values)
        assert np.array_equal(one.time.values, observed[0][part].time.values)


@dataclass(frozen=True)
class Both:
    """A metric that gives two scores."""

    asks = frozenset({"truth", "estimate"})

    def __call__(self, evaluation):
        error = abs(evaluation.estimate - evaluation.truth)
        text = {"units": "1", "long_name": "an error"}
        mean, largest = error.mean(("case", "lead", "state")), error.max().reset_coords(drop=True)
        return xr.Dataset({"mean_error": mean, "largest_error": largest}).map(
            lambda one: one.assign_attrs(text)
        )


def test_scores_that_are_computed_together_stand_each_under_its_name(observed):
    own = entries("persistence")
    made = forecasts("persistence", observed, own, [])
    metrics = {"both": {"kind": "test_experiments:Both"}}
    given = evaluate.Given([observed[0]["test"]], [observed[0]["train"]])
    entry = [one | {"data": 0, "observations": 0} for one in own]
    scores = evaluate.scores("forecast", {"case": CASE}, metrics, entry, [made], given)
    assert scores.mean_error.dims == scores.largest_error.dims == ("run",)
    assert (scores.largest_error > scores.mean_error).all() and "both" not in scores


def test_every_combination_is_there_so_that_axes_can_be_dimensions(scores):
    labels = [
        scores[name].values.tolist() for name in ("method", STD.replace(".", "_"), "replicate")
    ]
    every = set(itertools.product(*map(set, labels)))
    assert every == set(zip(*labels, strict=True))


# -- estimates and samples -----------------------------------------------------------------------

FILTERED = {
    **CASE,
    "observations": {"operator": {"kind": "identity"}, "obs_std": 1.0, "until": 3.0},
    "prior": {"error_std": 2.0},
    "assimilate": {"discard": 20},
    "sample": {"count": 9},
}
ESTIMATORS = {
    "ekf": {"kind": "ekf", "model_error_std": 0.1},
    "particle": {"kind": "particle", "members": 20, "model_error_std": 0.1},
    "net": {"kind": "deep_kalman", "latent": 2, "hidden": 4, "steps": 2, "window": 10, "batch": 3},
}
SCORE = {"kind": "score_diffusion", "hidden": 4, "steps": 2, "batch": 8} | {
    "sampler": {"kind": "reverse_sde", "steps": 3, "shown": [1.0]}
}


@pytest.fixture(scope="module")
def filtered(observed):
    """(observations, prior) of a case that is assimilated."""
    truth = observed[0]
    return data.observations(FILTERED, truth, "lab"), data.prior(FILTERED, truth["test"], "lab")


def of_runs(method, replicates=2):
    entry = {"method": method, "coordinates": {}, "values": {}, "data": 0, "prior": 0}
    entry |= {"observations": 0, "is_base": True}
    learned = {"fit": method} if method in ("net", "score") else {}
    return [
        entry | {"replicate": n} | {name: f"{value} {n}" for name, value in learned.items()}
        for n in range(replicates)
    ]


def fits_of(method, filtered, chosen):
    if method != "net":
        return []
    train, valid = ([filtered[0][part]] for part in ("train", "valid"))
    return [fit.fits("estimator", ESTIMATORS[method], FILTERED, chosen, train, valid, "lab")]


def estimated(method, filtered, chosen, *checkpoint):
    observations, prior = filtered
    given = (FILTERED, chosen, [observations["test"]], [] if method == "net" else [prior])
    fits = fits_of(method, filtered, chosen)
    return assimilate.analyses(
        "estimator", ESTIMATORS[method], *given, fits, "lab", "cpu", *checkpoint
    )


def test_observations_of_the_test_part_end_and_others_do_not(filtered):
    y = filtered[0]["test"].y
    assert y.where(y.time > 3.0 + 1e-9, drop=True).isnull().all()
    assert y.where(y.time <= 3.0, drop=True).notnull().all()
    assert filtered[0]["train"].y.notnull().all()


@pytest.mark.parametrize("method", ESTIMATORS)
def test_runs_that_are_assimilated_together_are_as_each_alone(filtered, method):
    together = estimated(method, filtered, of_runs(method))
    assert together["mean"].dims == ("run", "case", "time", "state")
    assert together.forecast_std.shape == together["mean"].shape == (2, 2, 200, 3)
    for i, entry in enumerate(of_runs(method)):
        alone = estimated(method, filtered, [entry])
        np.testing.assert_allclose(alone["mean"][0], together["mean"][i], rtol=1e-5, atol=1e-5)
    same = np.array_equal(together["mean"][0], together["mean"][1])
    assert same == (method == "ekf")  # it draws nothing


def test_a_filter_that_was_killed_continues_to_the_same_analyses(filtered):
    chosen, kept = of_runs("particle"), Kept(250)  # in the second run
    with pytest.raises(KilledError):
        estimated("particle", filtered, chosen, kept)
    assert len(kept.load()["finished"]) == 1
    whole = estimated("particle", filtered, chosen)
    xr.testing.assert_identical(estimated("particle", filtered, chosen, kept), whole)


def test_analyses_are_scored_where_they_are_observed_and_reports_where_they_were_made(
    filtered, observed
):
    methods, made, every = ("ekf", "net"), [], []
    for method in methods:
        made.append(estimated(method, filtered, of_runs(method)))
        every += of_runs(method)
    truth, observations = observed[0], filtered[0]["test"]
    given = evaluate.Given(
        [truth["test"]],
        [truth["train"]],
        observations=[observations],
        fits=fits_of("net", filtered, of_runs("net")),
    )
    metrics = {name: {"kind": name} for name in ("rmse", "spread", "parameters")}
    sections = {"case": FILTERED, "method.net": ESTIMATORS["net"]}
    found = evaluate.scores("assimilate", sections, metrics, every, made, given, role="estimator")
    scored = (observations.time > 20.5 * 0.02) & (observations.time <= 3.0 + 1e-9)
    error = made[0]["mean"][0].sel(time=scored.values) - truth["test"].x.values[:, 1:][:, scored]
    np.testing.assert_allclose(found.rmse[0], np.sqrt((error**2).mean(("time", "state"))))
    assert found.parameters.isnull().values.tolist() == [True, True, False, False]
    assert found.parameters[2] == found.parameters[3] > 100


def test_samples_are_those_of_each_run_alone_with_what_the_sampler_shows(observed):
    train, valid = ([observed[0][part]] for part in ("train", "valid"))
    chosen = of_runs("score")
    fits = [fit.fits("generator", SCORE, FILTERED, chosen, train, valid, "lab")]
    made = sample.samples("generator", SCORE, FILTERED, chosen, fits, "lab")
    assert made.samples.dims == ("run", "sample", "state") and made.sizes["sample"] == 9
    assert made.snapshots.dims == ("run", "level", "sample", "state")
    alone = sample.samples("generator", SCORE, FILTERED, chosen[1:], fits, "lab")
    np.testing.assert_allclose(alone.samples[0], made.samples[1], rtol=1e-5, atol=1e-5)
    assert not np.allclose(made.samples[0], made.samples[1])
    longer = {**SCORE, "sampler": {"kind": "probability_flow", "steps": 4}}
    other = sample.samples("generator", longer, FILTERED, chosen, fits, "lab")  # of the same fits
    assert "snapshots" not in other and not np.allclose(other.samples, made.samples)


def test_methods_are_timed_in_turn(filtered, observed):
    observations, prior = filtered
    timing = {"repetitions": 2, "seeds": 1, "samples": 10, "count": 5}
    timed = {"filters": {"task": "assimilate", "role": "estimator", "runs": of_runs("ekf", 1)}}
    forecasts_of = {"task": "forecast", "role": "forecaster", "runs": entries("equations", 1)[:1]}
    sections = {"case.filters": FILTERED, "method.filters.ekf": ESTIMATORS["ekf"]}
    sections |= {"case.ahead": CASE, "method.ahead.equations": METHODS["equations"]}
    found = time.measured(
        timing,
        {**timed, "ahead": forecasts_of},
        sections,
        {
            "filters.observed": [observations["test"]],
            "filters.prior": [prior],
            "ahead.observed": [observed[1][0]["test"]],
        },
    )
    assert found["method"].values.tolist() == ["ekf", "equations"]
    assert found.cpu_seconds_per_state.shape == (2, 2) and (found.cpu_seconds_per_state > 0).all()
