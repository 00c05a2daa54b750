"""The wiring of all rules, as functions of the configuration and the wildcards of a job.

    files.py       where the files of a case lie
    task.py        what a stage reads and what its spec holds, as data
    estimating.py  simulate, observe, assimilate
    learning.py    tune, train
    scoring.py     evaluate, time, judge

Rules ask one `Graph`. Nothing here knows Snakemake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.entry_points import entry_point
from pipeline.graph import estimating, learning, scoring
from pipeline.graph.files import Files, Job
from pipeline.graph.task import Stage, Task
from pipeline.specs import Specs

STAGES: dict[str, Stage] = {
    "simulate": estimating.SIMULATE,
    "observe": estimating.OBSERVE,
    "tune": learning.TUNE,
    "train": learning.TRAIN,
    "assimilate": estimating.ASSIMILATE,
    "evaluate": scoring.EVALUATE,
    "time": scoring.TIME,
    "judge": scoring.JUDGE,
}


@dataclass(frozen=True)
class Graph(Files):
    """What rules are wired with: functions of the wildcards, made from a checked configuration."""

    root: Path

    @cached_property
    def specs(self) -> Specs:
        return Specs(self.config, self.root)

    def task(self, stage: str, job: Job) -> Task:
        """What a stage does for a job."""
        return STAGES[stage].tasks[STAGES[stage].choose(self, job)]

    def files_of(self, stage: str, job: Job) -> dict[str, str | list[str]]:
        """{name: files that a job of a stage reads}."""
        return self.task(stage, job).files(self, job)

    def spec_of(self, stage: str, job: Job) -> dict[str, Any]:
        """What a job of a stage is made from: sections of the configuration, digest of its code."""
        chosen, task = STAGES[stage].choose(self, job), self.task(stage, job)
        return self.specs.of(
            job,
            f"{stage}.py",
            device=task.device,
            kinds_in=task.kinds_in,
            calls=entry_point(self.config, job["paper"], stage, chosen) if chosen else None,
            extras=task.extras_of(self, job),
            **task.sections_of(self, job),
        )

    def sections_of(self, stage: str, job: Job) -> dict[str, Any]:
        """The sections of the configuration that a job of a stage is made from."""
        wanted = self.task(stage, job).sections_of(self, job)
        named = {n: [given] if isinstance(given, str) else given for n, given in wanted.items()}
        return {
            name: self.specs.section(tuple(dotted.format(**job).split(".")), keys)
            for name, (dotted, *keys) in named.items()
        }

    def length_of(self, task: Task, job: Job) -> dict[str, Any]:
        """What a job goes through once: seeds and samples of a part; {} where nothing is said."""
        dotted, *keys = task.length or ("",)
        found = self.entry(dotted, job) if dotted else None
        return {key: found[key] for key in keys or found if key in found} if found else {}

    # -- functions that Snakemake calls -----------------------------------------------------------

    def inputs(self, stage: str) -> Callable[[Any], dict[str, str | list[str]]]:
        """`files_of` a job, to be unpacked."""

        def inputs(wildcards: Any) -> dict[str, str | list[str]]:
            return self.files_of(stage, dict(wildcards.items()))

        return inputs

    def spec(self, stage: str) -> Callable[[Any], dict[str, Any]]:
        """`spec_of` a job."""

        def spec(wildcards: Any) -> dict[str, Any]:
            return self.spec_of(stage, dict(wildcards.items()))

        return spec

    def resource(self, stage: str, name: str) -> Callable[[Any, int], int]:
        """`mem_mb` or `runtime` in minutes, doubled with every attempt."""
        resources = self.config["resources"]
        first = resources.get(stage, resources["default"])[name]

        def wanted(wildcards: Any, attempt: int) -> int:
            return first * 2 ** (attempt - 1)

        return wanted

    def mem(self, stage: str) -> Callable[[Any, int], int]:
        return self.resource(stage, "mem_mb")

    def runtime(self, stage: str) -> Callable[[Any, int], int]:
        return self.resource(stage, "runtime")

    def gpu(self, stage: str) -> int:
        """GPUs of a job: one where the stage runs on cuda."""
        return int(self.specs.device(stage) == "cuda")
