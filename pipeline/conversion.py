"""Numbers as they are meant: what a command line gives as text, and whole ones as whole numbers.

`--config 'paper={"rate": 0.1}'` arrives as text; `seed: 2026.0` is 2026.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline import kinds
from pipeline.fields import Classes, Kind


def converted(config: Mapping, schema: Mapping, classes: Classes) -> dict[str, Any]:
    """`config` with numbers that were given as text, wherever a number is meant."""
    paper = schema["$defs"]["paper"]
    return {
        key: _convert_kinds(_convert(value, paper, schema), classes, (key,))
        if kinds.is_paper(value)
        else _convert(value, schema["properties"].get(key, {}), schema)
        for key, value in config.items()
    }


def _convert(value: Any, schema: Mapping, whole: Mapping) -> Any:
    schemas = _alternatives(schema, whole)
    if isinstance(value, Mapping):
        return {key: _convert(v, _below(schemas, key), whole) for key, v in value.items()}
    if isinstance(value, list):
        items = {"anyOf": [one["items"] for one in schemas if "items" in one]}
        return [_convert(v, items, whole) for v in value]
    return as_meant(value, [name for one in schemas for name in _types(one)])


def _alternatives(schema: Any, whole: Mapping) -> list[Mapping]:
    """A schema and those that it chooses from: `oneOf`, `anyOf`, `then`, `else`."""
    schema = _followed(schema, whole)
    chosen = [schema[key] for key in ("then", "else") if key in schema]
    for key in ("oneOf", "anyOf"):
        chosen += schema.get(key, [])
    return [schema, *(one for inner in chosen for one in _alternatives(inner, whole))]


def _types(schema: Mapping) -> list[str]:
    """Types that a schema names, or that its values have."""
    names = schema.get("type", [])
    values = schema.get("enum", [])
    return [
        *([names] if isinstance(names, str) else names),
        *("integer" for value in values if type(value) is int),
        *("string" for value in values if isinstance(value, str)),
    ]


def _followed(schema: Any, whole: Mapping) -> Mapping:
    """A schema, or the definition that its `$ref` names, with what stands beside it."""
    if isinstance(schema, Mapping) and "$ref" in schema:
        found = whole["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return {**_followed(found, whole), **schema}
    return schema if isinstance(schema, Mapping) else {}


def _below(schemas: Iterable[Mapping], key: str) -> Any:
    """What any of some schemas says of the value under `key`."""
    return {
        "anyOf": [
            schema["properties"][key]
            if key in schema.get("properties", {})
            else schema["additionalProperties"]
            for schema in schemas
            if key in schema.get("properties", {}) or "additionalProperties" in schema
        ]
    }


def as_meant(value: Any, types: Iterable[str]) -> Any:
    """A number, true, false or null for its text, if that is meant and text is not; 4 for 4.0 where
    a whole number is meant.
    """
    if isinstance(value, float):
        return _whole(value) if "integer" in types and "number" not in types else value
    if not isinstance(value, str) or not types or "string" in types:
        return value
    if "null" in types and value.lower() in ("", "null", "none"):
        return None
    if "boolean" in types and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not {"integer", "number"}.isdisjoint(types):
        for number in (int, float):
            try:
                found = number(value)
            except ValueError:
                continue
            return found if "number" in types else _whole(found)
    return value


def _whole(number: float) -> int | float:
    """4 for 4.0; others as they are."""
    return int(number) if math.isfinite(number) and number == int(number) else number


def _convert_kinds(paper: dict[str, Any], classes: Classes, path: kinds.Path) -> dict[str, Any]:
    """The same for the settings of classes, by their annotations."""
    given = [
        (kinds.settings(choice, classes), choice.section) for choice in kinds.choices(paper, path)
    ]
    for choice in kinds.study_methods(paper, path):
        own = kinds.get(paper, *choice.path[len(path) :])
        given.append((kinds.settings(choice, classes), own))
    for settings, section in given:
        for name in section.keys() & (settings or {}).keys():
            section[name] = _plain(section[name], settings[name].kind)
    return paper


def _plain(value: Any, kind: Kind) -> Any:
    if isinstance(value, list):
        return [_plain(v, kind.element) for v in value] if kind.element else value
    names = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
    types = [names.get(name, "null") for name in kind.names if name != "list"]
    return as_meant(value, types)
