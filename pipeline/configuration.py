"""docs/configuration.md and the schemas for editors, from the classes of the configuration.

Keys, types, defaults, limits and meanings are read from the source of sections and of all classes
of the registries, by the same reader that checks a configuration. The schemas have no `required`:
a file is a layer, and what it lacks may stand in another.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dalib.registry import REGISTRIES
from pipeline import kinds, layout
from pipeline.bounds import Bounds
from pipeline.fields import CHOICE, PAPER, Classes, Kind, Setting

PAGE, SCHEMA = "docs/configuration.md", "docs/schema.json"
TYPES = {  # JSON type, and the word in a table
    "int": ("integer", "whole number"),
    "float": ("number", "number"),
    "bool": ("boolean", "true or false"),
    "str": ("string", "text"),
    "list": ("array", "list"),
    "mapping": ("object", "mapping"),
    "None": ("null", "null"),
}
NUMBER = {"least": ("minimum", "≥"), "above": ("exclusiveMinimum", ">")}
NUMBER |= {"most": ("maximum", "≤"), "below": ("exclusiveMaximum", "<")}
USER_CLASS = r"^[\w.]+:\w+$"
TITLES = {"start": "First states", "map": "Learnable systems"}  # of roles; others by their names
INTRODUCTION = """\
# Configuration

Every key of `config.yaml`, `papers/<paper>/config.yaml` and `papers/<paper>/scales/<scale>.yaml`,
made from the source of the classes that read them: `python -m pipeline configuration` writes this
page and the schemas with which an editor completes and checks keys (`docs/schema.json`,
`papers/<paper>/schema.json`).

A later layer lies over an earlier one, key by key: `config.yaml` and the papers' `config.yaml`,
then `scales`, then files of `--configfile`, then `--config`. Where `kind` stands, it chooses a
class by its name here, or a class of your own as `package.module:Class`; the keys beside it are
settings of that class. *needed* says that a key has no default; a setting of a method may also come
from its case or its paper, as `obs_std` of a filter does; a part that is trained, as the network of
a filter, comes from the entry of `models` that `model` names.
"""


def main(root: Path) -> int:
    for name, text in files(root).items():
        (root / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}")
    return 0


def files(root: Path) -> dict[str, str]:
    """{path: text} of all that is made."""
    classes = Classes(root)
    own = {name: classes.paper(name) for name in layout.papers(root)}
    made = {PAGE: page(classes, own), SCHEMA: _text(schema(classes))}
    for name, dotted in own.items():
        made[layout.schema_of(name)] = _text(schema_of_paper(classes, dotted))
    return made


def sections(classes: Classes, dotted: str, seen: dict[str, None] | None = None) -> list[str]:
    """A section and all below it, in the order of their keys."""
    seen = {} if seen is None else seen
    if dotted not in seen and dotted != CHOICE:
        seen[dotted] = None
        for setting in classes.settings(dotted, nested=True).values():
            for below in _sections_in(setting.kind):
                sections(classes, below, seen)
    return list(seen)


def _sections_in(kind: Kind) -> Iterator[str]:
    yield from kind.sections
    for below in filter(None, (kind.element, kind.below)):
        yield from _sections_in(below)


# -- the page ------------------------------------------------------------------------------------


def page(classes: Classes, papers: Mapping[str, str]) -> str:
    """docs/configuration.md."""
    general = sections(classes, layout.CONFIGURATION)
    shared = sections(classes, PAPER)
    parts = [INTRODUCTION, "## All experiments\n", *_tables(classes, general)]
    parts += ["## Papers\n", *_tables(classes, shared)]
    for name, dotted in papers.items():
        own = [one for one in sections(classes, dotted) if one not in shared]
        if own:
            parts += [f"## Paper {name}\n", *_tables(classes, own)]
    parts.append("## Classes that `kind` chooses\n")
    for role, table in REGISTRIES.items():
        parts.append(f"### {TITLES.get(role, role.capitalize())}: `{role}`\n")
        parts += [_of_class(classes, name, dotted) for name, dotted in table.items()]
    return "\n".join(parts)


def _tables(classes: Classes, found: list[str]) -> Iterator[str]:
    for dotted in found:
        settings = classes.settings(dotted, nested=True)
        yield f"### {_title(dotted)}\n\n{classes.summary(dotted)}\n\n{_table(settings)}"


def _of_class(classes: Classes, name: str, dotted: str) -> str:
    settings = classes.settings(dotted)
    table = _table(settings) if settings else "No settings.\n"
    return f"#### `{name}`\n\n{classes.summary(dotted)} (`{dotted}`)\n\n{table}"


def _title(dotted: str) -> str:
    module, _, name = dotted.partition(":")
    top, middle, *_ = module.split(".")
    return f"{name} of {middle}" if top == "papers" else name


def _table(settings: Mapping[str, Setting]) -> str:
    rows = ["| key | type | default | limits | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{one.name}` | {_type(one.kind)} | {_default(one)} | {_limits(one)} "
        f"| {_cell(one.meaning)} |"
        for one in settings.values()
    ]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _type(kind: Kind) -> str:
    listed = {type(value).__name__ for value in kind.values}
    words = [f"`{value}`" for value in kind.values]
    words += [_word(kind, name) for name in kind.names if name not in listed]
    return " or ".join(words)


def _word(kind: Kind, name: str) -> str:
    if name == "list" and kind.element:
        count = f"{kind.count} " if kind.count else ""
        return f"list of {count}({_type(kind.element)})"
    if name == "mapping" and kind.sections:
        return " or ".join(
            "`kind`" if s == CHOICE else f"[{_title(s)}](#{_anchor(s)})" for s in kind.sections
        )
    if name == "mapping" and kind.below:
        return f"by name: {_type(kind.below)}"
    return TYPES[name][1]


def _anchor(dotted: str) -> str:
    return _title(dotted).lower().replace(" ", "-")


def _default(setting: Setting) -> str:
    if setting.required:
        return "needed"
    optional = setting.default == "null" and "None" not in setting.kind.names
    return "" if setting.default is None or optional else f"`{setting.default}`"


def _limits(setting: Setting) -> str:
    bounds = setting.bounds
    given = [(sign, getattr(bounds, name)) for name, (_, sign) in NUMBER.items()]
    words = [f"{sign} {value:g}" for sign, value in given if value is not None]
    words += [f"at least {bounds.entries} entries"] if bounds.entries > 1 else []
    words += ["not empty"] if bounds.entries == 1 else []
    if bounds.values and not setting.kind.values:
        words.append(" or ".join(f"`{value}`" for value in bounds.values))
    return ", ".join(words)


# -- schemas for editors -------------------------------------------------------------------------


def schema(classes: Classes) -> dict[str, Any]:
    """Of config.yaml, with definitions of all sections that papers share, and of all classes."""
    shared = [*sections(classes, layout.CONFIGURATION), *sections(classes, PAPER)]
    definitions = {_name(s): _section(classes, s, "") for s in dict.fromkeys(shared)}
    for role, table in REGISTRIES.items():
        definitions[f"role {role}"] = _role(role, table)
        for name, dotted in table.items():
            definitions[f"{role} {name}"] = _class(classes, dotted)
    top = definitions[_name(layout.CONFIGURATION)]
    scales = {"description": "What scales change.", "type": "object"}
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}
    made["properties"] = {**top["properties"], "scales": scales}
    return {**made, "$defs": definitions}


def schema_of_paper(classes: Classes, dotted: str) -> dict[str, Any]:
    """Of a paper's config.yaml and of its scales."""
    shared = "../../docs/schema.json"
    own = [s for s in sections(classes, dotted) if s.startswith("papers.")]
    definitions = {_name(s): _section(classes, s, shared) for s in own}
    top = f"{'' if own else shared}#/$defs/{_name(dotted)}"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": top,
        "$defs": definitions,
    }


def _text(tree: Mapping[str, Any]) -> str:
    """JSON with a line for each definition."""
    definitions = tree["$defs"].items()
    head = {key: value for key, value in tree.items() if key != "$defs"}
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in definitions]
    first = json.dumps(head, ensure_ascii=False)[:-1]
    return f'{first}, "$defs": {{\n' + ",\n".join(lines) + "\n}}\n"


def _name(dotted: str) -> str:
    module, _, name = dotted.partition(":")
    return f"{module.split('.')[1]}.{name}" if module.startswith("papers.") else name


def _section(classes: Classes, dotted: str, shared: str) -> dict[str, Any]:
    settings = classes.settings(dotted, nested=True)
    made = _object(settings, classes.summary(dotted), shared)
    return {**made, "additionalProperties": classes.is_open(dotted)}


def _class(classes: Classes, dotted: str) -> dict[str, Any]:
    """The settings of a class, beside `kind` and parts with a kind of their own."""
    made = _object(classes.settings(dotted) or {}, classes.summary(dotted), "")
    parts = {role: {"$ref": f"#/$defs/role {role}"} for role in REGISTRIES}
    named = {name: {"type": ["string", "object"]} for name in kinds.REFERENCES}
    own = {**{"kind": {}, "name": {}, **parts, **named}, **made["properties"]}
    own["codec"] = {"anyOf": [own["codec"], {"type": "string"}]}  # or the name of an entry
    return {**made, "properties": own}


def _object(settings: Mapping[str, Setting], about: str, shared: str) -> dict[str, Any]:
    properties = {
        name: {"description": one.meaning, **_json(one.kind, one.bounds, name, shared)}
        for name, one in settings.items()
    }
    closed = {"type": "object", "additionalProperties": False}
    return {"description": about, **closed, "properties": properties}


def _role(role: str, table: Mapping[str, str]) -> dict[str, Any]:
    """A choice of one class of a registry, or of a class of the user's own."""
    kind = {"anyOf": [{"enum": list(table)}, {"type": "string", "pattern": USER_CLASS}]}
    chosen = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/{role} {name}"},
        }
        for name in table
    ]
    return {"type": "object", "properties": {"kind": kind}, "required": ["kind"], "allOf": chosen}


def _json(kind: Kind, bounds: Bounds, name: str, shared: str) -> dict[str, Any]:
    """What a value may be, as JSON schema."""
    found = [_of_type(kind, bounds, one, name, shared) for one in kind.names]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _of_type(kind: Kind, bounds: Bounds, one: str, name: str, shared: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": TYPES[one][0]}
    inside = replace(bounds, entries=0)
    if one in ("int", "float"):
        made |= {
            key: getattr(bounds, field)
            for field, (key, _) in NUMBER.items()
            if getattr(bounds, field) is not None
        }
    values = [v for v in kind.values or bounds.values if type(v).__name__ == one]
    if values:
        made = {"enum": values}
    if one == "list":
        made |= {"items": _json(kind.element, inside, name, shared)} if kind.element else {}
        made |= {"minItems": bounds.entries} if bounds.entries else {}
        made |= {"minItems": kind.count, "maxItems": kind.count} if kind.count else {}
    if one == "mapping" and kind.sections:
        refs = [_reference(section, name, shared) for section in kind.sections]
        return refs[0] if len(refs) == 1 else {"anyOf": refs}
    if one == "mapping" and kind.below:
        made["additionalProperties"] = _json(kind.below, inside, name, shared)
    return made


def _reference(section: str, name: str, shared: str) -> dict[str, str]:
    """To the definition of a section; of a choice, to that of the role that its key says."""
    if section == CHOICE:
        return {"$ref": f"{shared}#/$defs/role {kinds.role((name,))}"}
    return {"$ref": f"{'' if section.startswith('papers.') else shared}#/$defs/{_name(section)}"}
