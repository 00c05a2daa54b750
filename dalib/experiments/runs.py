"""The one enumeration of what a study runs: methods, coordinates on its axes, replicates.

Plain values without torch: the workflow counts runs, stages work through them, and results carry
them as coordinates along a dimension `run`. A stage reads some axes only; runs that agree in
these are one run to it (`distinct`), so that a study of forecast contexts fits nothing again.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dalib.experiments.spec import OF_METHODS, SETTINGS, Study, over

SIMULATED = ("system", "integrator", "dtype", "truth")  # sections of a case that the truth is of
OBSERVED = (*SIMULATED, "observations")
KNOWN = (*SIMULATED, "prior")
DATA = (*OBSERVED, "prior")  # all that data are made of
FITTED = (*OBSERVED, OF_METHODS, SETTINGS)


@dataclass(frozen=True)
class Run:
    """One method under one set of conditions, once.

    Attributes:
        coordinates: {name of an axis: label of its value}.
        is_base: whether every axis stands at its base point.
    """

    method: str
    coordinates: Mapping[str, Any]
    replicate: int
    is_base: bool

    def plain(self) -> dict[str, Any]:
        """As plain values, for a spec."""
        return asdict(self)


def runs(study: Study) -> list[Run]:
    """Every method at every combination of values, in all replicates.

    Of axes that vary alone, combinations in which one of them at most is off its base.
    """
    return [
        _run(study, method, combination, replicate)
        for method in study.methods
        for combination in itertools.product(
            *(axis.values if axis.varies(method) else [axis.base] for axis in study.axes)
        )
        if _off_base(study, combination) <= 1
        for replicate in range(study.replicates_of(method))
    ]


def _off_base(study: Study, combination: Sequence) -> int:
    """How many of the axes that vary alone are not at their base."""
    pairs = zip(study.axes, combination, strict=True)
    return sum(axis.alone and label != axis.base for axis, label in pairs)


def _run(study: Study, method: str, combination: Sequence, replicate: int) -> Run:
    """Settings that an axis does not vary in a method are none of its coordinates."""
    pairs = list(zip(study.axes, combination, strict=True))
    own = {a.name: label for a, label in pairs if a.varies(method) or not a.of_methods}
    return Run(method, own, replicate, all(label == axis.base for axis, label in pairs))


def restricted(run: Run, heads: Iterable[str]) -> Run:
    """The run as a stage sees it that reads no other axes than those of `heads`."""
    kept = {name: v for name, v in run.coordinates.items() if name.split(".")[0] in set(heads)}
    return Run(run.method, kept, run.replicate, run.is_base)


def distinct(found: Iterable[Run], heads: Iterable[str]) -> list[Run]:
    """Runs of a stage that reads the axes of `heads`; a run shared with a base run is one."""
    heads, kept = set(heads), {}
    for run in found:
        one = restricted(run, heads)
        if one.is_base or identity(one) not in kept:
            kept[identity(one)] = one
    return list(kept.values())


def identity(run: Run) -> tuple:
    """What tells runs of a study apart."""
    return run.method, tuple(sorted(run.coordinates.items(), key=str)), run.replicate


def parts(
    study: Study,
    found: Iterable[Run],
    per_job: int,
    heads: Iterable[str] | None = None,
    *,
    together: bool = False,
) -> list[list[Run]]:
    """The runs of every job: of one method, with arrays of equal shapes, at most `per_job`.

    That each job has one method keeps the others' results when a method is added.

    Args:
        heads: first parts of the names of axes that may shape what comes out; all by default.
        together: whether a job may have several methods.
    """
    heads = {axis.name.split(".")[0] for axis in study.axes} if heads is None else set(heads)
    of = [axis for axis in study.axes if axis.name.split(".")[0] in heads]
    shaping = {axis.name for axis in of if axis.shapes}
    groups: dict[tuple, list[Run]] = {}
    for run in found:
        shape = tuple((n, v) for n, v in sorted(run.coordinates.items()) if n in shaping)
        groups.setdefault((None if together else run.method, shape), []).append(run)
    return [
        alike[first : first + per_job]
        for alike in groups.values()
        for first in range(0, len(alike), per_job)
    ]


def values(study: Study, coordinates: Mapping[str, Any]) -> dict[str, Any]:
    """{axis: value} for {axis: label}."""
    return {name: study.axis(name).values[label] for name, label in coordinates.items()}


def case_at(case: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The section of a case with the values {axis: value} of a run."""
    own = {n: v for n, v in chosen.items() if n.split(".")[0] != OF_METHODS}
    return with_values(case, {n: v for n, v in own.items() if n.split(".")[0] in case})


def method_at(section: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The section of a method with the values {axis: value} of a run."""
    head = f"{OF_METHODS}."
    varied = {n.removeprefix(head): v for n, v in chosen.items() if n.startswith(head)}
    return with_values(over(section, chosen.get(SETTINGS, {})), varied)


def with_values(tree: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with other values at dotted names."""
    tree = dict(tree)
    for name, value in chosen.items():
        head, _, rest = name.partition(".")
        tree[head] = with_values(tree.get(head, {}), {rest: value}) if rest else value
    return tree


def labels(entries: Sequence[Mapping]) -> dict[str, tuple]:
    """Coordinates along `run` of results, from runs as a spec has them: what tells them apart."""
    found = {
        "method": ([e["method"] for e in entries], "method"),
        "replicate": ([e["replicate"] for e in entries], "replicate"),
    }
    if "is_base" in entries[0]:
        base = [int(entry["is_base"]) for entry in entries]
        found["is_base"] = base, "whether every axis is at its base point"
    for axis in dict.fromkeys(axis for entry in entries for axis in entry["coordinates"]):
        own = [entry["coordinates"].get(axis) for entry in entries]
        none = "" if any(isinstance(value, str) for value in own) else math.nan
        found[axis.replace(".", "_")] = [none if v is None else v for v in own], axis
    return {n: ("run", v, {"units": "1", "long_name": text}) for n, (v, text) in found.items()}
