import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import precision, specs
from pipeline.errors import ConfigError
from pipeline.specs import Specs

ROOT = Path(__file__).parents[1]

CONFIG = {
    "seed": 7,
    "device": "cpu",
    "code": {"strict_versions": False},
    "lab": {
        "cases": {
            "base": {
                "system": {"kind": "lorenz63", "rho": 28.0},
                "integrator": {"kind": "rk4", "dt": 0.01},
                "analyses": {"methods": {"ekf": {"inflation": 1.1}, "model": {}}},
            },
            "own": {"system": {"kind": "my_lab.models:Pendulum"}, "steps": [{"system": 3}]},
        },
        "filters": {
            "ekf": {"kind": "ekf"},
            "enkf": {"kind": "enkf", "members": 10},
            "learned": {"kind": "deep_kalman", "model": "small"},
            "latent": {"kind": "particle", "codec": "none", "filter": "enkf"},
            "circle": {"kind": "particle", "filter": "circle"},
        },
        "models": {"small": {"network": {"kind": "deep_kalman"}, "data": "truth"}},
    },
}


class Wildcards(SimpleNamespace):
    """As Snakemake's: attributes, and items()."""

    def items(self):
        return vars(self).items()


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow_scripts").mkdir()
    (tmp_path / "workflow_scripts/run.py").write_text("print(1)\n")
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab/models.py").write_text("class Pendulum:\n    length = 1\n")
    (tmp_path / "dalib").symlink_to(ROOT / "dalib")
    return tmp_path


@pytest.fixture
def make(project):
    def made(config=CONFIG, **request):
        known = {"cache": {"dir": "store"}, **config}
        wildcards = {"paper": "lab", "case": "base", "filter": "ekf"}
        given = {name: request.pop(name) for name in list(request) if name in wildcards}
        spec = Specs(known, project).spec("run.py", **request)
        return spec(Wildcards(**(wildcards | given)))

    return made


def units_of(spec):
    return json.loads(Path(f"store/units/{spec['code']}.json").read_text())


def test_spec_holds_sections_by_name_and_nothing_else(make):
    spec = make(method="{paper}.filters.{filter}")
    assert spec["config"] == {"method": {"kind": "ekf"}}
    assert spec["experiment"] == "7/lab/base"
    assert not {"device", "threads"} & spec.keys()


def test_only_the_keys_asked_for_count_and_only_where_they_are(make):
    spec = make(case_=("{paper}.cases.{case}", "system", "prior"))
    assert spec["config"] == {"case_": {"system": {"kind": "lorenz63", "rho": 28.0}}}


def test_spec_is_plain_json_with_sorted_keys(make):
    spec = make(z="{paper}.filters.{filter}", a="{paper}.cases.{case}", device=True, threads=2)
    assert json.dumps(spec) == json.dumps(spec, sort_keys=True)
    assert json.loads(json.dumps(spec)) == spec
    assert (spec["device"], spec["threads"]) == ("cpu", 2)


def test_an_entry_that_a_section_names_stands_in_its_place(make):
    spec = make(method="{paper}.filters.learned")
    assert spec["config"]["method"]["model"] == {
        "name": "small",
        "network": {"kind": "deep_kalman"},
        "data": "truth",
    }
    spec = make(method="{paper}.filters.latent")
    assert spec["config"]["method"] == {
        "kind": "particle",
        "codec": "none",  # there is no such entry: it is left as it is
        "filter": {"name": "enkf", "kind": "enkf", "members": 10},
    }


def test_a_point_of_a_filter_has_its_model_in_its_place_and_its_code(make):
    changed = json.loads(json.dumps(CONFIG))
    points = [{"every": 5, "model": "small"}, {"settings": {"filter": {"members": 5}}}]
    changed["lab"]["cases"]["base"]["fields"] = {"methods": {"ekf": points, "enkf": [{}]}}
    section = ("{paper}.cases.{case}.fields.methods", "ekf")
    spec = make(changed, methods=section)
    (first, second) = spec["config"]["methods"]["ekf"]
    assert (first["every"], first["model"]["name"], first["model"]["data"]) == (5, "small", "truth")
    assert second == points[1]
    assert "dalib.nets.dkf:DeepKalman" in units_of(spec)
    assert [*spec["config"]["methods"]] == ["ekf"]  # what other filters run changes nothing


def test_an_entry_that_leads_to_itself_is_an_error(make):
    with pytest.raises(ConfigError, match="filter: circle leads back to itself"):
        make(method="{paper}.filters.circle")


def test_code_holds_the_classes_that_the_sections_name(make):
    units = units_of(make(case_="{paper}.cases.{case}", method="{paper}.filters.learned"))
    assert "workflow_scripts/run.py:<script>" in units
    assert "dalib.systems.lorenz:Lorenz63" in units
    assert "dalib.integrate:RK4" in units
    assert "dalib.filters.deep_kalman:DeepKalmanFilter" in units
    assert "dalib.nets.dkf:DeepKalman" in units  # of the model that the filter names
    assert "dalib.filters.particle:BootstrapParticle" not in units
    assert not [name for name in units if name.startswith("dalib.registry")]


def test_all_entries_of_a_collection_may_be_taken(make):
    units = units_of(make(methods="{paper}.models"))
    assert "dalib.nets.dkf:DeepKalman" in units


def test_class_of_the_users_own_counts(make, project):
    before = make(case_="{paper}.cases.own")
    assert "my_lab.models:Pendulum" in units_of(before)
    (project / "my_lab/models.py").write_text("class Pendulum:\n    length = 2\n")
    assert make(case_="{paper}.cases.own")["code"] != before["code"]


def test_another_section_changes_nothing(make):
    changed = json.loads(json.dumps(CONFIG))
    changed["lab"]["filters"]["enkf"]["members"] = 99
    changed["lab"]["filters"]["new"] = {"kind": "particle"}
    sections = {"method": "{paper}.filters.{filter}", "case_": "{paper}.cases.{case}"}
    assert make(**sections) == make(changed, **sections)


def test_exchanged_values_are_noticed(make):
    changed = json.loads(json.dumps(CONFIG))
    changed["lab"]["cases"]["base"]["system"] = {"kind": "lorenz63", "rho": 0.01}
    changed["lab"]["cases"]["base"]["integrator"] = {"kind": "rk4", "dt": 28.0}
    assert make(case_="{paper}.cases.base") != make(changed, case_="{paper}.cases.base")


def test_missing_section_is_named_with_what_there_is(make):
    with pytest.raises(ConfigError) as error:
        make(method="{paper}.filters.{filter}", filter="ekff")
    assert str(error.value) == (
        "lab.filters.ekff: no such section; in lab.filters there are: "
        "ekf, enkf, learned, latent, circle"
    )


def test_code_named_in_a_file_counts_and_its_other_contents_do_not(make, project):
    claims = project / "claims.yaml"
    claims.write_text("- {id: A, measure: {kind: median}, threshold: 1}\n")
    before = make(kinds_in="claims.yaml")
    assert "dalib.metrics.measures:Median" in units_of(before)
    claims.write_text("- {id: A, measure: {kind: median}, threshold: 2}\n")
    assert make(kinds_in="claims.yaml") == before
    claims.write_text("- {id: A, measure: {kind: ratio}, threshold: 2}\n")
    assert make(kinds_in="claims.yaml")["code"] != before["code"]


def test_the_function_that_the_configuration_chooses_counts_and_no_other(make, project):
    code = "def plain(x):\n    return x\n\n\ndef doubled(x):\n    return 2 * x\n"
    models = project / "my_lab/models.py"
    models.write_text(code)
    chosen = {"ekf": "my_lab.models:plain", "enkf": "my_lab.models:doubled"}

    def both():
        return [make(calls=lambda w: chosen[w.filter], filter=name) for name in chosen]

    before = both()
    assert [spec["calls"] for spec in before] == list(chosen.values())
    assert [chosen[f] in units_of(s) for f in chosen for s in before] == [True, False, False, True]
    assert "calls" not in make()
    models.write_text(code.replace("2 * x", "3 * x"))
    after = both()
    assert after[0] == before[0] and after[1]["code"] != before[1]["code"]


@pytest.mark.parametrize(
    ("dotted", "said"),
    [
        ("my_lab.model:plain", "my_lab.model:plain: there is no module my_lab.model"),
        ("my_lab.models:Plan", "my_lab.models:Plan: module my_lab.models has no Plan"),
    ],
)
def test_a_function_that_is_not_there_is_named(make, dotted, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        make(calls=lambda wildcards: dotted)


def test_spec_can_be_made_again_from_itself(project, make):
    chosen = {"calls": lambda wildcards: "my_lab.models:Pendulum"}
    spec = make(method="{paper}.filters.learned", device=True, **chosen)
    again = Specs({"cache": {"dir": "store"}, **CONFIG}, project)
    assert again.made(spec) == (spec, units_of(spec))


def test_named_entry_of_a_section(project):
    made = Specs({"cache": {"dir": "store"}, **CONFIG}, project)
    assert made.named("lab.filters.learned") == "small"
    assert made.named("lab.filters.latent", "filter") == "enkf"
    assert made.named("lab.filters.ekf") is None


def test_automatic_device_is_settled_once_for_all_jobs(make, monkeypatch):
    monkeypatch.delenv("DALIB_DEVICE", raising=False)
    monkeypatch.setattr(specs, "gpus", lambda: 1)
    monkeypatch.setattr(specs, "torch_has_cuda", lambda: True)
    auto = {**CONFIG, "device": "auto"}
    assert make(auto, device=True)["device"] == "cuda"
    monkeypatch.setattr(specs, "gpus", lambda: 0)  # as on the host of a job
    assert make(auto, device=True)["device"] == "cuda"
    monkeypatch.delenv("DALIB_DEVICE")
    assert make(auto, device=True)["device"] == "cpu"


def test_a_stage_has_the_device_of_its_own_or_that_of_all(project):
    own = Specs({**CONFIG, "device": "cpu", "devices": {"train": "cuda"}}, project)
    assert (own.device("train"), own.device("sample")) == ("cuda", "cpu")
    other = Specs({**CONFIG, "device": "cuda", "devices": {"assimilate": "cpu"}}, project)
    assert (other.device("train"), other.device("assimilate")) == ("cuda", "cpu")


def test_what_is_not_plain_is_refused():
    with pytest.raises(TypeError):
        specs.plain({"path": Path("x")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        specs.plain({"x": float("nan")})


def test_an_automatic_precision_is_settled_by_where_networks_are_trained(make, monkeypatch):
    monkeypatch.delenv("DALIB_PRECISION", raising=False)
    monkeypatch.setattr(precision, "on_cpu", lambda store: "float32")
    model = {"network": {"kind": "gpt", "precision": "auto"}}
    config = {**CONFIG, "lab": {**CONFIG["lab"], "models": {"small": model}}}

    def found(**changes):
        made = make({**config, **changes}, model="lab.models.small", used="lab.filters.learned")
        both = made["config"]["model"], made["config"]["used"]["model"]
        assert both[0]["network"] == both[1]["network"]  # what is trained is what is used
        return both[0]["network"]["precision"]

    assert found() == "float32"
    monkeypatch.setattr(precision, "on_cpu", lambda store: "bfloat16")  # as on the host of a job
    assert found() == "float32"
    assert found(devices={"train": "cuda"}) == "bfloat16"
    monkeypatch.delenv("DALIB_PRECISION")
    assert found() == "bfloat16"
    model["network"]["precision"] = "float32"
    assert found(device="cuda") == "float32"


def test_of_two_precisions_the_faster_is_taken_and_the_timing_kept(tmp_path, monkeypatch):
    processor, seconds = tmp_path / "cpuinfo", {"float32": 2.0, "bfloat16": 1.0}
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(precision, "PROCESSOR", processor)
    monkeypatch.setattr(precision, "measured", lambda: dict(seconds))
    assert precision.on_cpu(tmp_path) == "float32"  # a processor that says nothing
    processor.write_text("model name : old\nflags : avx2\n")
    assert precision.on_cpu(tmp_path) == "float32"
    processor.write_text("model name : new\nflags : avx2 avx512_bf16\n")
    assert precision.on_cpu(tmp_path) == "bfloat16"
    seconds["bfloat16"] = 9.0  # measured once
    assert precision.on_cpu(tmp_path) == "bfloat16"
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")  # another machine, for all that matters
    assert precision.on_cpu(tmp_path) == "float32"
    monkeypatch.delenv("ATEN_CPU_CAPABILITY")
    (tmp_path / precision.WHERE).write_text("{")
    seconds["bfloat16"] = 1.9  # too little gained
    assert precision.on_cpu(tmp_path) == "float32"
