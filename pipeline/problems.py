"""Problems of a configuration: where, what was found, and what would be right."""

import difflib
import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline import kinds
from pipeline.bounds import Bounds
from pipeline.fields import Classes, Kind, Setting


@dataclass(frozen=True)
class Problem:
    path: kinds.Path
    message: str
    missing: bool = False  # something is absent below `path`


def section_problems(
    section: Mapping, dotted: str, classes: Classes, path: kinds.Path, also: Iterable[str] = ()
) -> Iterator[Problem]:
    """What is wrong with a section of the configuration, whose dataclass is `dotted`.

    also: keys that are looked at elsewhere.
    """
    settings, also = classes.settings(dotted, nested=True), set(also)
    also |= set(section) if classes.is_open(dotted) else set()
    found = list(setting_problems(section, settings, path, also, classes))
    found += missing(section, settings, path)
    yield from found
    if not found:
        given = {key: value for key, value in section.items() if key in settings}
        try:
            made(dotted)(**given)
        except ValueError as error:
            yield Problem(path, str(error), missing="is missing" in str(error))


def made(dotted: str) -> Callable[..., Any]:
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


def missing(section: Mapping, settings: Mapping[str, Setting], path: kinds.Path) -> list[Problem]:
    """Keys that have to be given and are not."""
    lacking = [name for name, one in settings.items() if one.required and name not in section]
    return [Problem(path, f'"{name}" is missing', missing=True) for name in lacking]


def setting_problems(
    section: Mapping,
    settings: Mapping[str, Setting],
    path: kinds.Path,
    also: Iterable[str] = (),
    classes: Classes | None = None,
) -> Iterator[Problem]:
    """Unknown keys of a section, and values of wrong types or outside their limits.

    also: keys that are looked at elsewhere.
    """
    also = set(also)
    for name, value in section.items():
        if name in settings:
            one = settings[name]
            where, unit = (*path, name), unit_of(one)
            yield from value_problems(value, one.kind, one.bounds, where, classes, unit)
        elif name not in also:
            known = [*settings, *also]
            yield Problem((*path, name), unknown("key", name, known, quote=False))


def value_problems(
    value: Any,
    kind: Kind,
    bounds: Bounds,
    path: kinds.Path,
    classes: Classes | None = None,
    unit: str | None = None,
) -> Iterator[Problem]:
    """What is wrong with one value, and with what is in a list, a mapping or a section.

    unit: what a whole number counts.
    """
    if not kind.allows(value):
        yield Problem(path, f"{said(value)}, {kind} is needed")
    elif isinstance(value, list):
        yield from _count_problems(value, kind, bounds, path)
        inside = replace(bounds, entries=0)
        for position, entry in enumerate(value) if kind.element else ():
            where = (*path, position)
            yield from value_problems(entry, kind.element, inside, where, classes, unit)
    elif isinstance(value, Mapping):
        yield from _mapping_problems(value, kind, bounds, path, classes)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        counted = None if "float" in kind.names else unit
        yield from _range_problems(value, bounds, path, counted)
    values = [one for one in kind.values or bounds.values if type(one) is type(value)]
    if values and value not in values:
        yield Problem(path, unknown("value", value, values))


def _mapping_problems(
    value: Mapping, kind: Kind, bounds: Bounds, path: kinds.Path, classes: Classes
) -> Iterator[Problem]:
    section = classes.section_of(kind, value)
    if section:
        yield from section_problems(value, section, classes, path)
    elif kind.sections and "kind" not in value:
        yield Problem(path, '"kind" is missing', missing=True)
    elif not kind.sections:
        yield from _count_problems(value, kind, bounds, path)
        inside = replace(bounds, entries=0)
        for name, below in value.items() if kind.below else ():
            yield from value_problems(below, kind.below, inside, (*path, name), classes)


def _count_problems(
    value: list | Mapping, kind: Kind, bounds: Bounds, path: kinds.Path
) -> Iterator[Problem]:
    least, most = max(bounds.entries, kind.count or 0), kind.count
    if not value and least == 1:
        yield Problem(path, "is empty, at least 1 entry is needed")
    elif len(value) < least or (most is not None and len(value) > most):
        bound = "at least" if len(value) < least else "at most"
        limit = least if len(value) < least else most
        yield Problem(path, f"{len(value)} entries are given, {bound} {limit} are needed")


def _range_problems(
    value: float, bounds: Bounds, path: kinds.Path, unit: str | None
) -> Iterator[Problem]:
    for rule, bound, wrong in (
        ("minimum", bounds.least, lambda b: value < b),
        ("exclusiveMinimum", bounds.above, lambda b: value <= b),
        ("maximum", bounds.most, lambda b: value > b),
        ("exclusiveMaximum", bounds.below, lambda b: value >= b),
    ):
        if bound is not None and wrong(bound):
            yield Problem(path, _out_of_range(value, rule, bound, unit))


def unit_of(setting: Setting) -> str | None:
    """What a whole number counts: its name, or the first word of its meaning, if that is a plural.

    `members`; `mem_mb` is in MB; "sites of the ring" counts sites, "time limit in minutes" minutes.
    """
    if setting.name.endswith(("_mb", "_gb")):
        return setting.name[-2:].upper()
    first = setting.meaning.partition(" ")[0].rstrip(",;.")
    inside = re.search(r"\bin (\w+s)\b", setting.meaning)
    words = [setting.name, first, *([inside[1]] if inside else [])]
    return next((word for word in words if _is_plural(word)), None)


def _is_plural(word: str) -> bool:
    plural = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return plural and word.isalpha() and word.islower() and len(word) > 3


def said(value: Any) -> str:
    """A value and what it is, as the user should read it."""
    if isinstance(value, Mapping):
        return "a mapping is given"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, list) and len(shown) > 60:
        return "a list is given"
    if isinstance(value, str):
        return f"{shown} is a text"
    return f"{shown} is given"


def _out_of_range(value: float, rule: str, bound: float, unit: str | None) -> str:
    small = "inimum" in rule
    words = f"{bound:g} {unit}" if unit else f"{bound:g}"
    if unit and bound == 1:
        words = f"1 {kinds.singular(unit)}"
    amount = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }[rule]
    verb = "are" if unit and bound != 1 else "is"
    size = "small" if small else "large"
    return f"{value:g} is too {size}, {amount} {words} {verb} needed"


def unknown(what: str, name: Any, known: Iterable[str], *, quote: bool = True) -> str:
    """`unknown filter "ekff" (did you mean "ekf"?); there are: ekf, enkf`."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), names, n=1)
    text = f'unknown {what} "{name}"' if quote else f"unknown {what}"
    if near:
        text += f' (did you mean "{near[0]}"?)'
    if near and not quote:
        return text
    return f"{text}; there are: {', '.join(names)}" if names else f"{text}; there are none"
