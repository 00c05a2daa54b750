"""What is wrong with the studies of a paper: all of it at once, each with its key."""

from copy import deepcopy

import pytest
from test_runs import CASE, SECTION

from dalib.experiments import spec

PAPER = {
    "cases": {"small": CASE},
    "forecasters": {"persistence": {"kind": "persistence"}, "analogue": {"kind": "analogue"}},
    "studies": {"one": SECTION},
}


def problems(change) -> dict[str, str]:
    """{key: message} after a change of the paper."""
    paper = deepcopy(PAPER)
    change(paper)
    return {".".join(map(str, p.path)): p.message for p in spec.problems(paper)}


def test_a_right_study_has_no_problems_and_becomes_typed():
    assert list(spec.problems(PAPER)) == []
    one = spec.studies(PAPER)["one"]
    assert [axis.name for axis in one.axes] == ["forecast.context", "observations.obs_std"]
    assert one.axis("observations.obs_std").base == 0.5
    assert one.metrics == {"nrmse": {"kind": "nrmse"}}


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"case": "smal"}, "case", 'unknown case "smal" (did you mean "small"?); there are: small'),
        ({"task": "forecat"}, "task", 'unknown task "forecat" (did you mean "forecast"?)'),
        ({"methods": {"esn": {}}}, "methods.esn", 'unknown method "esn"'),
        ({"replicates": 0}, "replicates", "a whole number of at least 1 is needed"),
        ({"replicate": 3}, "replicate", '(did you mean "replicates"?)'),
        ({"base": {"forecast.context": 10}}, "base", "the base point of observations.obs_std"),
        (
            {"base": {"observations.obs_std": 0.2, "forecast.context": 10}},
            "base.observations.obs_std",
            "0.2 is none of the values 0.1, 0.5",
        ),
        (
            {"base": {"observations.std": 1, **SECTION["base"]}},
            "base.observations.std",
            'unknown axis "observations.std"',
        ),
        (
            {"vary": {"observations.obs_stdd": [0.1]}, "base": {}},
            "vary.observations.obs_stdd",
            'unknown key "obs_stdd" (did you mean "obs_std"?)',
        ),
        ({"vary": {"forecast.context": [5, 5]}}, "vary.forecast.context", "given twice"),
        ({"vary": {"forecast.context": 5}}, "vary.forecast.context", "a list of numbers or texts"),
        (
            {"vary_each": {"forecast.context": [5]}},
            "vary_each.forecast.context",
            "it is in `vary` too",
        ),
        ({"replicates": {"analoge": 2}}, "replicates", 'unknown method "analoge"'),
        ({"replicates": {"analogue": 0}}, "replicates.analogue", "a whole number of at least 1"),
        ({"timing": {"seeds": 3}}, "timing", '"repetitions" is missing'),
        (
            {"timing": {"repetitions": 3, "beside": ["two"]}},
            "timing.beside.0",
            'unknown study "two"',
        ),
        ({"metrics": ["vpt", "vpt"]}, "metrics", "vpt is asked for twice"),
        ({"metrics": "vpt"}, "metrics", "a list of names"),
    ],
)
def test_a_problem_is_told_with_its_key_and_what_would_be_right(changes, key, message):
    found = problems(lambda paper: paper["studies"]["one"].update(changes))
    assert message in found[f"studies.one.{key}"]


def test_all_problems_are_told_at_once():
    def change(paper):
        paper["studies"]["one"].update(case="smal", task="x", methods={}, replicates="many")
        paper["studies"]["two"] = 3

    assert len(problems(change)) == 5


def test_a_study_that_is_null_is_not_run():
    paper = {**PAPER, "studies": {"one": SECTION, "two": None}}
    assert list(spec.problems(paper)) == [] and [*spec.studies(paper)] == ["one"]


def test_a_study_changes_single_settings_of_a_part_of_a_method():
    paper = deepcopy(PAPER)
    paper["forecasters"]["analogue"] = {"kind": "analogue", "part": {"kind": "a", "n": 1, "m": 2}}
    for part, found in [({"n": 3}, {"kind": "a", "n": 3, "m": 2}), ({"kind": "b"}, {"kind": "b"})]:
        paper["studies"]["one"] = {**SECTION, "methods": {"analogue": {"part": part}}}
        one = spec.studies(paper)["one"]
        assert spec.method(paper, one, "analogue")["part"] == found


def test_an_axis_with_one_value_needs_no_base():
    vary = {"observations.obs_std": [0.3]}
    assert problems(lambda p: p["studies"]["one"].update(vary=vary, base={})) == {}


def test_a_study_is_not_called_as_a_case():
    def change(paper):
        paper["studies"]["small"] = paper["studies"].pop("one")

    assert "a case has this name" in problems(change)["studies.small"]


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"horizons": 1}, ".horizons", '(did you mean "horizon"?)'),
        ({"horizon": 1.5}, ".horizon", "1.5: a whole number is needed"),
        ({"context": 0}, "", "context is 0, at least 1 is needed"),
        ({"discard": 3}, "", "of a free run some samples have to be left"),
    ],
)
def test_a_typed_section_of_a_case_says_what_it_refuses(changes, key, message):
    found = problems(lambda paper: paper["cases"]["small"]["forecast"].update(changes))
    assert message in found[f"cases.small.forecast{key}"]


def test_a_case_without_what_its_task_needs_is_told():
    found = problems(lambda paper: paper["cases"]["small"].pop("forecast"))
    assert '"forecast" is missing: study one needs it' in found.values()
