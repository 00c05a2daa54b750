"""What the stages make of tokens, and what they refuse."""

import pytest
import small
import xarray as xr

from dalib.cases import truth
from dalib.experiments import runs, spec

HENON = {"kind": "henon", "a": 1.4, "b": 0.3}
CASE = {
    "system": HENON,
    "integrator": {"kind": "iterate", "steps": 1},
    "truth": {
        "start": {"mean": [-0.95, 0.35], "half_width": 0.05},
        "spinup": 0.0,
        "model_noise_std": 0.0,
        "train": {"seeds": 4, "samples": 150},
        "valid": {"seeds": 2, "samples": 150},
        "test": {"seeds": 2, "samples": 150},
    },
}


@pytest.mark.parametrize("valid", [None, {"seeds": 3, "samples": 40}], ids=["alike", "shorter"])
def test_splits_simulated_together_are_those_simulated_alone(valid):
    case = CASE | {"truth": CASE["truth"] | ({"valid": valid} if valid else {})}
    together = truth.truths(case, "t")
    assert sorted(together) == ["test", "train", "valid"]
    for split, found in together.items():
        xr.testing.assert_identical(found, truth.truth(case, split, "t"))


def test_a_trajectory_that_escapes_is_named_before_anything_is_encoded():
    start = CASE["truth"] | {"start": {"mean": [3.0, 3.0], "half_width": 0.05}}
    with pytest.raises(ValueError, match="bounded trajectories, but 4 of 4 .* a start nearer"):
        truth.truth(CASE | {"truth": start}, "train", "t")


@pytest.mark.parametrize("scale", ["smoke", "quick", "desk", "paper"])
def test_the_network_sees_all_tokens_that_are_given(scale):
    """They say where in its cell a state is."""
    paper = small.config(scale)
    for study in spec.studies(paper).values():
        given = paper["cases"][study.case]["forecast"]["context"]
        if "gpt" in study.methods:
            assert given <= spec.method(paper, study, "gpt")["forecaster"]["context"]


@pytest.mark.parametrize("scale", ["smoke", "quick", "desk", "paper"])
def test_metrics_know_the_context_and_the_transients_of_the_forecasts(scale):
    """Free runs begin past the samples that true distances leave out."""
    paper = small.config(scale)
    for study in spec.studies(paper).values():
        settings = spec.Forecasts(**paper["cases"][study.case]["forecast"])
        for metric in study.metrics.values():
            assert metric.get("discard", 0) <= settings.seen
            assert metric.get("context", settings.context) == settings.context


@pytest.mark.parametrize("scale", ["smoke", "quick", "desk", "paper"])
def test_references_are_taken_from_the_same_true_groups(scale):
    for study in spec.studies(small.config(scale)).values():
        chosen = [
            {k: v for k, v in one.items() if k != "kind"}
            for one in study.metrics.values()
            if one["kind"].endswith((":TrueTokens", ":FreeRuns"))
        ]
        assert all(one == chosen[0] for one in chosen)


def test_two_temperatures_are_forecast_from_one_fit():
    paper, study, _ = small.study_of("henon")
    every = [run for run in runs.runs(study) if run.method == "gpt"]
    assert len(every) == 4 and len({e["fit"] for e in small.entries(study)["gpt"]}) == 2
    assert {run.coordinates["method.temperature"] for run in every if run.is_base} == {1.0}


def test_how_many_temperatures_share_a_job_changes_no_value():
    paper, study, parts = small.study_of("henon")
    every = small.entries(study)["markov"]
    fits = [small.fitted(paper, study, "markov", every, parts)]
    case, section = paper["cases"]["henon"], spec.method(paper, study, "markov")
    given, seen = ("forecaster", section, case), small.observed(paper, study, parts)["test"]

    def made(chosen):
        return small.forecast.forecasts(*given, chosen, [seen], fits, "2026/gpt/henon")

    whole = made(every)
    for place in (3, 0):
        alone = made([every[place]])
        xr.testing.assert_equal(
            alone.free_run[0].drop_vars("run", errors="ignore"), whole.free_run[place]
        )
        xr.testing.assert_equal(alone.forecast[0], whole.forecast[place])


def test_an_exact_observation_is_the_state_from_the_first_on():
    paper, study, truth = small.study_of("henon")
    for part, one in small.observed(paper, study, truth).items():
        assert (one.y.values == truth[part].x.values).all()
        assert (one.time.values == truth[part].time.values).all()
