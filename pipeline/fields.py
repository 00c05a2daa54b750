"""Which settings a class takes, read from its source without importing it.

Settings are the fields of a dataclass, or the parameters of `__init__`, whose annotation allows a
plain value: int, float, bool, str, tuples and lists of these, mappings, None. All others are
supplied when the object is built. Their limits stand in `__post_init__`, their meanings in the
docstring.
"""

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dalib.registry import REGISTRIES
from pipeline import layout
from pipeline.bounds import FREE, Bounds, bounds_of, find, find_chain
from pipeline.codehash import Modules
from pipeline.docstrings import meanings, summary
from pipeline.scopes import FUNCTIONS
from pipeline.syntax import Source

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "mapping": "a mapping",
    "None": "null",
}
CHOICE = "dalib.experiments.sections:Choice"
PAPER = "dalib.experiments.sections:Paper"
LISTS = {"tuple", "list", "Sequence", "Tuple", "List"}
NO_PARTS = ("ClassVar", "Callable", "Generator")  # that of random numbers
MAPPINGS = {"Mapping", "dict", "Dict"}


@dataclass(frozen=True)
class Kind:
    """Plain values an annotation allows.

    Attributes:
        names: of `WORDS`.
        element: of a list, what each entry may be; None for anything.
        count: of a list, how many entries it has; None for any number.
        below: of a mapping, what each value may be; None for anything.
        sections: of a mapping, dataclasses "module:Class" one of whose fields its keys are.
        values: of a `Literal`, all that it may be.
    """

    names: tuple[str, ...]
    element: "Kind | None" = None
    count: int | None = None
    below: "Kind | None" = None
    sections: tuple[str, ...] = ()
    values: tuple = ()

    def allows(self, value: Any) -> bool:
        """Whether a value is of one of the types; entries of lists and mappings are not looked at.

        A list of a certain length has to have it.
        """
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
        if isinstance(value, list):
            return "list" in self.names
        return isinstance(value, Mapping) and "mapping" in self.names

    def __str__(self) -> str:
        return " or ".join(WORDS[name] for name in self.names)


PART = Kind(("mapping",), sections=(CHOICE,))  # of a class: an object of another, by its `kind`


@dataclass(frozen=True)
class Setting:
    """One key: its types, whether it has to be given, its limits and what it means.

    Attributes:
        default: as it would stand in a configuration; None where there is none, or none that is
            plain.
    """

    name: str
    kind: Kind
    required: bool
    default: str | None = None
    bounds: Bounds = FREE
    meaning: str = ""


class NoSuchClassError(LookupError):
    """A dotted name stands for no class that can be found."""


@dataclass
class Classes:
    """What is read of classes, each once; `root` is the project's folder."""

    root: Path
    modules: dict[str, Modules | None] = field(default_factory=dict)
    known: dict[tuple[str, bool], dict[str, Setting] | None] = field(default_factory=dict)

    def settings(self, dotted: str, *, nested: bool = False) -> dict[str, Setting] | None:
        """The settings of a class by name; None if its source cannot be read.

        Args:
            nested: whether fields whose type is a dataclass are sections, as those of the
                configuration itself are; in a method they are objects that are supplied.

        Raises:
            NoSuchClassError: there is no such class.
        """
        if (dotted, nested) not in self.known:
            self.known[dotted, nested] = self._settings(dotted, nested)
        return self.known[dotted, nested]

    def _settings(self, dotted: str, nested: bool) -> dict[str, Setting] | None:
        found = self.find(dotted)
        if found is None:
            return None
        return _Reader(*found, nested).settings()

    def section_of(self, kind: Kind, value: Mapping) -> str | None:
        """The dataclass of a mapping that is one of several sections; None if it is a choice."""
        if kind.sections and "kind" in value and CHOICE in kind.sections:
            return None
        return next((one for one in kind.sections if one != CHOICE), None)

    def paper(self, name: str) -> str:
        """The dataclass of the section of a paper: its own, or that of all papers."""
        own = self.root / layout.sections_of(name)
        return f"papers.{name}.sections:Paper" if own.exists() else PAPER

    def case(self, paper: str) -> str:
        """The dataclass of the cases of a paper."""
        return self.settings(self.paper(paper), nested=True)["cases"].kind.below.sections[0]

    def is_open(self, dotted: str) -> bool:
        """Whether a section may have other keys too."""
        return bool(_constant(*self.find(dotted), "open"))

    def summary(self, dotted: str) -> str:
        """What a class is, in one paragraph."""
        found = self.find(dotted)
        return summary(found[2]) if found else ""

    def find(self, dotted: str) -> tuple[Modules, Source, ast.ClassDef] | None:
        """A class where it is defined; None if its source cannot be read."""
        module, _, name = dotted.partition(":")
        modules = self._modules(module)
        if modules is None:
            return None
        found = find(modules, module, name)
        if found is None or not isinstance(found[1], ast.ClassDef):
            raise NoSuchClassError(f"module {module} has no class {name}")
        return modules, *found

    def _modules(self, module: str) -> Modules | None:
        top = module.split(".")[0]
        if top not in self.modules:
            self.modules[top] = _modules_with(top, self.root)
        modules = self.modules[top]
        if modules is not None and modules.get(module) is None:
            if modules.has(module):
                raise NoSuchClassError(f"{module} is a folder, no module")
            raise NoSuchClassError(f"there is no module {module}")
        return modules


def settings_of(dotted: str, root: Path) -> dict[str, Setting] | None:
    """The settings of a class by name; None if its source cannot be read."""
    return Classes(root).settings(dotted)


def class_constant(dotted: str, root: Path, name: str) -> Any:
    """The plain value of a class attribute, its own or of a base class; None if it has none.

    A set may be written `frozenset({"states"})`.
    """
    found = Classes(root).find(dotted)
    if found is None:
        raise NoSuchClassError(f"{dotted}: its source cannot be read")
    return _constant(*found, name)


def _constant(modules: Modules, source: Source, node: ast.ClassDef, name: str) -> Any:
    for inner in node.body:
        targets = (
            inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
        )
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and inner.value is not None:
            return _plain_value(inner.value)
    for base in node.bases:
        found = find_chain(modules, source.module, ast.unparse(base))
        inherits = found and isinstance(found[1], ast.ClassDef)
        value = _constant(modules, *found, name) if inherits else None
        if value is not None:
            return value
    return None


def _plain_value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "frozenset":
        return frozenset(ast.literal_eval(node.args[0])) if node.args else frozenset()
    return ast.literal_eval(node)


def _modules_with(top: str, root: Path) -> Modules | None:
    """Where the source of a package is found: below the project, else where it is installed."""
    modules = Modules(root, root)
    if modules.has(top):
        return modules
    spec = importlib.util.find_spec(top)  # a name without dots: nothing is imported
    if spec is None:
        raise NoSuchClassError(f"there is no module {top}; put it beside the Snakefile")
    folders = list(spec.submodule_search_locations or [])
    if not folders and not (spec.origin or "").endswith(".py"):
        return None
    above = Path(folders[0] if folders else spec.origin).parent
    return Modules(above, above)


@dataclass(frozen=True)
class _Reader:
    """Reads the settings of one class."""

    modules: Modules
    source: Source
    node: ast.ClassDef
    nested: bool

    def settings(self) -> dict[str, Setting]:
        said: dict[str, str] = {}
        found = dict(self._of(self.source, self.node, said))
        bounds = bounds_of(self.modules, self.source, self.node)
        return {
            name: Setting(name, kind, required, default, bounds.get(name, FREE), said.get(name, ""))
            for name, (kind, required, default) in found.items()
        }

    def _of(self, source: Source, node: ast.ClassDef, said: dict[str, str]) -> Iterator[tuple]:
        """(name, (kind, whether it is required, default)), those of base classes first.

        Of a plain class, those of the nearest `__init__`. `said` is filled with meanings.
        """
        for inner in node.body:
            if isinstance(inner, FUNCTIONS) and inner.name == "__init__":
                yield from self._parameters(source, inner)
                said.update(meanings(inner) | meanings(node))
                return
        for base in node.bases:
            found = find_chain(self.modules, source.module, ast.unparse(base))
            if found and isinstance(found[1], ast.ClassDef):
                yield from self._of(*found, said)
        said.update(meanings(node))
        for inner in node.body:
            yield from self._field(source, inner)

    def _parameters(self, source: Source, init: ast.FunctionDef) -> Iterator[tuple]:
        arguments = [*init.args.posonlyargs, *init.args.args][1:]
        defaults = [None] * len(arguments) + init.args.defaults
        defaults = defaults[len(defaults) - len(arguments) :]
        given = [*zip(arguments, defaults, strict=True)]
        given += zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
        for argument, default in given:
            kind = self._own_kind(source, argument.arg, argument.annotation)
            if kind:
                required = default is None and kind is not PART
                yield argument.arg, (kind, required, self._default(source, default))

    def _field(self, source: Source, node: ast.stmt) -> Iterator[tuple]:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            return
        kind = self._own_kind(source, node.target.id, node.annotation)
        if kind is None or _not_in_init(node.value):
            return
        required = (node.value is None or _no_default(node.value)) and kind is not PART
        yield node.target.id, (kind, required, self._default(source, node.value))

    def _default(self, source: Source, node: ast.expr | None) -> str | None:
        """A default as it would stand in a configuration."""
        call = _field_call(node)
        if call is not None:
            made = {"list": "[]", "tuple": "[]", "dict": "{}"}
            factory = call.get("default_factory")
            if factory is not None:
                return made.get(ast.unparse(factory))
            return self._default(source, call.get("default"))
        if isinstance(node, ast.Name | ast.Attribute):
            found = find_chain(self.modules, source.module, ast.unparse(node))
            node = getattr(found[1], "value", None) if found else None
        return _as_yaml(node) if node is not None else None

    def _own_kind(self, source: Source, name: str, node: ast.expr | None) -> Kind | None:
        """The kind of a setting; an object that goes by the name of a role is chosen by `kind`."""
        kind = self.kind(source, node)
        is_part = kind is None and not self.nested and name in REGISTRIES and node is not None
        is_class = is_part and not ast.unparse(node).startswith(NO_PARTS)
        return PART if is_class else kind

    def kind(self, source: Source, node: ast.expr | None) -> Kind | None:
        """The plain values an annotation allows beside others; None if none but None."""
        parts = list(self._alternatives(source, node))
        names = tuple(dict.fromkeys(part.names[0] for part in parts))
        if not set(names) - {"None"}:
            return None
        merged = Kind(names)
        for key in ("element", "count", "below"):
            given = {getattr(part, key) for part in parts} - {None}
            if len(given) == 1:
                merged = _with(merged, key, given.pop())
        for key in ("sections", "values"):
            merged = _with(merged, key, tuple(v for part in parts for v in getattr(part, key)))
        return merged

    def _alternatives(self, source: Source, node: ast.expr | None) -> Iterator[Kind]:
        """A kind with one name for each plain alternative of an annotation."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        if isinstance(node, ast.Constant) and node.value is None:
            yield Kind(("None",))
        elif isinstance(node, ast.BinOp):
            yield from self._alternatives(source, node.left)
            yield from self._alternatives(source, node.right)
        elif isinstance(node, ast.Subscript):
            name = ast.unparse(node.value).split(".")[-1]
            yield from self._subscripted(source, name, node.slice)
        elif isinstance(node, ast.Name | ast.Attribute):
            yield from self._named(source, ast.unparse(node))

    def _named(self, source: Source, chain: str) -> Iterator[Kind]:
        if chain in {"int", "float", "bool", "str"}:
            yield Kind((chain,))
        elif chain.split(".")[-1] in LISTS:
            yield Kind(("list",))
        elif chain.split(".")[-1] in MAPPINGS:
            if self.nested:
                yield Kind(("mapping",))
        else:
            found = find_chain(self.modules, source.module, chain)
            if found and isinstance(found[1], ast.Assign):  # another name for a type
                yield from self._alternatives(found[0], found[1].value)
            elif found and self.nested and isinstance(found[1], ast.ClassDef):
                yield Kind(("mapping",), sections=(f"{found[0].module}:{found[1].name}",))

    def _subscripted(self, source: Source, name: str, inside: ast.expr) -> Iterator[Kind]:
        parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        if name in LISTS:
            of = [p for p in parts if not (isinstance(p, ast.Constant) and p.value is ...)]
            kinds = [self.kind(source, p) for p in of]
            if all(kinds):
                any_number = len(of) < len(parts) or name not in {"tuple", "Tuple"}
                element = kinds[0] if len(set(kinds)) == 1 else None
                yield Kind(("list",), element, None if any_number else len(of))
        elif name in MAPPINGS and self.nested:
            yield Kind(("mapping",), below=self.kind(source, parts[-1]))
        elif name in {"Optional", "Union"}:
            for part in parts:
                yield from self._alternatives(source, part)
            if name == "Optional":
                yield Kind(("None",))
        elif name == "Literal":
            for part in parts:
                value = _plain_value(part)
                yield Kind((type(value).__name__,), values=(value,))


def _with(kind: Kind, key: str, value: Any) -> Kind:
    return replace(kind, **{key: value})


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


def _as_yaml(node: ast.expr) -> str | None:
    """A literal as a configuration has it; the text of a formula such as `8 / 3`."""
    try:
        return json.dumps(ast.literal_eval(node), ensure_ascii=False)
    except (ValueError, TypeError):
        return ast.unparse(node) if _is_formula(node) else None


def _is_formula(node: ast.expr) -> bool:
    return all(
        isinstance(n, ast.BinOp | ast.UnaryOp | ast.Constant | ast.operator | ast.unaryop)
        for n in ast.walk(node)
    )
