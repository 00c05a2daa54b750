"""What is wrong with a configuration: against the schema, the classes it names, and itself."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalib.registry import REGISTRIES
from dalib.workflow import kinds
from dalib.workflow.fields import WORDS, Kind, NoSuchClassError, Setting, settings_of

REFERENCES = {"model": "models", "codec": "codecs", "filter": "filters"}  # key -> collection
SUPPLIED = {"system": set(), "integrator": set()}  # roles whose classes get settings only
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


def is_paper(section: Any) -> bool:
    return isinstance(section, Mapping) and "cases" in section


def check(config: Mapping, schema: Mapping, root: Path) -> list[Problem]:
    """Every problem; empty if there is none."""
    papers = {name: section for name, section in config.items() if is_paper(section)}
    general = {key: value for key, value in config.items() if key not in papers}
    problems = list(_schema_problems(general, schema, schema, (), also=papers))
    for name, paper in papers.items():
        definition = schema["$defs"]["paper"]
        problems += _schema_problems(paper, definition, schema, (name,))
        problems += _kind_problems(paper, schema, root, (name,))
        problems += _reference_problems(paper, (name,))
    return problems


# -- text to numbers -----------------------------------------------------------------------------


def converted(config: Mapping, schema: Mapping, root: Path) -> dict[str, Any]:
    """`config` with numbers that were given as text, wherever a number is meant."""
    paper = schema["$defs"]["paper"]
    return {
        key: _convert_kinds(_convert(value, paper, schema), root, (key,))
        if is_paper(value)
        else _convert(value, schema["properties"].get(key, {}), schema)
        for key, value in config.items()
    }


def _convert(value: Any, schema: Mapping, whole: Mapping) -> Any:
    schema = _followed(schema, whole)
    if isinstance(value, Mapping):
        return {key: _convert(v, _below(schema, key), whole) for key, v in value.items()}
    if isinstance(value, list):
        return [_convert(v, schema.get("items", {}), whole) for v in value]
    types = schema.get("type", [])
    return from_text(value, [types] if isinstance(types, str) else types)


def _followed(schema: Any, whole: Mapping) -> Mapping:
    """A schema, or the definition that its `$ref` names, with what stands beside it."""
    if isinstance(schema, Mapping) and "$ref" in schema:
        found = whole["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return {**_followed(found, whole), **schema}
    return schema if isinstance(schema, Mapping) else {}


def _below(schema: Mapping, key: str) -> Any:
    return schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))


def from_text(value: Any, types: Iterable[str]) -> Any:
    """A number, true, false or null for its text, if that is meant and text is not."""
    if not isinstance(value, str) or not types or "string" in types:
        return value
    if "null" in types and value.lower() in ("", "null", "none"):
        return None
    if "boolean" in types and value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind, number in (("integer", int), ("number", float)):
        if kind in types:
            try:
                return number(value)
            except ValueError:
                pass
    return value


def _convert_kinds(paper: dict[str, Any], root: Path, path: kinds.Path) -> dict[str, Any]:
    """The same for the settings of classes, by their annotations."""
    for choice in kinds.choices(paper, path):
        for name, setting in (_settings(choice, root) or {}).items():
            if name in choice.section:
                choice.section[name] = _plain(choice.section[name], setting.kind)
    return paper


def _plain(value: Any, kind: Kind) -> Any:
    if isinstance(value, list):
        return [_plain(v, kind.element) for v in value] if kind.element else value
    names = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
    types = [names.get(name, "null") for name in kind.names if name != "list"]
    if "number" in types:  # 3 given where 3.0 is meant stays 3
        types = ["integer", *types]
    return from_text(value, types)


def _settings(choice: kinds.Choice, root: Path) -> dict[str, Setting] | None:
    try:
        return settings_of(choice.dotted, root) if choice.dotted else None
    except NoSuchClassError:
        return None


# -- schema --------------------------------------------------------------------------------------


def _schema_problems(
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
    else:
        yield Problem(path, error.message)


def wrong_type(value: Any, types: str | list[str]) -> str:
    """`"abc" is a text, a whole number is needed`."""
    types = [types] if isinstance(types, str) else types
    return f"{said(value)}, {' or '.join(JSON_WORDS[name] for name in types)} is needed"


def said(value: Any) -> str:
    """A value and what it is, as the user should read it."""
    if isinstance(value, Mapping):
        return "a mapping is given"
    if isinstance(value, list):
        return "a list is given"
    shown = json.dumps(value, ensure_ascii=False, default=str)
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


# -- classes -------------------------------------------------------------------------------------


def _kind_problems(
    paper: Mapping, schema: Mapping, root: Path, path: kinds.Path
) -> Iterator[Problem]:
    limits = schema["$defs"]["settings"]["properties"]
    for choice in kinds.choices(paper, path):
        if choice.role is None:
            roles = ", ".join(sorted(REGISTRIES))
            yield Problem((*choice.path, "kind"), f"no code is chosen here, but for: {roles}")
            continue
        if choice.dotted is None:
            known = REGISTRIES[choice.role]
            yield Problem((*choice.path, "kind"), unknown(choice.role, choice.kind, known))
            continue
        try:
            settings = settings_of(choice.dotted, root)
        except NoSuchClassError as error:
            yield Problem((*choice.path, "kind"), f"{choice.dotted}: {error}")
            continue
        if settings is not None:
            yield from _setting_problems(choice.section, settings, choice)
        yield from _limit_problems(choice.section, limits, schema, choice.path)
    yield from _tuning_problems(paper, schema, root, path)


def _setting_problems(
    section: Mapping, settings: Mapping[str, Setting], choice: kinds.Choice
) -> Iterator[Problem]:
    """Unknown, missing and wrongly typed settings of one class."""
    for name, value in section.items():
        if name == "kind" or name in REFERENCES or _is_choice(name, value):
            continue
        if name not in settings:
            yield Problem((*choice.path, name), unknown("key", name, settings, quote=False))
        elif not settings[name].kind.allows(value):
            message = f"{said(value)}, {settings[name].kind} is needed"
            yield Problem((*choice.path, name), message)
    if choice.role in SUPPLIED:
        for name, setting in settings.items():
            if setting.required and name not in section:
                yield Problem(choice.path, f'"{name}" is missing', missing=True)


def _is_choice(name: str, value: Any) -> bool:
    """A part with a kind of its own, such as `localisation: {kind: ring}`."""
    return name in REGISTRIES and isinstance(value, Mapping)


def _limit_problems(
    section: Mapping, limits: Mapping, schema: Mapping, path: kinds.Path
) -> Iterator[Problem]:
    """Settings outside the range that the schema knows for their name."""
    for name in section.keys() & limits.keys():
        value = section[name]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield from _schema_problems(value, limits[name], schema, (*path, name))


def _tuning_problems(
    paper: Mapping, schema: Mapping, root: Path, path: kinds.Path
) -> Iterator[Problem]:
    """What a case says to a filter (`methods: {ekf: {inflation: 1.1}}`) are settings of its class."""
    filters = paper.get("filters", {})
    for case, section in paper["cases"].items():
        methods = section.get("methods", {}) if isinstance(section, Mapping) else {}
        for name, tuning in methods.items() if isinstance(methods, Mapping) else ():
            if not isinstance(filters.get(name), Mapping) or not isinstance(tuning, Mapping):
                continue
            for choice in kinds.choices(filters[name], (*path, "filters", name)):
                settings = _settings(choice, root)
                if settings is None or choice.section is not filters[name]:
                    continue
                here = kinds.Choice((*path, "cases", case, "methods", name), None, tuning)
                yield from _setting_problems(tuning, settings, here)
                limits = schema["$defs"]["settings"]["properties"]
                yield from _limit_problems(tuning, limits, schema, here.path)


# -- names ---------------------------------------------------------------------------------------


def _reference_problems(paper: Mapping, path: kinds.Path) -> Iterator[Problem]:
    """Names of cases, filters, models, samplers and forecasters that are not there."""
    for where, collection, name in _references(paper):
        known = paper.get(collection, {})
        if isinstance(known, Mapping) and name not in known:
            what = "method" if "methods" in where else kinds.singular(collection)
            yield Problem((*path, *where), unknown(what, name, known))


def _references(paper: Mapping) -> Iterator[tuple[kinds.Path, str, str]]:
    """(path in the paper, collection, name) of everything that names an entry of a collection."""
    yield from _listed(paper.get("active"), ("active",), "cases")
    for key, collection in (("filters", "filters"), ("samplers", "samplers"), ("models", "models")):
        yield from _listed(_get(paper, "timing", key), ("timing", key), collection)
    if _get(paper, "timing", "case") is not None:
        yield ("timing", "case"), "cases", paper["timing"]["case"]
    for case in paper["cases"] if isinstance(paper["cases"], Mapping) else ():
        for product, collection in (
            ((), "filters"),
            (("forecasts",), "forecasters"),
            (("samples",), "samplers"),
        ):
            where = ("cases", case, *product, "methods")
            yield from _listed(_get(paper, *where), where, collection)
    for collection in ("filters", "forecasters", "samplers", "models"):
        for entry, section in (paper.get(collection) or {}).items():
            for key in REFERENCES.keys() & (section.keys() if isinstance(section, Mapping) else ()):
                if isinstance(section[key], str):
                    yield (collection, entry, key), REFERENCES[key], section[key]


def _listed(names: Any, where: kinds.Path, collection: str) -> Iterator[tuple]:
    """Names in a list, or the keys of a mapping."""
    if isinstance(names, Mapping):
        yield from (((*where, name), collection, name) for name in names)
    elif isinstance(names, list):
        yield from (((*where, i), collection, name) for i, name in enumerate(names))


def _get(tree: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree
