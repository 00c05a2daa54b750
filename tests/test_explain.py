import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.explain import explained, main
from pipeline.specs import Specs

CONFIG = {
    "scale": "smoke",
    "seed": 7,
    "device": "cpu",
    "cache": {"dir": "store"},
    "code": {"strict_versions": False},
    "lab": {"cases": {"base": {"system": {"kind": "my_lab.models:Pendulum"}, "error": 1.0}}},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A stage `run` with one result and its record."""
    monkeypatch.chdir(tmp_path)
    for name in ("workflow_scripts", "my_lab", "results/smoke/lab/base"):
        (tmp_path / name).mkdir(parents=True)
    Path("workflow_scripts/run.py").write_text("from my_lab.tools import step\nstep(1)\n")
    Path("my_lab/models.py").write_text("class Pendulum:\n    length = 1\n")
    Path("my_lab/tools.py").write_text("def step(x):\n    return x\n")
    wildcards = SimpleNamespace(items=lambda: {}.items())
    specs = Specs(CONFIG, tmp_path)
    spec = specs.spec("run.py", case="lab.cases.base")(wildcards)
    output = "results/smoke/lab/base/out.txt"
    Path(output).write_text("1")
    record = {
        "stage": "run",
        "spec": spec,
        "units": specs.made(spec)[1],
        "inputs": {},
        "outputs": {output: {}},
    }
    Path(f"{output}.prov.json").write_text(json.dumps(record))
    return Path(".")


def lines(root, config=CONFIG):
    return list(explained(root, config, "run"))


def test_closure_is_shown_by_module_and_results_without_change(project):
    assert lines(project) == [
        "run: 2 units that every job reaches",
        "  my_lab.tools: step",
        "  workflow_scripts/run.py: <script>",
        "run: 1 units that jobs reach by their configuration",
        "  my_lab.models: Pendulum",
        "results/smoke/lab/base/out.txt:",
        "  run: nothing changed",
    ]


def test_changed_unit_is_named(project):
    Path("my_lab/tools.py").write_text("def step(x):\n    return x + 1\n")
    assert lines(project)[-1] == "  run: my_lab.tools:step changed"


def test_changed_value_is_named(project):
    changed = json.loads(json.dumps(CONFIG))
    changed["lab"]["cases"]["base"]["error"] = 2.0
    assert lines(project, changed)[-1] == "  run: config case.error: 1.0 -> 2.0"


def test_section_that_is_gone_is_named(project):
    changed = {**CONFIG, "lab": {"cases": {"other": {}}}}
    assert lines(project, changed)[-1] == (
        "  run: config lab.cases.base: no such section; in lab.cases there are: other"
    )


def test_unknown_stage_is_an_error_with_those_there_are(project, capsys):
    assert main(project, CONFIG, ["rum"]) == 1
    assert capsys.readouterr().out == 'unknown stage "rum" (did you mean "run"?); there are: run\n'
