"""The enumeration of runs: what is base, what goes together, what a stage sees of them."""

import itertools

from dalib.experiments import runs, spec
from dalib.experiments.runs import FITTED, OBSERVED, SIMULATED

CASE = {
    "system": {"kind": "lorenz63", "rho": 28.0},
    "truth": {"train": {"samples": 100}},
    "observations": {"operator": {"kind": "identity"}, "obs_std": 0.1},
    "forecast": {"context": 5, "horizon": 10, "starts": 3},
}
SECTION = {
    "case": "small",
    "task": "forecast",
    "methods": {"persistence": {}, "analogue": {"delays": 2}},
    "vary": {"observations.obs_std": [0.1, 0.5], "forecast.context": [5, 10, 20]},
    "base": {"observations.obs_std": 0.5, "forecast.context": 10},
    "replicates": 2,
    "metrics": ["nrmse"],
}


def study(**changes) -> spec.Study:
    paper = {"cases": {"small": CASE}, "studies": {"one": {**SECTION, **changes}}}
    return spec.studies(paper)["one"]


def test_every_method_runs_at_every_combination_in_every_replicate():
    found = runs.runs(study())
    assert len(found) == 2 * 2 * 3 * 2 == len(set(map(runs.identity, found)))


def test_the_base_is_what_is_written_whatever_the_order_of_rows():
    """Neither the order of axes and values nor that of methods changes what a run is."""
    known = {runs.identity(run): run.is_base for run in runs.runs(study())}
    assert sum(known.values()) == 2 * 2  # of each method and replicate one
    for std, context in itertools.product(
        itertools.permutations([0.1, 0.5]), itertools.permutations([5, 10, 20])
    ):
        axes = {"observations.obs_std": list(std), "forecast.context": list(context)}
        for names in itertools.permutations(axes):
            vary = {name: axes[name] for name in names}
            methods = dict(reversed(SECTION["methods"].items()))
            found = runs.runs(study(vary=vary, methods=methods))
            assert {runs.identity(run): run.is_base for run in found} == known


def test_axes_that_vary_alone_leave_their_base_one_at_a_time():
    one = study(vary={}, vary_each=SECTION["vary"], replicates=1)
    found = [tuple(run.coordinates.values()) for run in runs.runs(one) if run.method == "analogue"]
    assert set(found) == {(10, 0.5), (5, 0.5), (20, 0.5), (10, 0.1)} and len(found) == 4
    both = study(
        vary={"observations.obs_std": [0.1, 0.5]}, vary_each={"forecast.context": [5, 10, 20]}
    )
    assert len(runs.runs(both)) == len(runs.runs(study()))  # one alone: every combination


def test_methods_may_have_different_numbers_of_replicates():
    found = runs.runs(study(vary={}, base={}, replicates={"analogue": 3}))
    assert [(run.method, run.replicate) for run in found] == [
        ("persistence", 0),
        *(("analogue", replicate) for replicate in range(3)),
    ]


def test_a_stage_that_does_not_read_an_axis_has_one_run_for_all_its_values():
    found = runs.runs(study())
    fits = runs.distinct(found, FITTED)
    assert len(fits) == 2 * 2 * 2
    assert all(set(run.coordinates) == {"observations.obs_std"} for run in fits)
    assert len(runs.distinct(found, SIMULATED)) == 2 * 2  # of each method and replicate
    assert {run.is_base for run in runs.distinct(found, OBSERVED)} == {True, False}


def test_jobs_have_one_method_and_arrays_of_equal_shapes():
    one = study()
    for per_job in (1, 3, 100):
        parts = runs.parts(one, runs.runs(one), per_job)
        assert sorted(map(runs.identity, itertools.chain(*parts))) == sorted(
            map(runs.identity, runs.runs(one))
        )
        for part in parts:
            assert len(part) <= per_job
            assert len({(run.method, run.coordinates["forecast.context"]) for run in part}) == 1
    together = runs.parts(one, runs.runs(one), 100)
    assert len(together) == 2 * 3  # methods, contexts; sizes of errors go together


def test_values_of_a_run_stand_in_the_sections_of_case_and_method():
    chosen = {"observations.obs_std": 0.5, "method.filter.inflation": 1.1}
    assert runs.case_at(CASE, chosen)["observations"]["obs_std"] == 0.5
    assert CASE["observations"]["obs_std"] == 0.1
    section = {"kind": "latent", "filter": {"kind": "ensf"}}
    assert runs.method_at(section, chosen) == {
        "kind": "latent",
        "filter": {"kind": "ensf", "inflation": 1.1},
    }


def test_an_axis_of_anything_goes_by_its_labels():
    operators = {"all": {"kind": "identity"}, "some": {"kind": "subset", "index": [0]}}
    vary = {"observations.operator": operators}
    one = study(vary=vary, base={"observations.operator": "some"})
    run = next(run for run in runs.runs(one) if run.is_base)
    assert run.coordinates == {"observations.operator": "some"}
    values = runs.values(one, run.coordinates)
    assert runs.case_at(CASE, values)["observations"]["operator"] == operators["some"]


def test_results_carry_what_tells_runs_apart():
    entries = [{**run.plain(), "values": {}, "data": 0} for run in runs.runs(study())]
    labels = runs.labels(entries)
    axes = {"observations_obs_std", "forecast_context"}
    assert labels.keys() == {"method", "replicate", "is_base"} | axes
    assert all(dim == "run" and len(values) == 24 for dim, values, _ in labels.values())
