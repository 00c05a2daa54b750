"""How much a job has to do, counted from its configuration without knowing what it does.

    work of a job / work of another = Π (count / count of the other) ** power

Counts are the settings that say how often something is done (`COUNTS`): of a job the sum of each
over all places of its sections where it stands. That is rough, and meant for one method at several
scales; jobs whose settings are not the same are not compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline import kinds
from pipeline.graph import STAGES, Graph

# Of a setting: the powers with which time and files grow.
COUNTS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("steps", "epochs", "batch", "window", "trajectories", "levels"), (1, 0)),
    **dict.fromkeys(("members", "context", "repetitions", "updates"), (1, 0)),
    **dict.fromkeys(("repeats", "seeds", "samples", "count", "chains", "horizon", "days"), (1, 1)),
    **dict.fromkeys(("size", "layers", "depth", "runs"), (1, 1)),
    **dict.fromkeys(("width", "hidden", "channels", "embedding"), (2, 2)),  # n units by n weights
    "points": (2, 2),  # of a side of a grid
    "jobs": (-1, -1),  # that an experiment is divided into
}
TRAINING, TRAINED_IN = ("training", "tune"), ("train", "tune", "fit")  # sections, and stages
OF_AN_UPDATE = ("batch", "window", "context")  # that count only where something is trained
GRIDS = ("points", "vary", "candidates", "tuned")  # lists of values, of which all are combined
DIVIDED = {"seeds": "seeds", "repeats": "repeats", "points": "runs"}  # by batches of that name


class Size(NamedTuple):
    """How large a job is.

    counts: of what it does, by setting; None where nobody knows what it is made from.
    alike: names under which jobs are comparable, the closest kinship first.
    """

    counts: Mapping[str, float] | None
    alike: tuple[str, ...]


def named(stage: str, wildcards: Mapping[str, str]) -> str:
    """`train paper=a case=b batch=0`: a job by the same name at every scale."""
    parts = (f"{name}={value}" for name, value in wildcards.items() if name != "scale")
    return " ".join([stage, *parts])


def names(scale: str, job: str, alike: str | None = None) -> tuple[str, ...]:
    """Names of jobs that are like one: itself, at other scales, other batches, the same kinds."""
    method = " ".join(p for p in job.split(" ") if not p.startswith(("batch=", "part=")))
    return tuple(dict.fromkeys([f"{scale}: {job}", job, method, *filter(None, [alike])]))


def size(
    graph: Graph, stage: str, wildcards: Mapping[str, str], spec: Mapping[str, Any] | None = None
) -> Size:
    """The size of a job, by what its spec says where there is one, else by the configuration.

    Raises:
        LookupError, ConfigError: the configuration has no such case or method (any more).
    """
    scale, name = graph.config["scale"], named(stage, wildcards)
    if not wildcards.keys() - {"scale", "paper"}:  # of a whole paper: a figure, a table
        return Size({}, names(scale, name))
    task = graph.task(stage, wildcards) if stage in STAGES else None
    if spec is None and task is None:
        return Size(None, names(scale, name)[:1])
    if task and "case" in wildcards:
        graph.case(wildcards)  # how large one is that is no longer there nobody knows
    spec = spec or {"config": graph.sections_of(stage, wildcards)}
    sections = {**spec["config"], "runs": spec.get("runs", [])}
    chosen = sorted({choice.kind for choice in kinds.choices(spec["config"])})
    alike = " ".join([f"{stage} of", *filter(None, [wildcards.get("product")]), *chosen])
    length = graph.length_of(task, wildcards) if task else {}
    found = counts({**sections, "length": length}, trains=stage in TRAINED_IN)
    if task and task.batch in DIVIDED:
        divided = DIVIDED[task.batch]
        each = spec.get("batch", {}).get("size", graph.config["batches"][task.batch])
        left = found.get(divided, each) - int(wildcards["batch"]) * each
        found[divided] = min(max(left, 1.0), float(each))
    return Size(found, names(scale, name, alike))


def counts(sections: Mapping[str, Any], *, trains: bool = True) -> dict[str, float]:
    """{setting: how much there is of it}, in all places together; nothing counts less than one.

    How something was trained counts where it is trained; elsewhere only how often.
    """
    found: Counter[str] = Counter()
    for key, value in _counted(sections, trains):
        found[key] += value
    return {key: max(float(value), 1.0) for key, value in sorted(found.items())}


def _counted(tree: Any, trains: bool) -> Iterator[tuple[str, float]]:
    if isinstance(tree, list):
        if tree and all(isinstance(value, Mapping) for value in tree):
            yield "runs", len(tree)
        for value in tree:
            yield from _counted(value, trains)
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        if key in GRIDS and isinstance(value, Mapping):
            yield "runs", math.prod(map(len, _lists(value)))
        elif key in TRAINING and isinstance(value, Mapping) and not trains:
            yield from _counted({k: value[k] for k in value.keys() & {"repeats"}}, trains)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield from _counted(value, trains)
        elif key in COUNTS and (trains or key not in OF_AN_UPDATE):
            yield key, value


def _lists(tree: Mapping) -> Iterator[list]:
    for value in tree.values():
        if isinstance(value, Mapping):
            yield from _lists(value)
        elif isinstance(value, list):
            yield value


def ratio(job: Size, other: Size, files: bool = False) -> float:
    """Work of a job for that of another; `files`: of what they write."""
    if job.counts is None or other.counts is None:
        return 1.0
    both = sorted(job.counts.keys() & other.counts.keys())
    return math.prod((job.counts[k] / other.counts[k]) ** COUNTS[k][files] for k in both)
