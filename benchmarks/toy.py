"""A small project on the machinery of the real one: its rules' helpers, stages, store and profile.

    make -> double -> total        for each case; `make` and `double` leave two files

Jobs take no torch and a second, most of it in writing: every file is slow to be complete, so that
whoever kills a job often finds it in the middle of one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCALE = "smoke"
PATIENCE = 1200.0  # seconds until a run is taken to hang; an idle machine needs a twentieth
OUTPUTS = {
    "make": ("numbers.nc", "history.csv"),
    "double": ("doubled.nc", "report.txt"),
    "total": ("total.txt",),
}

SNAKEFILE = """
include: "rules/common.smk"

CASE = "results/{scale}/{paper}/{case}/"
CASES = config["toy"]["cases"]

rule all:
    default_target: True
    localrule: True
    input: expand(CASE + "total.txt", scale=config["scale"], paper="toy", case=CASES)

rule make:
    input: raw="data/raw.txt"
    output: numbers=CASE + "numbers.nc", history=CASE + "history.csv"
    log: "results/{scale}/logs/{paper}.{case}.make.log"
    params: spec=spec("make.py", case="{paper}.cases.{case}")
    script: "workflow_scripts/make.py"

rule double:
    input: numbers=CASE + "numbers.nc"
    output: doubled=CASE + "doubled.nc", report=CASE + "report.txt"
    log: "results/{scale}/logs/{paper}.{case}.double.log"
    params: spec=spec("double.py")
    script: "workflow_scripts/double.py"

rule total:
    input: doubled=CASE + "doubled.nc", history=CASE + "history.csv"
    output: total=CASE + "total.txt"
    log: "results/{scale}/logs/{paper}.{case}.total.log"
    params: spec=spec("total.py")
    script: "workflow_scripts/total.py"

onstart: start()
onsuccess: finish()
onerror: finish()
"""

SLOW = '''"""Files take a while to be complete."""

import os
import time

sync = os.fsync


def slowly(number):
    time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
    sync(number)


os.fsync = slowly
'''

OPS = '''"""What the stages of the toy do."""

import time

import numpy as np
import xarray as xr

from dalib import io

UNITS = {"units": "1", "long_name": "numbers"}


def numbers(seed, size):
    """(size,) numbers that no compression makes smaller."""
    return xr.Dataset({"x": ("i", np.random.default_rng(seed).random(size), UNITS)})


def doubled(ds):
    return xr.Dataset({"x": ("i", 2 * ds.x.values, UNITS)})


def write_slowly(path, lines):
    """Some lines now and some later."""
    with io.replacing(path) as part, part.open("w") as file:
        for line in lines:
            file.write(f"{line}\\n")
            file.flush()
            time.sleep(0.02)
'''

SCRIPT = """from toy import slow
from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from toy import ops

    {body}
"""

BODIES = {
    "make": """ds = ops.numbers(**stage.config["case"])
    io.write(ds, snakemake.output.numbers, title="numbers")
    ops.write_slowly(snakemake.output.history, ds.x.values[:20])""",
    "double": """ds = ops.doubled(io.read(snakemake.input.numbers, needs={"x": ("i",)}))
    io.write(ds, snakemake.output.doubled, title="doubled")
    ops.write_slowly(snakemake.output.report, ds.x.values[-20:])""",
    "total": """ds = io.read(snakemake.input.doubled, needs={"x": ("i",)})
    ops.write_slowly(snakemake.output.total, [float(ds.x.sum())] * 20)""",
}

SECTIONS = """from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    seed: int
    size: int


@dataclass(frozen=True)
class Paper:
    cases: Mapping[str, Case]
"""


def settings(cases: dict, cache: str) -> dict:
    return {
        "papers": [],
        "scale": SCALE,
        "scales": {SCALE: {}},
        "device": "cpu",
        "devices": {},
        "seed": 1,
        "seeds": None,
        "batches": {"seeds": 1, "repeats": 1, "runs": 1},
        "cache": {"dir": cache, "keep_gb": 1},
        "code": {"strict_versions": False},
        "resources": {"default": {"mem_mb": 500, "runtime": 5}},
        "toy": {"cases": cases},
    }


def interruptible() -> None:
    """Listen to Ctrl-C, which whatever runs in the background of a shell is born deaf to."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Toy:
    """The toy project in `folder`."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.results = self.folder / "results" / SCALE
        self.store = self.folder / ".cache/stages"

    def make(self, cases: int = 3, size: int = 20_000, cache: str = ".cache/stages") -> "Toy":
        """Write its files."""
        some = {f"c{i}": {"seed": i, "size": size} for i in range(cases)}
        files = {
            "Snakefile": SNAKEFILE,
            "config.yaml": json.dumps(settings(some, cache)),
            "papers/toy/sections.py": SECTIONS,
            "data/raw.txt": "raw\n",
            "toy/__init__.py": "",
            "toy/slow.py": SLOW,
            "toy/ops.py": OPS,
        } | {f"workflow_scripts/{s}.py": SCRIPT.format(body=b) for s, b in BODIES.items()}
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        for name in ("rules/common.smk", "profiles/default/config.yaml"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        return self

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Begin a run as `make` does, in a session of its own."""
        return self.call("run", "--cores", "3", *arguments, **environment)

    def call(self, *verb: str, before: tuple[str, ...] = (), **environment: str):
        """Begin `python -m pipeline <verb>`; `before` stands in front of it."""
        search = os.pathsep.join([str(self.folder), str(ROOT)])
        return subprocess.Popen(
            [*before, sys.executable, "-m", "pipeline", *verb],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=interruptible,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """A whole run: exit code and all that it said."""
        process = self.start(*arguments, **environment)
        said = process.communicate(timeout=PATIENCE)[0]
        return process.returncode, said

    def jobs(self) -> Iterator[tuple[str, list[Path]]]:
        """Each job by the name it has in the notes of a run, and its outputs."""
        for case in json.loads((self.folder / "config.yaml").read_text())["toy"]["cases"]:
            for stage, names in OUTPUTS.items():
                yield f"{stage} toy/{case}", [self.results / "toy" / case / n for n in names]

    def notes(self) -> list[dict]:
        """How every job of every run ended, as far as the notes can be read."""
        notes = []
        for log in sorted((self.store / "runs").glob("*.jsonl")):
            for line in log.read_text(errors="replace").splitlines():
                try:
                    notes.append(json.loads(line) | {"run": log.stem})
                except ValueError:
                    continue
        return [note for note in notes if note["status"] != "started"]
