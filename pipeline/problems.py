"""Problems of a configuration: where, what was found, and what would be right."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import kinds
from pipeline.bounds import Bounds
from pipeline.fields import WORDS, Kind, Setting

JSON_WORDS = {
    "integer": WORDS["int"],
    "number": WORDS["float"],
    "boolean": WORDS["bool"],
    "string": WORDS["str"],
    "array": WORDS["list"],
    "null": WORDS["None"],
    "object": "a mapping",
}


@dataclass(frozen=True)
class Problem:
    path: kinds.Path
    message: str
    missing: bool = False  # something is absent below `path`


def setting_problems(
    section: Mapping, settings: Mapping[str, Setting], path: kinds.Path, also: Iterable[str] = ()
) -> Iterator[Problem]:
    """Unknown keys of a section, and values of wrong types or outside their limits.

    also: keys that are looked at elsewhere.
    """
    also = set(also)
    for name, value in section.items():
        if name in settings:
            setting = settings[name]
            yield from value_problems(value, setting.kind, setting.bounds, (*path, name))
        elif name not in also:
            yield Problem((*path, name), unknown("key", name, settings, quote=False))


def value_problems(value: Any, kind: Kind, bounds: Bounds, path: kinds.Path) -> Iterator[Problem]:
    """What is wrong with one value, and with the entries of a list."""
    if not kind.allows(value):
        yield Problem(path, f"{said(value)}, {kind} is needed")
    elif isinstance(value, list):
        yield from _count_problems(value, kind, bounds, path)
        for position, entry in enumerate(value):
            if kind.element:
                yield from value_problems(entry, kind.element, bounds, (*path, position))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _range_problems(value, bounds, path, counts="float" not in kind.names)
    values = [one for one in kind.values or bounds.values if type(one) is type(value)]
    if values and value not in values:
        yield Problem(path, unknown("value", value, values))


def _count_problems(
    value: list | Mapping, kind: Kind, bounds: Bounds, path: kinds.Path
) -> Iterator[Problem]:
    least, most = max(bounds.entries, kind.count or 0), kind.count
    if len(value) < least and not value and least == 1:
        yield Problem(path, "is empty, at least 1 entry is needed")
    elif len(value) < least or (most is not None and len(value) > most):
        bound = "at least" if len(value) < least else "at most"
        limit = least if len(value) < least else most
        yield Problem(path, f"{len(value)} entries are given, {bound} {limit} are needed")


def _range_problems(
    value: float, bounds: Bounds, path: kinds.Path, *, counts: bool
) -> Iterator[Problem]:
    name = next((key for key in reversed(path) if isinstance(key, str)), "")
    unit = unit_of(name) if counts else None
    for rule, bound, wrong in (
        ("minimum", bounds.least, lambda b: value < b),
        ("exclusiveMinimum", bounds.above, lambda b: value <= b),
        ("maximum", bounds.most, lambda b: value > b),
        ("exclusiveMaximum", bounds.below, lambda b: value >= b),
    ):
        if bound is not None and wrong(bound):
            yield Problem(path, _out_of_range(value, rule, bound, unit))


def unit_of(name: str) -> str | None:
    """What a limit counts where the name of a setting says it, as `members` and `mem_mb` do."""
    if name.endswith(("_mb", "_gb")):
        return name[-2:].upper()
    plural = name.endswith("s") and not name.endswith(("ss", "us", "is"))
    return name if plural and name.isalpha() else None


def schema_problems(
    tree: Any, schema: Mapping, whole: Mapping, path: kinds.Path, also: Iterable[str] = ()
) -> Iterator[Problem]:
    """Problems with `tree`, standing at `path`, against a part of the whole schema."""
    import jsonschema

    complete = {**schema, "$defs": whole["$defs"]}
    for error in jsonschema.Draft202012Validator(complete).iter_errors(tree):
        yield from _problems_of(error, (*path, *error.absolute_path), also)


def _problems_of(error: Any, path: kinds.Path, also: Iterable[str]) -> Iterator[Problem]:
    value, rule, wanted = error.instance, error.validator, error.validator_value
    if rule == "additionalProperties":
        known = [*error.schema.get("properties", {}), *also]
        for key in value.keys() - error.schema.get("properties", {}).keys():
            yield Problem((*path, key), unknown("key", key, known, quote=False))
    elif rule == "required":
        for key in wanted:
            if key not in value:
                yield Problem(path, f'"{key}" is missing', missing=True)
    elif rule == "type":
        yield Problem(path, wrong_type(value, wanted))
    elif rule in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        yield Problem(path, _out_of_range(value, rule, wanted, error.schema.get("unit")))
    elif rule == "enum":
        yield Problem(path, unknown("value", value, wanted))
    elif rule in ("minItems", "maxItems"):
        bound = "at least" if rule == "minItems" else "at most"
        yield Problem(path, f"{len(value)} entries are given, {bound} {wanted} are needed")
    elif rule in ("minProperties",):
        yield Problem(path, "is empty")
    elif rule in ("oneOf", "anyOf") and error.context:
        yield from _problems_of_choice(error, path, also)
    else:
        yield Problem(path, error.message)


def _problems_of_choice(error: Any, path: kinds.Path, also: Iterable[str]) -> Iterator[Problem]:
    """Against several schemas: what is wrong by that of the value's type, or which types fit."""
    branches: dict[int, list] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    types = {
        number: inner.validator_value
        for number, errors in branches.items()
        for inner in errors
        if inner.validator == "type" and not inner.relative_path
    }
    fitting = [errors for number, errors in branches.items() if number not in types]
    for inner in fitting[0] if fitting else ():
        yield from _problems_of(inner, (*path, *inner.relative_path), also)
    if not fitting:
        named = [[wanted] if isinstance(wanted, str) else wanted for wanted in types.values()]
        yield Problem(path, wrong_type(error.instance, sum(named, [])))


def wrong_type(value: Any, types: str | list[str]) -> str:
    """`"abc" is a text, a whole number is needed`."""
    types = [types] if isinstance(types, str) else types
    return f"{said(value)}, {' or '.join(JSON_WORDS[name] for name in types)} is needed"


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
