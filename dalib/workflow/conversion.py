"""Numbers that a command line or YAML gives as text, wherever a number is meant.

`--config 'paper={"rate": 0.1}'` arrives as text, and so does `1e-3` in YAML, which wants `1.0e-3`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dalib.workflow import kinds
from dalib.workflow.fields import Kind


def converted(config: Mapping, schema: Mapping, root: Path) -> dict[str, Any]:
    """`config` with numbers that were given as text, wherever a number is meant."""
    paper = schema["$defs"]["paper"]
    return {
        key: _convert_kinds(_convert(value, paper, schema), root, (key,))
        if kinds.is_paper(value)
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
    given = [
        (kinds.settings(choice, root), choice.section) for choice in kinds.choices(paper, path)
    ]
    given += [(settings, tuning) for _, settings, tuning in kinds.tunings(paper, root, path)]
    for settings, section in given:
        for name in section.keys() & (settings or {}).keys():
            section[name] = _plain(section[name], settings[name].kind)
    return paper


def _plain(value: Any, kind: Kind) -> Any:
    if isinstance(value, list):
        return [_plain(v, kind.element) for v in value] if kind.element else value
    names = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
    types = [names.get(name, "null") for name in kind.names if name != "list"]
    if "number" in types:  # 3 given where 3.0 is meant stays 3
        types = ["integer", *types]
    return from_text(value, types)
