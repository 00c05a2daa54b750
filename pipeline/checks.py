"""What is wrong with a configuration: by its sections, the classes it names, and itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dalib.experiments import runs, spec
from dalib.registry import REGISTRIES
from pipeline import changes, kinds, layout
from pipeline.fields import Classes, NoSuchClassError, Setting
from pipeline.problems import (
    Problem,
    missing,
    said,
    section_problems,
    setting_problems,
    unknown,
)

# Roles whose objects are built of nothing else.
SETTINGS_ONLY = {"system", "integrator", "schedule", "codec", "localisation", "metric", "measure"}
NAMES_IN_A_CASE = [  # keys of a case, and the collection whose entries stand there
    ("timing", "methods", "filters"),
    ("timing", "settings", "filters"),
    ("timing", "experiments", "learning"),
    ("timing", "cases", "learning"),
    ("timing", "fixed", "learning"),
]


def check(config: Mapping, classes: Classes) -> list[Problem]:
    """Every problem; empty if there is none."""
    papers = {name: section for name, section in config.items() if kinds.is_paper(section)}
    general = {key: value for key, value in config.items() if key not in papers}
    problems = list(section_problems(general, layout.CONFIGURATION, classes, (), also=papers))
    for name, paper in papers.items():
        problems += section_problems(paper, classes.paper(name), classes, (name,))
        problems += kind_problems(paper, classes, (name,))
        problems += _reference_problems(paper, (name,))
        told = {problem.path for problem in problems}
        found = _study_problems(paper, classes, (name,))
        problems += [p for p in found if not _is_told(p, told)]
    return problems


def _is_told(problem: Problem, told: set[kinds.Path]) -> bool:
    """Whether something of a case is known to be wrong at the same place, or below it."""
    is_of_case = problem.path[1:2] == ("cases",) and not problem.missing
    return is_of_case and any(path[: len(problem.path)] == problem.path for path in told)


# -- classes -------------------------------------------------------------------------------------


def kind_problems(tree: Any, classes: Classes, path: kinds.Path = ()) -> Iterator[Problem]:
    """Unknown kinds in a tree that stands at `path`, and settings that their classes refuse."""
    for choice in kinds.choices(tree, path):
        if choice.path[1:2] == ("studies",):
            if choice.path[3:4] != ("metrics",):  # what they change is looked at in its place
                continue
            own = {key: value for key, value in choice.section.items() if key != "name"}
            choice = replace(choice, section=own)  # of a metric's scores
        yield from _choice_problems(choice, classes)


def _choice_problems(choice: kinds.Choice, classes: Classes) -> Iterator[Problem]:
    """One kind that is unknown, or settings that its class refuses."""
    if choice.role is None:
        roles = ", ".join(sorted(REGISTRIES))
        yield Problem((*choice.path, "kind"), f"no code is chosen here, but for: {roles}")
        return
    if "kind" not in choice.section:
        yield Problem(choice.path, '"kind" is missing', missing=True)
        return
    if not isinstance(choice.kind, str):
        yield Problem((*choice.path, "kind"), f"{said(choice.kind)}, a text is needed")
        return
    if choice.dotted is None:
        known = REGISTRIES[choice.role]
        yield Problem((*choice.path, "kind"), unknown(choice.role, choice.kind, known))
        return
    try:
        settings = classes.settings(choice.dotted)
    except NoSuchClassError as error:
        yield Problem((*choice.path, "kind"), f"{choice.dotted}: {error}")
        return
    if settings is not None:
        yield from _setting_problems(choice.section, settings, choice, classes)


def _setting_problems(
    section: Mapping, settings: Mapping[str, Setting], choice: kinds.Choice, classes: Classes
) -> Iterator[Problem]:
    """Settings of one class that are unknown or missing, and those that it refuses."""
    for problem in _plain_problems(section, settings, choice, classes):
        of = f" ({choice.dotted.partition(':')[2]})" if choice.role else ""
        yield replace(problem, message=f"{problem.message}{of}")


def _plain_problems(
    section: Mapping, settings: Mapping[str, Setting], choice: kinds.Choice, classes: Classes
) -> Iterator[Problem]:
    given = {
        name: value
        for name, value in section.items()
        if name not in kinds.REFERENCES and not kinds.completes(name, value)
    }
    also = {"kind", *kinds.REFERENCES, *({"name"} if choice.role == "metric" else ())}
    yield from setting_problems(given, settings, choice.path, also, classes)
    if choice.role in SETTINGS_ONLY:
        yield from missing(section, settings, choice.path)


# -- studies -------------------------------------------------------------------------------------


def _study_problems(paper: Mapping, classes: Classes, path: kinds.Path) -> Iterator[Problem]:
    """Studies that cannot be read; settings that the classes of methods and cases refuse."""
    for change in changes.of_methods(paper, path):
        for choice, _ in changes.parts(change.settings, change.section, change.role, change.path):
            told = _choice_problems(choice, classes)
            yield from (replace(p, path=change.path) if change.name else p for p in told)
    dotted = classes.case(path[0])
    for change in changes.of_cases(paper, path):
        section = runs.case_at(change.section, {change.name: change.value})
        found = section_problems(section, dotted, classes, ("cases", ""))
        found = [*found, *kind_problems(section, classes, ("cases", ""))]
        keys = change.name.split(".")
        of_axis = (p for p in found if list(p.path[2:])[: len(keys)] == keys)
        yield from (Problem(change.path, problem.message) for problem in of_axis)
    found = [Problem((*path, *p.path), p.message, p.missing) for p in spec.problems(paper)]
    yield from found
    for name, study in {} if found else spec.studies(paper).items():
        where = (*path, "studies", name)
        for section in study.metrics.values():
            if kinds.Choice(where, "metric", section).dotted is None:
                message = unknown("metric", section["kind"], REGISTRIES["metric"])
                yield Problem((*where, "metrics"), message)


# -- names ---------------------------------------------------------------------------------------


def _reference_problems(paper: Mapping, path: kinds.Path) -> Iterator[Problem]:
    """Names of cases, filters, models and forecasters that are not there."""
    for where, collection, name in _references(paper):
        known = paper.get(collection, {})
        if not isinstance(name, str):
            yield Problem((*path, *where), f"{said(name)}, a name is needed")
        elif isinstance(known, Mapping) and name not in known:
            what = "method" if "methods" in where[-2:] else kinds.singular(collection)
            yield Problem((*path, *where), unknown(what, name, known))


def _references(paper: Mapping) -> Iterator[tuple[kinds.Path, str, str]]:
    """(path in the paper, collection, name) of everything that names an entry of a collection."""
    yield from _listed(paper.get("active"), ("active",), "cases")
    yield from _listed(paper.get("labels"), ("labels",), "cases")
    for role, cases in _entries(paper.get("roles")):
        if isinstance(cases, str):
            yield ("roles", role), "cases", cases
        else:
            yield from _listed(cases, ("roles", role), "cases")
    for case, _ in _entries(paper["cases"]):
        for *keys, collection in NAMES_IN_A_CASE:
            where = ("cases", case, *keys)
            yield from _listed(kinds.get(paper, *where), where, collection)
    for collection in ("filters", "models"):
        for entry, section in _entries(paper.get(collection)):
            for key in kinds.REFERENCES.keys() & dict(_entries(section)).keys():
                if "kind" not in dict(_entries(section[key])):  # else a part of its own
                    yield (collection, entry, key), kinds.REFERENCES[key], section[key]


def _entries(section: Any) -> Iterable[tuple[str, Any]]:
    """Of a mapping; of what is none, nothing: the schema says that it should be one."""
    return section.items() if isinstance(section, Mapping) else ()


def _listed(names: Any, where: kinds.Path, collection: str) -> Iterator[tuple]:
    """Names in a list, or the keys of a mapping."""
    if isinstance(names, Mapping):
        yield from (((*where, name), collection, name) for name in names)
    elif isinstance(names, list):
        yield from (((*where, i), collection, name) for i, name in enumerate(names))
