"""One source file as units: what each is, and which names it takes from elsewhere.

Nothing is imported. `codehash` joins the files; here a file is read by itself.
"""

import ast
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from pipeline.scopes import (
    FUNCTIONS,
    IMPORTS,
    Names,
    Target,
    Use,
    bindings,
    called,
    decorators,
    import_targets,
)

SIDE = "<module>"  # the unit of what a module executes when it is imported
SCRIPT = "<script>"  # the single unit of a script
WHOLE = re.compile(r"^\s*#\s*codehash:\s*whole\b", re.MULTILINE)
DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # package.module:Class


@dataclass(frozen=True)
class Unit:
    """A top-level function, class, assignment, or the side statements of a module."""

    text: str  # hash of the syntax tree without docstrings and positions
    uses: tuple[Use, ...]  # in order of appearance
    imports: tuple[Target, ...]  # executed when the unit runs
    computed_getattr: bool


@dataclass(frozen=True)
class Definition:
    """What happens when a module is imported and this unit is defined."""

    decorators: tuple[Use, ...]
    called: tuple[Use, ...]


@dataclass(frozen=True)
class Source:
    """A module, split; units are built when they are asked for."""

    module: str
    path: Path
    text: str
    is_script: bool = False

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def package(self) -> str:
        return self.module if self.is_package else self.module.rpartition(".")[0]

    @cached_property
    def body(self) -> list[ast.stmt]:
        return ast.parse(self.text, filename=str(self.path)).body

    @cached_property
    def whole(self) -> bool:
        return bool(WHOLE.search(self.text))

    @cached_property
    def split(self) -> "Split":
        return split(self)

    @cached_property
    def data_files(self) -> list[str]:
        """`CODEHASH_FILES` of the module, relative to it."""
        for node in self.split.units.get("CODEHASH_FILES", []):
            return list(ast.literal_eval(node.value))
        return []

    def unit(self, name: str) -> Unit:
        return _unit(self, name)

    def definition(self, name: str) -> Definition:
        return _definition(self, name)


@cache
def read(module: str, path: Path, text: str, is_script: bool = False) -> Source:
    """The module with this text; the same text is split once in a process."""
    return Source(module, path, text, is_script)


@dataclass
class Split:
    """Names of a module: its units, its imports, and where else a name may come from."""

    units: dict[str, list[ast.stmt]]
    imports: dict[str, list[Target]]  # name -> what it may be bound to
    tables: set[str]
    stars: list[str]  # modules whose names are taken over by `import *`
    executed: list[Target]  # imported when the module is


def split(source: Source) -> Split:
    """Sort the top-level statements of a module into units, imports and side statements."""
    found = Split({}, {}, set(), [], [])
    if source.is_script:
        found.units[SCRIPT] = source.body
        return found
    for node in source.body:
        if isinstance(node, IMPORTS):
            _bind_imports(node, source, found)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            found.units.setdefault(node.name, []).append(node)
        elif is_table(node, found.tables):
            found.tables.update(assigned(node))
        elif names := assigned(node):
            for name in names:
                found.units.setdefault(name, []).append(node)
        elif _only_for_type_checkers(node):
            for name, target in bindings(node.body, source.package):
                found.imports.setdefault(name, []).append(target or Target(source.module, SIDE))
        elif not _says_nothing(node):
            found.units.setdefault(SIDE, []).append(node)
            _bind_compound(node, source, found)
    found.units.setdefault(SIDE, [])
    return found


def _bind_imports(node: ast.stmt, source: Source, found: Split) -> None:
    for name, target in import_targets(node, source.package):
        found.executed.append(target)
        if target.name == "*":
            found.stars.append(target.module)
        else:
            found.imports.setdefault(name, []).append(target)


def _bind_compound(node: ast.stmt, source: Source, found: Split) -> None:
    """Names bound below `if`, `try`, `with`, `for` lead to the side unit that holds them."""
    for inner in ast.walk(node):
        if isinstance(inner, IMPORTS):
            _bind_imports(inner, source, found)
    for name, target in bindings([node], source.package):
        if target is None:
            found.imports.setdefault(name, []).append(Target(source.module, SIDE))


def assigned(node: ast.stmt) -> list[str]:
    """Names that a plain assignment binds; empty for any other statement."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
        targets = [node.target]
    else:
        return []
    flat = [t for target in targets for t in _elements(target)]
    return [t.id for t in flat] if all(isinstance(t, ast.Name) for t in flat) else []


def _elements(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        return [t for element in target.elts for t in _elements(element)]
    return [target]


def is_table(node: ast.stmt, tables: set[str]) -> bool:
    """A dictionary of dotted names, or of such dictionaries: a list of choices, no code."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or len(assigned(node)) != 1:
        return False
    if not isinstance(node.value, ast.Dict) or not node.value.values:
        return False
    keys = all(key is None or isinstance(key, ast.Constant) for key in node.value.keys)
    return keys and all(
        (isinstance(value, ast.Name) and value.id in tables)
        or (isinstance(value, ast.Constant) and _is_dotted(value.value))
        for value in node.value.values
    )


def _is_dotted(value: object) -> bool:
    return isinstance(value, str) and bool(DOTTED.fullmatch(value))


def _only_for_type_checkers(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        and not node.orelse
    )


def _says_nothing(node: ast.stmt) -> bool:
    bare_annotation = isinstance(node, ast.AnnAssign) and node.value is None
    return isinstance(node, ast.Pass) or bare_annotation or _is_text(node)


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a string that documents a field."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _unit(source: Source, name: str) -> Unit:
    nodes = source.split.units[name]
    names = Names(source.package)
    if name == SCRIPT:  # its own names are no names of a module
        names.enter(bindings(nodes, source.package))
    names.visit_all(nodes)
    return Unit(
        text=tree_hash(nodes),
        uses=tuple(names.uses),
        imports=tuple(names.imports),
        computed_getattr=names.computed_getattr,
    )


@cache
def _definition(source: Source, name: str) -> Definition:
    nodes = source.split.units[name]
    return Definition(decorators(nodes, source.package), called(nodes, source.package))


def tree_hash(nodes: Iterable[ast.AST]) -> str:
    """Hash of what the statements say: no positions, docstrings, comments, plain imports.

    Written out here, since `ast.dump` differs between versions of Python.
    """
    parts: list[str] = []
    _write_body(list(nodes), parts, keep_imports=False)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


def _write(node: object, parts: list[str]) -> None:
    if isinstance(node, ast.AST):
        parts.append(f"({type(node).__name__}")
        for field, value in ast.iter_fields(node):
            if field in IGNORED_FIELDS or value is None or value == []:
                continue
            parts.append(f" {field}=")
            keep_imports = isinstance(node, (ast.If, ast.Try, ast.ExceptHandler))
            _write_body(value, parts, keep_imports) if field == "body" else _write(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        parts.append("[")
        for element in node:
            _write(element, parts)
        parts.append("]")
    else:
        parts.append(f"{node!r},")


def _write_body(body: object, parts: list[str], keep_imports: bool) -> None:
    """An import outside `if` and `try` counts through what its names stand for."""
    if not isinstance(body, list):  # of a lambda or a conditional expression
        _write(body, parts)
        return
    said = (node for node in body if not _is_text(node))
    _write([n for n in said if keep_imports or not isinstance(n, IMPORTS)], parts)
