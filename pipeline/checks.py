"""What is wrong with a configuration: against the schema, the classes it names, and itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dalib import field_runs
from dalib.experiments import runs, spec
from dalib.registry import REGISTRIES
from pipeline import kinds, validation
from pipeline.fields import Classes, NoSuchClassError, Setting
from pipeline.problems import Problem, said, schema_problems, setting_problems, unknown

SETTINGS_ONLY = {"system", "integrator"}  # roles whose objects are built of nothing else
NAMES_IN_A_CASE = [  # keys of a case, and the collection whose entries stand there
    ("fields", "codecs", "models"),
    ("fields", "methods", "filters"),
    ("timing", "methods", "filters"),
    ("timing", "settings", "filters"),
    ("timing", "experiments", "learning"),
    ("timing", "cases", "learning"),
    ("timing", "fixed", "learning"),
]


def check(config: Mapping, schema: Mapping, classes: Classes) -> list[Problem]:
    """Every problem; empty if there is none."""
    papers = {name: section for name, section in config.items() if kinds.is_paper(section)}
    general = {key: value for key, value in config.items() if key not in papers}
    problems = list(schema_problems(general, schema, schema, (), also=papers))
    for name, paper in papers.items():
        definition = schema["$defs"]["paper"]
        problems += schema_problems(paper, definition, schema, (name,))
        problems += kind_problems(paper, classes, (name,))
        problems += _tuning_problems(paper, classes, (name,))
        problems += _reference_problems(paper, (name,))
        problems += _start_problems(paper, (name,))
        problems += _point_problems(paper, (name,), {problem.path for problem in problems})
        problems += _study_problems(paper, schema, classes, (name,))
    return problems


def _start_problems(paper: Mapping, path: kinds.Path) -> Iterator[Problem]:
    """First states are normal (`std`) or uniform (`half_width`), one of the two."""
    for case in paper["cases"] if isinstance(paper["cases"], Mapping) else ():
        start = kinds.get(paper, "cases", case, "truth", "start")
        if not isinstance(start, Mapping) or "kind" in start:
            continue
        if len(start.keys() & {"std", "half_width"}) != 1:
            where = (*path, "cases", case, "truth", "start")
            yield Problem(where, "one of std (normal) and half_width (uniform) is needed")


# -- classes -------------------------------------------------------------------------------------


def kind_problems(tree: Any, classes: Classes, path: kinds.Path = ()) -> Iterator[Problem]:
    """Unknown kinds in a tree that stands at `path`, and settings that their classes refuse."""
    for choice in kinds.choices(tree, path):
        if choice.path[1:2] == ("studies",):
            if "methods" in choice.path:  # their task says more
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
        yield from _setting_problems(choice.section, settings, choice)


def _setting_problems(
    section: Mapping, settings: Mapping[str, Setting], choice: kinds.Choice
) -> Iterator[Problem]:
    """Settings of one class that are unknown or missing, and those that it refuses."""
    own = {name for name, value in section.items() if _is_choice(name, value)}
    given = {name: value for name, value in section.items() if name not in own}
    also = {"kind", *kinds.REFERENCES, *(("name",) if choice.role == "metric" else ())}
    yield from setting_problems(given, settings, choice.path, also)
    if choice.role in SETTINGS_ONLY:
        for name, setting in settings.items():
            if setting.required and name not in section:
                yield Problem(choice.path, f'"{name}" is missing', missing=True)


def _is_choice(name: str, value: Any) -> bool:
    """A part with a kind of its own, such as `localisation: {kind: ring}`."""
    return name in REGISTRIES and isinstance(value, Mapping)


def _tuning_problems(paper: Mapping, classes: Classes, path: kinds.Path) -> Iterator[Problem]:
    """What a case says to a filter, `methods: {ekf: {inflation: 1.1}}`: settings of its class."""
    for where, settings, tuning in kinds.tunings(paper, classes, path):
        yield from _setting_problems(tuning, settings, kinds.Choice(where, None, tuning))


# -- studies -------------------------------------------------------------------------------------


def _study_problems(
    paper: Mapping, schema: Mapping, classes: Classes, path: kinds.Path
) -> Iterator[Problem]:
    """Studies that cannot be read; methods and metrics whose classes refuse their settings."""
    for choice in kinds.study_methods(paper, path):
        yield from _choice_problems(choice, classes)
    told = (
        Problem(where, problem.message)
        for where, study, axis, value in _values(paper, path)
        for choice in kinds.varied_methods(paper, study, axis, value)
        for problem in _choice_problems(choice, classes)
    )
    yield from dict.fromkeys(told)
    for where, case, axis, value in _varied(paper, path):
        section = runs.case_at(case, {axis: value})
        found = schema_problems(section, schema["$defs"]["case"], schema, ("cases", ""))
        found = [*found, *kind_problems(section, classes, ("cases", ""))]
        keys = axis.split(".")
        of_axis = (p for p in found if list(p.path[2:])[: len(keys)] == keys)
        yield from (Problem(where, problem.message) for problem in of_axis)
    found = [Problem((*path, *p.path), p.message, p.missing) for p in spec.problems(paper)]
    yield from found
    for name, study in {} if found else spec.studies(paper).items():
        where = (*path, "studies", name)
        for section in study.metrics.values():
            if kinds.Choice(where, "metric", section).dotted is None:
                message = unknown("metric", section["kind"], REGISTRIES["metric"])
                yield Problem((*where, "metrics"), message)


def _varied(paper: Mapping, path: kinds.Path) -> Iterator[tuple[kinds.Path, Mapping, str, Any]]:
    """(path, case, axis, value) of everything that studies put in the place of a key of a case."""
    for where, study, axis, value in _values(paper, path):
        case = kinds.get(paper, "cases", str(kinds.get(study, "case")))
        if isinstance(kinds.get(case, *axis.split(".")[:-1]), Mapping):
            yield where, case, axis, value


def _values(paper: Mapping, path: kinds.Path) -> Iterator[tuple[kinds.Path, Any, str, Any]]:
    """(path, study, axis, value) of all that studies vary; of a base that is a value, no label."""
    studies = paper.get("studies")
    for name, study in studies.items() if isinstance(studies, Mapping) else ():
        labelled = set()
        for given in (*spec.VARIED, "base"):
            axes = kinds.get(study, given)
            for axis, values in axes.items() if isinstance(axes, Mapping) else ():
                if axis in labelled:
                    continue  # the base is a label
                if isinstance(values, Mapping) and given != "base":
                    labelled.add(axis)
                    values = list(values.values())
                for value in values if isinstance(values, list) else [values]:
                    yield (*path, "studies", name, given, axis), study, axis, value


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
        dynamics = kinds.get(paper, "cases", case, "dynamics", "model")
        if isinstance(dynamics, str):
            yield ("cases", case, "dynamics", "model"), "models", dynamics
        for where, _, point in kinds.field_points(paper, case):
            if "model" in point:
                yield (*where, "model"), "models", point["model"]
    for collection in ("filters", "models"):
        for entry, section in _entries(paper.get(collection)):
            for key in kinds.REFERENCES.keys() & dict(_entries(section)).keys():
                if "kind" not in dict(_entries(section[key])):  # else a part of its own
                    yield (collection, entry, key), kinds.REFERENCES[key], section[key]


def _entries(section: Any) -> Iterable[tuple[str, Any]]:
    """Of a mapping; of what is none, nothing: the schema says that it should be one."""
    return section.items() if isinstance(section, Mapping) else ()


# -- points of filters on fields -----------------------------------------------------------------


def _point_problems(paper: Mapping, path: kinds.Path, wrong: set[kinds.Path]) -> Iterator[Problem]:
    """Starts and errors that a case does not have, and runs that cannot be told apart.

    Where something below the case is known to be wrong, at one of the paths `wrong`, this waits.
    """
    for case in paper["cases"] if isinstance(paper["cases"], Mapping) else ():
        product, above = kinds.get(paper, "cases", case, "fields"), ("cases", case, "fields")
        here = (*path, *above)
        if any(where[: len(here)] == here for where in wrong):
            continue
        base = kinds.get(product, "base")
        if not isinstance(base, Mapping) or not isinstance(product.get("methods"), Mapping):
            continue
        points = [(where, point) for where, _, point in kinds.field_points(paper, case)]
        for where, point in [((*above, "base"), base), *points]:
            yield from _condition_problems(paper["cases"][case], point, (*path, *where))
        for name, given in product["methods"].items():
            section = kinds.get(paper, "filters", name)
            if isinstance(section, Mapping) and _are_points(given):
                where = (*path, *above, "methods", name)
                yield from _refusals(where, field_runs.runs_of, product, name, section)
        if isinstance(product.get("jobs"), Mapping):
            yield from _refusals((*path, *above, "jobs"), field_runs.jobs_of, product)
        yield from _validation_problems(paper["cases"], case, (*path, *above))


def _validation_problems(cases: Mapping, case: str, where: kinds.Path) -> Iterator[Problem]:
    """Tuned points without the validation trajectories that are to choose."""
    product = cases[case]["fields"]
    tuning, points = product.get("tuning"), kinds.field_points({"cases": cases}, case)
    tuned = any("tuned" in point for _, _, point in points)
    if not isinstance(tuning, Mapping):
        if tuned:
            message = (
                "points are tuned; say on which trajectories: {case, seeds, analyses, discard}"
            )
            yield Problem((*where, "tuning"), message)
        return
    named = cases.get(tuning.get("case"))
    if not isinstance(named, Mapping) or named.get(validation.KEY) != case:
        there = [n for n, one in cases.items() if kinds.get(one, validation.KEY) == case]
        message = f"no case with the validation of {case}; there are: {', '.join(there) or 'none'}"
        yield Problem((*where, "tuning", "case"), message)
    elif tuning.get("analyses", 0) <= tuning.get("discard", 0):
        yield Problem((*where, "tuning", "discard"), "leaves no analysis to choose by")


def _condition_problems(case: Mapping, point: Mapping, where: kinds.Path) -> Iterator[Problem]:
    """The start of a point, and the errors of its observations."""
    starts = kinds.get(case, "prior", "starts")
    start = point.get("start")
    if isinstance(start, str) and isinstance(starts, Mapping) and start not in starts:
        yield Problem((*where, "start"), unknown("start", start, starts))
    errors = [kinds.get(case, "observations", name) for name in ("relative_error", "error_std")]
    given = next((known for known in errors if known is not None), [])
    known, noise = given if isinstance(given, list) else [given], point.get("noise")
    if not known or not all(isinstance(value, (int, float)) for value in (*known, noise)):
        return
    if min(abs(value - noise) for value in known) > 1e-6:
        there = ", ".join(f"{value:g}" for value in known)
        message = f"{noise:g} is none of the errors of the observations; there are: {there}"
        yield Problem((*where, "noise"), message)


def _are_points(given: Any) -> bool:
    return isinstance(given, list) and all(
        isinstance(point, Mapping) and isinstance(point.get("settings", {}), Mapping)
        for point in given
    )


def _refusals(where: kinds.Path, made: Callable, *arguments: Any) -> Iterator[Problem]:
    try:
        made(*arguments)
    except ValueError as error:
        yield Problem(where, str(error))


def _listed(names: Any, where: kinds.Path, collection: str) -> Iterator[tuple]:
    """Names in a list, or the keys of a mapping."""
    if isinstance(names, Mapping):
        yield from (((*where, name), collection, name) for name in names)
    elif isinstance(names, list):
        yield from (((*where, i), collection, name) for i, name in enumerate(names))
