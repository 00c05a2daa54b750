"""Which settings a class takes, read from its source without importing it.

Settings are the fields of a dataclass, or the parameters of `__init__`, whose annotation allows a
plain value: int, float, bool, str, tuples and lists of these, None. All others are supplied when
the object is built.
"""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.codehash import Modules
from pipeline.scopes import FUNCTIONS, Target
from pipeline.syntax import Source

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "None": "null",
}
LISTS = {"tuple", "list", "Sequence", "Tuple", "List"}


@dataclass(frozen=True)
class Kind:
    """Plain values an annotation allows: names of `WORDS`, and what a list may hold."""

    names: tuple[str, ...]
    element: "Kind | None" = None

    def allows(self, value: Any) -> bool:
        if value is None:
            return "None" in self.names
        if isinstance(value, bool):
            return "bool" in self.names
        if isinstance(value, int):
            return "int" in self.names or "float" in self.names
        if isinstance(value, float):
            return "float" in self.names
        if isinstance(value, str):
            return "str" in self.names
        if isinstance(value, list) and "list" in self.names:
            return self.element is None or all(map(self.element.allows, value))
        return False

    def __str__(self) -> str:
        words = [WORDS[name] for name in self.names]
        if self.element and "list" in self.names:
            words[self.names.index("list")] = f"a list, each entry {self.element}"
        return " or ".join(words)


@dataclass(frozen=True)
class Setting:
    name: str
    kind: Kind
    required: bool


class NoSuchClassError(LookupError):
    """A dotted name stands for no class that can be found."""


def settings_of(dotted: str, root: Path) -> dict[str, Setting] | None:
    """The settings of a class by name; None if its source cannot be read."""
    module, _, name = dotted.partition(":")
    modules = _modules_with(module, root)
    if modules is None:
        return None
    found = _class(modules, module, name)
    if found is None:
        raise NoSuchClassError(f"module {module} has no class {name}")
    return {setting.name: setting for setting in _settings(modules, *found)}


def class_constant(dotted: str, root: Path, name: str) -> Any:
    """The plain value of a class attribute, its own or of a base class; None if it has none.

    A set may be written `frozenset({"states"})`.
    """
    module, _, cls = dotted.partition(":")
    modules = _modules_with(module, root)
    found = _class(modules, module, cls) if modules else None
    if found is None:
        raise NoSuchClassError(f"module {module} has no class {cls} whose source can be read")
    return _constant(modules, *found, name)


def _constant(modules: Modules, source: Source, node: ast.ClassDef, name: str) -> Any:
    for inner in node.body:
        targets = (
            inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
        )
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and inner.value is not None:
            return _plain_value(inner.value)
    for base in node.bases:
        chain = ast.unparse(base).split(".")
        found = _class(modules, source.module, chain[0]) if len(chain) == 1 else None
        value = _constant(modules, *found, name) if found else None
        if value is not None:
            return value
    return None


def _plain_value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "frozenset":
        return frozenset(ast.literal_eval(node.args[0])) if node.args else frozenset()
    return ast.literal_eval(node)


def _modules_with(module: str, root: Path) -> Modules | None:
    """Where a module's source is found: below the project, else where it is installed."""
    top = module.split(".")[0]
    modules = Modules(root, root)
    if not modules.has(top):
        spec = importlib.util.find_spec(top)  # a name without dots: nothing is imported
        if spec is None:
            raise NoSuchClassError(f"there is no module {top}; put it beside the Snakefile")
        folders = list(spec.submodule_search_locations or [])
        if not folders and not (spec.origin or "").endswith(".py"):
            return None
        above = Path(folders[0] if folders else spec.origin).parent
        modules = Modules(above, above)
    if modules.get(module) is None:
        if modules.has(module):
            raise NoSuchClassError(f"{module} is a folder, no module")
        raise NoSuchClassError(f"there is no module {module}")
    return modules


def _class(modules: Modules, module: str, name: str) -> tuple[Source, ast.ClassDef] | None:
    """A class where it is defined, followed through imports."""
    source = modules.get(module)
    if source is None:
        return None
    for node in source.split.units.get(name, []):
        if isinstance(node, ast.ClassDef):
            return source, node
    targets = [t for t in source.split.imports.get(name, []) if t.name]
    targets += [Target(star, name) for star in source.split.stars]
    for target in targets:
        if (target.module, target.name) != (module, name):
            found = _class(modules, target.module, target.name)
            if found:
                return found
    return None


def _settings(modules: Modules, source: Source, node: ast.ClassDef) -> Iterator[Setting]:
    """Those of the base classes first; of a plain class, those of the nearest `__init__`."""
    for inner in node.body:
        if isinstance(inner, FUNCTIONS) and inner.name == "__init__":
            yield from _parameters(inner)
            return
    for base in node.bases:
        chain = ast.unparse(base).split(".")
        found = _class(modules, source.module, chain[0]) if len(chain) == 1 else None
        if found:
            yield from _settings(modules, *found)
    for inner in node.body:
        setting = _field(inner)
        if setting:
            yield setting


def _parameters(init: ast.FunctionDef) -> Iterator[Setting]:
    arguments = [*init.args.posonlyargs, *init.args.args]
    without = len(arguments) - len(init.args.defaults)
    for position, argument in enumerate(arguments[1:], start=1):
        kind = annotation_kind(argument.annotation)
        if kind:
            yield Setting(argument.arg, kind, required=position < without)
    for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        kind = annotation_kind(argument.annotation)
        if kind:
            yield Setting(argument.arg, kind, required=default is None)


def _field(node: ast.stmt) -> Setting | None:
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        return None
    kind = annotation_kind(node.annotation)
    if kind is None or _not_in_init(node.value):
        return None
    return Setting(node.target.id, kind, required=node.value is None or _no_default(node.value))


def _field_call(value: ast.expr | None) -> dict[str, ast.expr] | None:
    """Keywords of `field(...)`, None for any other value."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) in {"field", "dataclasses.field"}:
        return {keyword.arg or "": keyword.value for keyword in value.keywords}
    return None


def _not_in_init(value: ast.expr | None) -> bool:
    init = (_field_call(value) or {}).get("init")
    return isinstance(init, ast.Constant) and init.value is False


def _no_default(value: ast.expr) -> bool:
    call = _field_call(value)
    return call is not None and not call.keys() & {"default", "default_factory"}


def annotation_kind(node: ast.expr | None) -> Kind | None:
    """The plain values an annotation allows beside others; None if there are none but None."""
    parts = list(_alternatives(node))
    names = tuple(dict.fromkeys(name for name, _ in parts))
    if not set(names) - {"None"}:
        return None
    elements = [element for name, element in parts if name == "list"]
    return Kind(names, elements[0] if len(elements) == 1 else None)


def _alternatives(node: ast.expr | None) -> Iterator[tuple[str, Kind | None]]:
    """(plain name, kind of a list's entries) for each plain alternative of an annotation."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.Constant) and node.value is None:
        yield "None", None
    elif isinstance(node, ast.Name):
        if node.id in {"int", "float", "bool", "str"}:
            yield node.id, None
        elif node.id in LISTS:
            yield "list", None
    elif isinstance(node, ast.BinOp):
        yield from _alternatives(node.left)
        yield from _alternatives(node.right)
    elif isinstance(node, ast.Subscript):
        yield from _subscripted(ast.unparse(node.value).split(".")[-1], node.slice)


def _subscripted(name: str, inside: ast.expr) -> Iterator[tuple[str, Kind | None]]:
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name in LISTS:
        of = [p for p in parts if not (isinstance(p, ast.Constant) and p.value is ...)]
        kinds = [annotation_kind(p) for p in of]
        if all(kinds):
            yield "list", kinds[0] if len(set(kinds)) == 1 else None
    elif name in {"Optional", "Union"}:
        for part in parts:
            yield from _alternatives(part)
        if name == "Optional":
            yield "None", None
    elif name == "Literal":
        yield from ((type(part.value).__name__, None) for part in parts)
