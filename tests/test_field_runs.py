"""Runs of filters on fields: what their points say, and what they are called."""

import pytest

from dalib.field_runs import altered, jobs_of, laid_over, models_of, runs_of, runs_of_job, tried

BASE = {"every": 10, "noise": 0.1, "start": "noise", "interval": 1, "errors": "given"}
ENSF = {"kind": "ensf", "members": 20, "scale": 10.0}
LATENT = {"kind": "latent", "filter": {"kind": "ensf", "members": 20, "scale": 100.0}}


def product(**methods):
    return {"base": BASE, "methods": methods}


def runs(section, *points):
    return runs_of(product(method=list(points)), "method", section)


def test_a_point_without_anything_is_the_base():
    (run,) = runs(ENSF, {})
    assert run == ("method", "method", BASE, ENSF, None, {})


def test_a_label_says_what_differs_from_the_base():
    found = runs(
        LATENT,
        {"every": 5},
        {"every": 10, "noise": 0.2},
        {"settings": {"weight": 0.5, "filter": {"scale": 1.0}}, "interval": 2},
        {"every": 2, "label": "linear", "model": "pca"},
    )
    assert [run.label for run in found] == [
        "method every=5",
        "method noise=0.2",
        "method interval=2 scale=1.0 weight=0.5",
        "method linear",
    ]


def test_a_label_does_not_depend_on_the_order_of_what_is_written():
    one, other = {"scale": 1.0, "members": 5}, {"members": 5, "scale": 1.0}
    (first,), (second,) = runs(ENSF, {"settings": one}), runs(ENSF, {"settings": other})
    assert first.label == second.label == "method members=5 scale=1.0"


def test_settings_of_a_point_lie_over_nested_ones_and_leave_the_rest():
    (run,) = runs(LATENT, {"settings": {"weight": 0.5, "filter": {"scale": 1.0}}})
    inner = {"kind": "ensf", "members": 20, "scale": 1.0}
    assert run.settings == {"kind": "latent", "weight": 0.5, "filter": inner}
    assert LATENT["filter"]["scale"] == 100.0
    assert laid_over({"a": 1, "b": {"c": 2}}, {"b": 3}) == {"a": 1, "b": 3}
    assert laid_over({"a": 1}, {"a": {"c": 2}}) == {"a": {"c": 2}}


def test_the_model_of_a_point_comes_before_that_of_its_filter():
    section = LATENT | {"model": "vae"}
    found = runs(section, {}, {"model": "pca", "label": "linear"}, {"every": 5})
    assert [run.model for run in found] == ["vae", "pca", "vae"]
    points = product(method=[{}, {"model": "pca", "label": "linear"}, {"every": 5}])
    assert models_of(points, "method", section) == ["vae", "pca"]
    assert models_of(product(method=[{}]), "method", ENSF) == []


@pytest.mark.parametrize(
    "points",
    [
        [{"model": "vae"}, {"model": "pca"}],
        [{}, {"every": 10}],
        [{"every": 5, "label": "x"}, {"label": "x"}],
    ],
)
def test_two_points_with_one_label_are_refused(points):
    with pytest.raises(ValueError, match="two points of method are both called .* give .* `label`"):
        runs(LATENT, *points)


def test_a_filter_without_a_job_is_one():
    given = product(free=[{}], ensf=[{}, {"every": 5}], direct=[{}]) | {
        "jobs": {"cheap": ["direct", "free"]}
    }
    assert jobs_of(given) == {"cheap": ["direct", "free"], "ensf": ["ensf"]}
    found = runs_of_job(given, "cheap", dict.fromkeys(("free", "ensf", "direct"), ENSF))
    assert [run.label for run in found] == ["direct", "free"]
    every = [
        r.label
        for job in jobs_of(given)
        for r in runs_of_job(given, job, dict.fromkeys(given["methods"], ENSF))
    ]
    assert sorted(every) == ["direct", "ensf", "ensf every=5", "free"]


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ({"cheap": ["fre"]}, "'fre' has to be one of the methods, in one job alone; methods are"),
        ({"one": ["free"], "two": ["free"]}, "'free' has to be one of the methods, in one job"),
        ({"ensf": ["free"]}, "'ensf' is a filter with a job of its own; call the job otherwise"),
    ],
)
def test_a_job_that_would_lose_or_repeat_a_filter_is_refused(jobs, message):
    with pytest.raises(ValueError, match=message):
        jobs_of(product(free=[{}], ensf=[{}]) | {"jobs": jobs})


def test_a_run_says_which_settings_its_point_changes():
    points = [
        {},
        {"every": 5},
        {"settings": {"members": 5, "filter": {"scale": 2.0}}},
        {"model": "other", "label": "another"},
    ]
    section = {"kind": "ensf", "members": 20, "model": "own"}
    found = altered(product(ensf=points), "ensf", section)
    assert list(found.values()) == [[], [], ["scale", "members"], ["model"]]


def test_settings_that_are_tuned_are_tried_in_all_combinations_under_one_label():
    choices = {"weight": [0.2, 0.5, 1.0], "filter": {"scale": [1.0, 10.0, 100.0]}}
    (run,) = runs(LATENT, {"tuned": choices, "noise": 0.2})
    assert run.label == "method noise=0.2" and run.settings == LATENT
    found = tried(run)
    assert len(found) == 9 and all(one.label == run.label for _, one in found)
    for values, one in found:
        assert one.settings["weight"] == values["weight"]
        assert one.settings["filter"] == LATENT["filter"] | {"scale": values["scale"]}


@pytest.mark.parametrize("choices", [[1.0, 2.0], [1.0, 1.0, 2.0], 1.0])
def test_a_best_value_has_to_have_neighbours(choices):
    with pytest.raises(ValueError, match="three values"):
        runs(ENSF, {"tuned": {"scale": choices}})
