"""Choices of code in the configuration: where `kind:` stands, and which class it names.

The role of a kind is the key above it, or the singular of the collection that it is an entry of:

    system: {kind: lorenz63}                  role system
    filters: {ekf: {kind: ekf}}               role filter
    sampler: [{kind: a}, {kind: b}]           role sampler
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dalib.experiments.spec import OF_METHODS, TASKS, over
from dalib.registry import REGISTRIES
from pipeline.fields import Classes, NoSuchClassError, Setting

REFERENCES = {"model": "models", "codec": "codecs", "filter": "filters"}  # key -> collection

Path = tuple[str | int, ...]  # keys and list positions from the top of the configuration


@dataclass(frozen=True)
class Choice:
    """A mapping with `kind:` and where it stands; the role is None where no role can stand."""

    path: Path
    role: str | None
    section: Mapping[str, Any]

    @property
    def kind(self) -> Any:
        return self.section["kind"]

    @property
    def dotted(self) -> str | None:
        """ "package.module:Class", None if the kind is not known."""
        if isinstance(self.kind, str) and ":" in self.kind:
            return self.kind
        known = REGISTRIES[self.role] if self.role else {}
        return known.get(self.kind) if isinstance(self.kind, str) else None


def choices(tree: Any, path: Path = ()) -> Iterator[Choice]:
    """Every mapping with `kind:` in a tree that stands at `path` of the configuration."""
    if isinstance(tree, Mapping):
        if "kind" in tree:
            yield Choice(path, role(path), tree)
        for key, value in tree.items():
            yield from choices(value, (*path, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            yield from choices(value, (*path, position))


def role(path: Path) -> str | None:
    """The role of what stands at `path`: of the key above, else of the collection above that."""
    names = [key for key in path if isinstance(key, str)]
    for name in reversed(names[-2:]):
        for candidate in (name, singular(name)):
            if candidate in REGISTRIES:
                return candidate
    return None


def singular(collection: str) -> str:
    """`filters` -> `filter`, `studies` -> `study`."""
    if collection.endswith("ies"):
        return collection.removesuffix("ies") + "y"
    return collection.removesuffix("s")


def is_paper(section: Any) -> bool:
    return isinstance(section, Mapping) and "cases" in section


def get(tree: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def settings(choice: Choice, classes: Classes) -> dict[str, Setting] | None:
    try:
        return classes.settings(choice.dotted) if choice.dotted else None
    except NoSuchClassError:
        return None


def study_methods(paper: Mapping, path: Path) -> Iterator[Choice]:
    """The methods of the studies of a paper at `path`; the task of a study is their role."""
    studies = get(paper, "studies")
    for name, study in studies.items() if isinstance(studies, Mapping) else ():
        task, methods = get(study, "task"), get(study, "methods")
        if not isinstance(task, str) or task not in TASKS or not isinstance(methods, Mapping):
            continue
        collections, role = TASKS[task]
        for method, own in methods.items():
            shared = (get(paper, collection, method, "kind") for collection in collections)
            kind = get(own, "kind") or next(filter(None, shared), None)
            if isinstance(own, Mapping) and isinstance(kind, str):
                where = (*path, "studies", name, "methods", method)
                yield Choice(where, role, {"kind": kind, **own})
                for key, value in own.items():  # of a part whose kind the shared method says
                    part = get(_shared(paper, collections, method), key, "kind")
                    own_kind = not isinstance(value, Mapping) or "kind" in value
                    if key in REGISTRIES and not own_kind and isinstance(part, str):
                        yield Choice((*where, key), key, {"kind": part, **value})


def _shared(paper: Mapping, collections: tuple[str, ...], method: str) -> Mapping:
    """The section of a method that studies share."""
    found = (get(paper, collection, method) for collection in collections)
    return next((one for one in found if isinstance(one, Mapping)), {})


def varied_methods(paper: Mapping, study: Any, axis: str, value: Any) -> Iterator[Choice]:
    """The classes, of methods or of parts of them, whose setting an axis varies, with a value."""
    task, methods = get(study, "task"), get(study, "methods")
    head, *above = axis.split(".")
    if head != OF_METHODS or not above or not isinstance(methods, Mapping):
        return
    if not isinstance(task, str) or task not in TASKS:
        return
    (collections, role), (*above, last) = TASKS[task], above
    for method, own in methods.items():
        whole = _shared(paper, collections, method)
        kind = get(over(whole, own) if isinstance(own, Mapping) else whole, *above, "kind")
        if isinstance(kind, str):
            yield Choice(("",), above[-1] if above else role, {"kind": kind, last: value})


def tunings(paper: Mapping, classes: Classes, path: Path) -> Iterator[tuple]:
    """(path, settings of the filter's class, settings given) for each filter of each case."""
    for case in paper["cases"] if isinstance(paper["cases"], Mapping) else ():
        yield from _field_tunings(paper, case, classes, path)


def field_points(paper: Mapping, case: str) -> Iterator[tuple[Path, str, Mapping]]:
    """(path in the paper, filter, point) of everything that runs on the fields of a case."""
    methods = get(paper, "cases", case, "fields", "methods")
    for name, points in methods.items() if isinstance(methods, Mapping) else ():
        for i, point in enumerate(points if isinstance(points, list) else ()):
            if isinstance(point, Mapping):
                yield ("cases", case, "fields", "methods", name, i), name, point


def _first_of_each(tuned: Any) -> Any:
    """Settings that are tuned with the first of their values, to be checked as a filter's."""
    if isinstance(tuned, Mapping):
        return {key: _first_of_each(value) for key, value in tuned.items()}
    return tuned[0] if isinstance(tuned, list) and tuned else tuned


def _field_tunings(paper: Mapping, case: str, classes: Classes, path: Path) -> Iterator[tuple]:
    """What points and timings say to a filter, and to the one within it."""
    said = [
        ((*where, "settings"), name, point.get("settings"))
        for where, name, point in field_points(paper, case)
    ]
    said += [
        ((*where, "tuned"), name, _first_of_each(point.get("tuned")))
        for where, name, point in field_points(paper, case)
    ]
    where = ("cases", case, "timing", "settings")
    timed = get(paper, *where)
    said += [((*where, n), n, t) for n, t in (timed.items() if isinstance(timed, Mapping) else ())]
    for where, name, tuning in said:
        keys, where = ("filters", name), (*path, *where)
        while isinstance(tuning, Mapping):
            section = get(paper, *keys)
            if not isinstance(section, Mapping) or "kind" not in section:
                break
            found = settings(Choice((), "filter", section), classes)
            if found is not None:
                yield where, found, tuning
            tuning, keys, where = tuning.get("filter"), (*keys, "filter"), (*where, "filter")
