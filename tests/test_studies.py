"""How the stages of studies are wired: what they read, and what makes them stale."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_runs import CASE

from dalib.experiments.runs import KNOWN, OBSERVED, SIMULATED
from pipeline.errors import ConfigError
from pipeline.fields import class_constant
from pipeline.specs import Specs
from pipeline.studies import Studies

ROOT = Path(__file__).parents[1]
DATA = "results/smoke/lab/data"
CONFIG = {
    "scale": "smoke",
    "seed": 7,
    "device": "cpu",
    "code": {"strict_versions": False},
    "batches": {"runs": 4},
    "lab": {
        "cases": {
            "small": {
                **CASE,
                "integrator": {"kind": "rk4", "dt": 0.01},
                "prior": {"error_std": 1.0},
                "assimilate": {"discard": 3},
            }
        },
        "forecasters": {
            "persistence": {"kind": "persistence"},
            "analogue": {"kind": "analogue", "delays": 3},
            "equations": {"kind": "equations"},
        },
        "studies": {
            "noise": {
                "case": "small",
                "task": "forecast",
                "methods": {"persistence": {}, "analogue": {}, "equations": {}},
                "vary": {"observations.obs_std": [0.1, 0.5], "forecast.context": [5, 10]},
                "base": {"observations.obs_std": 0.1, "forecast.context": 5},
                "replicates": 2,
                "metrics": [],
            },
            "again": {
                "case": "small",
                "task": "forecast",
                "methods": {"more": {"kind": "analogue", "delays": 3}},
                "metrics": [],
            },
            "filters": {
                "case": "small",
                "task": "assimilate",
                "methods": {"ekf": {"kind": "ekf"}, "net": {"kind": "deep_kalman"}},
                "vary_each": {"prior.error_std": [1.0, 2.0], "method.noisy": ["a", "b"]},
                "base": {"prior.error_std": 1.0, "method.noisy": "a"},
                "metrics": [{"kind": "rmse"}],
                "timing": {"repetitions": 2, "beside": ["again"]},
            },
            "size": {
                "case": "small",
                "task": "forecast",
                "methods": {"analogue": {"delays": 2}},
                "vary": {"truth.train.samples": [100, 200], "observations.obs_std": [0.1, 0.5]},
                "base": {"truth.train.samples": 100, "observations.obs_std": 0.1},
                "metrics": [],
            },
        },
    },
}


@pytest.fixture
def studies(tmp_path):
    """The wiring of the configuration with changes: `studies(lambda lab: ...)`."""

    def made(change=lambda lab: None) -> Studies:
        config = deepcopy(CONFIG) | {"cache": {"dir": str(tmp_path)}}
        change(config["lab"])
        specs = Specs(config, ROOT)
        specs.units = lambda script, roots: dict.fromkeys((script, *roots), "as it is")
        return Studies(specs)

    return made


def at(**wildcards) -> SimpleNamespace:
    return SimpleNamespace(scale="smoke", paper="lab", **wildcards)


def test_data_of_the_case_itself_are_shared_and_variants_lie_beside_them(studies):
    wired = studies()
    noise, size = (at(study=name, part="0") for name in ("noise", "size"))
    assert wired.fit_inputs(noise)["train"] == [
        f"{DATA}/small/observations_train.nc",
        f"{DATA}/small.noise.1/observations_train.nc",
    ]
    assert wired.fit_inputs(size)["train"][0] == f"{DATA}/small/observations_train.nc"
    folders = {path for n in "01" for path in wired.fit_inputs(at(study="size", part=n))["train"]}
    assert folders == {
        f"{DATA}/{name}/observations_train.nc"
        for name in ("small", "small.size.1", "small.size.2", "small.size.3")
    }


def test_another_observation_error_simulates_nothing_again(studies):
    wired = studies()
    assert wired.observe_inputs(at(data="small.noise.1"))["test"] == f"{DATA}/small/truth_test.nc"
    truths = {wired.name_of("lab", f"small.size.{n}", SIMULATED) for n in range(4)}
    assert len(truths) == 2 and "small" in truths  # one for each number of samples
    given = [wired.simulate_spec(at(data=name)) for name in truths - {"small"}]
    assert [spec["values"] for spec in given] == [{"truth.train.samples": 200}]


def test_a_stage_is_not_stale_for_what_it_does_not_read(studies):
    def horizon(lab):
        lab["cases"]["small"]["forecast"]["horizon"] = 3

    def obs_std(lab):
        lab["cases"]["small"]["observations"]["obs_std"] = 0.2

    before = studies()
    for change, fresh, stale in [
        (horizon, ["simulate", "observe", "fit"], ["forecast"]),
        (obs_std, ["simulate", "fit", "forecast"], ["observe"]),
    ]:
        after = studies(change)
        for stage in (*fresh, *stale):
            where = at(data="small", study="noise", part="0")
            specs = [getattr(one, f"{stage}_spec")(where) for one in (before, after)]
            for spec in specs:  # which data has a run is the business of its inputs
                spec["runs"] = [{**run, "data": 0} for run in spec.get("runs", [])]
            assert (specs[0] == specs[1]) == (stage in fresh), (change, stage)


def test_a_method_that_is_added_leaves_the_jobs_of_others_as_they_are(studies):
    def add(lab):
        lab["forecasters"]["more"] = {"kind": "analogue", "delays": 5}
        study = lab["studies"]["noise"]
        study["methods"] = {"more": {}, **study["methods"]}

    before, after = studies(), studies(add)
    specs = [
        [one.fit_spec(at(study="noise", part=str(n))) for n in range(len(parts))]
        for one in (before, after)
        for parts in [one.fit_parts("lab", "noise")]
    ]
    assert all(spec in specs[1] for spec in specs[0])
    assert len(specs[1]) == 2 * len(specs[0])


def test_what_has_nothing_to_fit_is_not_fitted_and_what_is_fitted_sees_no_test(studies):
    wired = studies()
    fitted = {run.method for part in wired.fit_parts("lab", "noise") for run in part}
    assert fitted == {"analogue"}
    for n, part in enumerate(wired.task_parts("lab", "noise")):
        inputs = wired.forecast_inputs(at(study="noise", part=str(n)))
        assert ("fits" in inputs) == (part[0].method == "analogue")
        assert all(path.endswith("observations_test.nc") for path in inputs["context"])
        sections = wired.forecast_spec(at(study="noise", part=str(n)))["config"]["case"]
        assert ("system" in sections) == (part[0].method == "equations")
    for n in range(len(wired.fit_parts("lab", "noise"))):
        inputs = wired.fit_inputs(at(study="noise", part=str(n)))
        assert inputs.keys() == {"train", "valid"}
        assert not any("test" in path or "truth" in path for path in sum(inputs.values(), []))


def test_forecasts_of_other_contexts_take_the_same_fit(studies):
    wired = studies()
    parts = wired.task_parts("lab", "noise")
    of_analogue = [str(n) for n, part in enumerate(parts) if part[0].method == "analogue"]
    fits = [wired.forecast_inputs(at(study="noise", part=n))["fits"] for n in of_analogue]
    assert len(fits) == 2 and fits[0] == fits[1]


def test_what_is_fitted_with_the_same_settings_is_fitted_once(studies):
    """Under another name, in another study: the first one that asks for it has the file."""
    wired = studies()
    assert wired.fit_parts("lab", "again") == []
    inputs = wired.forecast_inputs(at(study="again", part="0"))
    assert inputs["fits"] == ["results/smoke/lab/noise/fit/part0.nc"]
    entry = wired.forecast_spec(at(study="again", part="0"))["runs"][0]
    known = wired.fit_spec(at(study="noise", part="0"))["runs"]
    assert entry["fit"] in {run["fit"] for run in known}

    def other(lab):
        lab["studies"]["again"]["methods"]["more"]["delays"] = 4

    assert len(studies(other).fit_parts("lab", "again")) == 1


def test_settings_that_a_fit_does_not_read_make_no_other_fit(studies):
    wired = studies()
    (part,) = wired.fit_parts("lab", "filters")
    assert [run.method for run in part] == ["net"] and part[0].coordinates == {}

    def escape(lab):
        lab["studies"]["filters"]["methods"]["net"]["escape"] = 9.0

    where = at(study="filters", part="0")
    assert studies(escape).fit_spec(where) == wired.fit_spec(where)
    last = len(wired.task_parts("lab", "filters")) - 1
    where = at(study="filters", part=str(last))
    assert studies(escape).assimilate_spec(where) != wired.assimilate_spec(where)


def test_another_prior_observes_nothing_again_and_goes_to_filters_alone(studies):
    wired = studies()
    data = "small.filters.1"
    assert wired.name_of("lab", data, OBSERVED) == "small"
    assert wired.name_of("lab", data, KNOWN) == data
    assert wired.prior_inputs(at(data=data, of=""))["truth"] == f"{DATA}/small/truth_test.nc"
    assert wired.prior_spec(at(data=data))["values"] == {"prior.error_std": 2.0}
    for n, part in enumerate(wired.task_parts("lab", "filters")):
        inputs = wired.assimilate_inputs(at(study="filters", part=str(n)))
        assert inputs["observations"] == [f"{DATA}/small/observations_test.nc"]
        assert ("prior" in inputs) == (part[0].method == "ekf")
        sections = wired.assimilate_spec(at(study="filters", part=str(n)))["config"]["case"]
        assert ("system" in sections) == (part[0].method == "ekf")


def test_evaluation_reads_what_its_metrics_ask_for(studies):
    inputs = studies().evaluate_inputs(at(study="filters"))
    assert inputs.keys() == {"truth", "training", "observations", "results"}

    def more(lab):
        lab["studies"]["filters"]["metrics"] += [{"kind": "parameters"}, {"kind": "forecast_time"}]

    inputs = studies(more).evaluate_inputs(at(study="filters"))
    assert inputs["fits"] == ["results/smoke/lab/filters/fit/part0.nc"]
    assert inputs["timing"] == ["results/smoke/lab/filters/times.nc"]


def test_methods_are_timed_at_the_base_beside_those_of_other_studies(studies):
    wired = studies()
    spec, inputs = (get(at(study="filters")) for get in (wired.time_spec, wired.time_inputs))
    timed = {name: [run["method"] for run in one["runs"]] for name, one in spec["timed"].items()}
    assert timed == {"filters": ["ekf", "net"], "again": ["more"]}
    assert inputs["again.fits"] == ["results/smoke/lab/noise/fit/part0.nc"]
    assert inputs["filters.prior"] == [f"{DATA}/small/prior.nc"]
    with pytest.raises(ConfigError, match="has no `timing`"):
        wired.time_spec(at(study="noise"))


def test_how_many_runs_share_a_job_changes_no_run(studies):
    def runs_of(size):
        wired = studies()
        wired.specs.config["batches"]["runs"] = size
        count = len(wired.fit_parts("lab", "noise"))
        specs = [wired.fit_spec(at(study="noise", part=str(n))) for n in range(count)]
        drop = {"data"}  # its number among the inputs of the job
        return [{k: v for k, v in r.items() if k not in drop} for s in specs for r in s["runs"]]

    assert runs_of(1) == runs_of(3) == runs_of(100)


def test_evaluation_knows_the_base_and_fits_do_not(studies):
    wired = studies()
    spec = wired.evaluate_spec(at(study="noise"))
    assert sum(run["is_base"] for run in spec["runs"]) == 3 * 2

    def other_base(lab):
        lab["studies"]["noise"]["base"] = {"observations.obs_std": 0.5, "forecast.context": 10}

    where = at(study="noise", part="0")
    assert studies(other_base).fit_spec(where) == wired.fit_spec(where)
    assert studies(other_base).evaluate_spec(at(study="noise")) != spec


def test_a_class_that_does_not_say_what_it_needs_is_refused(studies):
    def gpt(lab):
        lab["forecasters"]["analogue"] = {"kind": "dalib.forecasters.base:TrainingData"}

    with pytest.raises(ConfigError, match="does not say what it needs"):
        studies(gpt).fit_parts("lab", "noise")


def test_constants_of_a_class_are_read_from_its_source_and_its_bases(tmp_path):
    text = """
    class Base:
        needs: ClassVar[frozenset[str]] = frozenset({"states"})
    class Own(Base):
        needs = frozenset()
    class Inherits(Base):
        delays: int = 3
    class None_:
        pass
    """
    lines = [line.removeprefix("    ") for line in text.splitlines()]
    (tmp_path / "lab_of_mine.py").write_text("\n".join(lines))
    found = {
        name: class_constant(f"lab_of_mine:{name}", tmp_path, "needs")
        for name in ("Base", "Own", "Inherits", "None_")
    }
    states = frozenset({"states"})
    assert found == {"Base": states, "Own": frozenset(), "Inherits": states, "None_": None}
