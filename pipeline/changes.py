"""What studies lay over methods and cases: settings, values of axes, and those that are tuned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dalib.experiments import runs, spec
from dalib.registry import REGISTRIES
from pipeline.kinds import Choice, Path, get


@dataclass(frozen=True)
class Change:
    """A value that a study lays over a section.

    Attributes:
        path: where it stands; of values of an axis, the axis.
        section: what it is laid over: a method as the study has it, or a case.
        role: of the method; None of a case.
        name: dotted, of the value in the section; "" of a mapping of settings.
        value: what is laid there.
        holder, key: the value is `holder[key]`.
    """

    path: Path
    section: Mapping[str, Any]
    role: str | None
    name: str
    value: Any
    holder: Any
    key: Any

    @property
    def settings(self) -> dict[str, Any]:
        """The value where it stands in the section."""
        return runs.with_values({}, {self.name: self.value}) if self.name else self.value


def parts(
    given: Mapping, section: Mapping, role: str, path: Path
) -> Iterator[tuple[Choice, Mapping]]:
    """(choice, settings laid over it) of a method and of the parts of it that are given."""
    if "kind" in given or isinstance(section.get("kind"), str):
        yield Choice(path, role, {"kind": section.get("kind"), **given}), given
    for name, own in given.items():
        if name in REGISTRIES and isinstance(own, Mapping):
            below = section.get(name)
            below = below if isinstance(below, Mapping) else {}
            if "kind" not in own and "kind" not in below:
                yield Choice((*path, name), name, own), own
            yield from parts(own, below, name, (*path, name))


def of_methods(paper: Mapping, path: Path) -> Iterator[Change]:
    """All that the studies of a paper at `path` lay over settings of methods."""
    for where, study in _studies(paper, path):
        methods = get(study, "methods")
        for method, own in methods.items() if isinstance(methods, Mapping) else ():
            own = own if isinstance(own, Mapping) else {}
            settings = {key: value for key, value in own.items() if key != "tune"}
            there = (*where, "methods", method)
            for role, section in _whole(paper, get(study, "task"), method, settings):
                for change in _of_method(study, method, settings, section, role, there):
                    if isinstance(change.settings, Mapping):
                        yield change


def _whole(
    paper: Mapping, task: Any, method: str, settings: Mapping
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(role, section) of a method as a study has it; of a study without a task, if it has a kind
    of one.
    """
    known = isinstance(task, str) and task in spec.TASKS
    for collections, role in [spec.TASKS[task]] if known else spec.TASKS.values():
        section = spec.over(_shared(paper, collections, method), settings)
        if known or ("kind" in section and Choice((), role, section).dotted):
            yield role, section
            return


def _of_method(
    study: Mapping, method: str, settings: dict, section: Mapping, role: str, path: Path
) -> Iterator[Change]:
    yield Change(path, section, role, "", settings, study["methods"], method)
    where = path[:-2]
    for place, axis, holder, key in _values(study):
        of = get(study, "of", axis)
        if isinstance(of, list) and method not in of and all(isinstance(o, str) for o in of):
            continue
        head, _, name = axis.partition(".")
        if axis == spec.SETTINGS and isinstance(holder[key], Mapping) and place != "base":
            there = (*where, place, axis, key)
            yield Change(there, section, role, "", holder[key], holder, key)
        elif head == spec.OF_METHODS and name:
            yield Change((*where, place, axis), section, role, name, holder[key], holder, key)
    grid = get(study, "methods", method, "tune", "grid")
    for name, values in grid.items() if isinstance(grid, Mapping) else ():
        for i, value in enumerate(values) if isinstance(values, list) else ():
            there = (*path, "tune", "grid", name)
            yield Change(there, section, role, name, value, values, i)
    timed = get(study, "timing", "settings")
    if isinstance(get(timed, method), Mapping):
        there = (*where, "timing", "settings", method)
        yield Change(there, section, role, "", timed[method], timed, method)


def of_cases(paper: Mapping, path: Path) -> Iterator[Change]:
    """All that the studies of a paper at `path` put in the place of keys of their cases."""
    for where, study in _studies(paper, path):
        case = get(paper, "cases", str(get(study, "case")))
        for place, axis, holder, key in _values(study):
            head, *_ = keys = axis.split(".")
            if get(case, head) is not None and isinstance(get(case, *keys[:-1]), Mapping):
                yield Change((*where, place, axis), case, None, axis, holder[key], holder, key)


def tuned(paper: Mapping) -> Iterator[dict[str, Any]]:
    """The settings of methods in studies that have a `tune`."""
    for _, study in _studies(paper, ()):
        methods = get(study, "methods")
        for own in methods.values() if isinstance(methods, Mapping) else ():
            if isinstance(get(own, "tune"), Mapping):
                yield own


def _studies(paper: Mapping, path: Path) -> Iterator[tuple[Path, Any]]:
    studies = paper.get("studies")
    for name, study in studies.items() if isinstance(studies, Mapping) else ():
        yield (*path, "studies", name), study


def _values(study: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """(`vary`, `vary_each` or `base`, axis, holder, key) of all that a study varies.

    Of bases, those that are values, no labels.
    """
    labelled = {spec.SETTINGS}
    for place in (*spec.VARIED, "base"):
        axes = get(study, place)
        for axis, values in axes.items() if isinstance(axes, Mapping) else ():
            if place == "base":
                if axis not in labelled:
                    yield place, axis, axes, axis
            elif isinstance(values, Mapping):
                labelled.add(axis)
                yield from ((place, axis, values, label) for label in values)
            elif isinstance(values, list):
                yield from ((place, axis, values, i) for i in range(len(values)))
            else:
                yield place, axis, axes, axis


def _shared(paper: Mapping, collections: tuple[str, ...], method: str) -> Mapping:
    """The section of a method that studies share."""
    found = (get(paper, collection, method) for collection in collections)
    return next((one for one in found if isinstance(one, Mapping)), {})
