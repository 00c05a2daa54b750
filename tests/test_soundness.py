"""The check itself on a small job; test_workflow makes it on every job of the real workflow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from soundness import TRACING, unforeseen

from pipeline.codehash import closure

TOOLS = """
from dataclasses import dataclass

LATER = {"half": lambda x: x / 2}

@dataclass
class Scale:
    factor: float

    def times(self, x):
        def inner():
            return x * self.factor
        return inner()

def used(x):
    return LATER["half"](Scale(2.0).times(x))

def unused(x):
    return x
"""
SCRIPT = """
from types import SimpleNamespace
snakemake = SimpleNamespace(output=["out.txt"])
from dalib.tools import used
used(3)
"""


@pytest.fixture
def job(tmp_path):
    """A script that has run under the tracer, with a record of its closure."""
    for file, text in {
        "dalib/__init__.py": "",
        "dalib/tools.py": TOOLS,
        "scripts/job.py": SCRIPT,
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    (tmp_path / "traces").mkdir()
    environment = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(TRACING)]),
        "DALIB_TRACE": str(tmp_path / "traces"),
    }
    command = [sys.executable, "scripts/job.py"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | environment, check=True)
    record(tmp_path, closure(tmp_path / "scripts/job.py", root=tmp_path))
    return tmp_path


def record(folder: Path, units: dict[str, str]) -> None:
    text = json.dumps({"stage": "job", "units": units})
    (folder / "out.txt.prov.json").write_text(text)


def found(folder: Path) -> list[str]:
    return list(unforeseen(folder / "traces", folder))


def test_closure_holds_what_was_entered(job):
    assert len(list((job / "traces").iterdir())) == 1
    assert found(job) == []


@pytest.mark.parametrize(
    ("unit", "names"),
    [
        ("dalib.tools:used", ["dalib.tools:used"]),
        ("dalib.tools:LATER", ["dalib.tools:<lambda>"]),
        (
            "dalib.tools:Scale",
            ["dalib.tools:Scale.times", "dalib.tools:Scale.times.<locals>.inner"],
        ),
    ],
)
def test_what_a_closure_lacks_is_named(unit, names, job):
    units = closure(job / "scripts/job.py", root=job)
    del units[unit]
    record(job, units)
    assert found(job) == [f"job out.txt: {name}" for name in names]
