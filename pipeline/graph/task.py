"""What a stage reads and what its spec holds, as data: `Task` of some jobs, `Stage` of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError
from pipeline.graph.files import Files, Job

# A template of a path (`Files.at`) or a function of a job; None where there is no such file.
Input = str | Callable[[Files, Job], str | list[str] | None]
# "{paper}.cases.{case}", the same with the only keys of it that count, or a function of a job;
# None where there is no such section.
Sections = str | tuple[str, ...]
Section = Sections | Callable[[Files, Job], Sections | None]

CASE = "{paper}.cases.{case}"
LEARNED_FROM = (CASE, "system", "integrator", "observations", "prior")


@dataclass(frozen=True)
class Task:
    """What a stage does for one sort of jobs.

    Attributes:
        inputs: files that it reads, by name; a function of a job where the names depend on it.
        sections: of the configuration, by name (`specs.Specs.spec`).
        more: sections whose names depend on the configuration.
        extras: what else its spec says.
        batch: what a job has a share of: `seeds` or `repeats` of `batches`, or the
            `jobs` of an experiment, which says itself how many there are.
        device: whether it may use a GPU.
        length: of the configuration what a job goes through once beside what its spec says.
        kinds_in: a file that names further code.
    """

    inputs: Mapping[str, Input] | Callable[[Files, Job], Mapping[str, Input]]
    sections: Mapping[str, Section]
    more: Callable[[Files, Job], Mapping[str, Sections]] | None = None
    extras: Callable[[Files, Job], Mapping[str, Any]] | None = None
    batch: str | None = None
    device: bool = False
    length: tuple[str, ...] | None = None
    kinds_in: str | None = None

    def files(self, files: Files, job: Job) -> dict[str, str | list[str]]:
        """{name: files that a job reads}."""
        inputs = self.inputs(files, job) if callable(self.inputs) else self.inputs
        found = {
            name: files.at(given, job) if isinstance(given, str) else given(files, job)
            for name, given in inputs.items()
        }
        return {name: paths for name, paths in found.items() if paths is not None}

    def sections_of(self, files: Files, job: Job) -> dict[str, Sections]:
        found = {
            name: given(files, job) if callable(given) else given
            for name, given in self.sections.items()
        }
        more = self.more(files, job) if self.more else {}
        return {name: given for name, given in found.items() if given is not None} | dict(more)

    def extras_of(self, files: Files, job: Job) -> dict[str, Any]:
        found = dict(self.extras(files, job)) if self.extras else {}
        if self.batch:
            found["batch"] = {"index": int(job["batch"])}
        if self.batch in files.config["batches"]:
            found["batch"]["size"] = files.config["batches"][self.batch]
        return found


@dataclass(frozen=True)
class Stage:
    """A stage and its tasks.

    Attributes:
        tasks: by name; what the script calls stands under this name among the entry points of the
            paper, or of the library. A task without a name needs no such function.
        chosen_by: {entry of the configuration, or function of a job: task}. The first that a job
            has, and whose task there is, decides; `{value}` in a task is what stands there.
            Nothing where there is one task alone.
    """

    tasks: Mapping[str, Task]
    chosen_by: Mapping[str | Callable[[Files, Job], Any], str] | None = None

    def choose(self, files: Files, job: Job) -> str:
        """The name of the task of a job."""
        if self.chosen_by is None:
            return next(iter(self.tasks))
        for entry, task in self.chosen_by.items():
            value = entry(files, job) if callable(entry) else files.entry(entry, job)
            if value and (name := task.format(value=value, **job)) in self.tasks:
                return name
        entries = [entry.format(**job) for entry in self.chosen_by if isinstance(entry, str)]
        raise ConfigError(f"no such job: the configuration has none of {', '.join(entries)}")


def one(task: Task) -> Stage:
    """A stage that does the same for all of its jobs."""
    return Stage({"": task})
