"""One source file as units: what each is, and which names it takes from elsewhere.

Nothing is imported. `codehash` joins the files; here a file is read by itself.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

SIDE = "<module>"  # the unit of what a module executes when it is imported
SCRIPT = "<script>"  # the single unit of a script
TABLE = "<table>"  # a registry, which is no unit
WHOLE = re.compile(r"^\s*#\s*codehash:\s*whole\b", re.MULTILINE)
DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # package.module:Class

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Target:
    """What an import binds: module `module`, or the attribute `name` of it."""

    module: str
    name: str | None = None


@dataclass(frozen=True)
class Use:
    """A name with its attributes, `origin` the local import that bound it, None if global."""

    chain: tuple[str, ...]
    origin: Target | None = None


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


def import_targets(node: ast.stmt, package: str) -> Iterator[tuple[str, Target]]:
    """(name bound, what it is bound to) for each part of an import statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, Target(alias.name)
            else:  # `import a.b` binds a, and loads a.b
                yield alias.name.split(".")[0], Target(alias.name.split(".")[0])
                if "." in alias.name:
                    yield alias.name, Target(alias.name)
        return
    module = node.module or ""
    if node.level:
        parts = package.split(".")
        above = parts[: len(parts) - node.level + 1]
        module = ".".join([*above, module] if module else above)
    for alias in node.names:
        yield alias.asname or alias.name, Target(module, alias.name)


def bindings(nodes: Iterable[ast.AST], package: str) -> Iterator[tuple[str, Target | None]]:
    """(name, imported target or None) for each name bound in a scope, not in scopes inside it."""
    for node in nodes:
        if isinstance(node, IMPORTS):
            yield from import_targets(node, package)
            continue
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, None
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, None
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name, None
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest, None
        if isinstance(node, COMPREHENSIONS):  # only := reaches out of a comprehension
            inner = (n.target for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            yield from bindings(inner, package)
        elif not isinstance(node, ast.Lambda):
            yield from bindings(ast.iter_child_nodes(node), package)


def _declared_elsewhere(nodes: Iterable[ast.AST]) -> set[str]:
    """Names a function declares `global` or `nonlocal`."""
    return {
        name
        for node in nodes
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Global, ast.Nonlocal))
        for name in inner.names
    }


class Names(ast.NodeVisitor):
    """Walk a unit with its scopes and note every name it takes from outside."""

    def __init__(self, package: str):
        self.package = package
        self.scopes: list[dict[str, list[Target]]] = []
        self.in_class: list[bool] = []
        self.uses: list[Use] = []
        self.imports: list[Target] = []
        self.computed_getattr = False

    def enter(self, bound: Iterable[tuple[str, Target | None]], is_class: bool = False) -> None:
        names: dict[str, list[Target]] = {}
        for name, target in bound:
            names.setdefault(name, []).extend([target] if target else [])
        self.scopes.append(names)
        self.in_class.append(is_class)

    def leave(self) -> None:
        self.scopes.pop()
        self.in_class.pop()

    def _note(self, chain: tuple[str, ...]) -> None:
        name = chain[0]
        innermost = len(self.scopes) - 1
        for depth in range(innermost, -1, -1):
            if name not in self.scopes[depth]:
                continue
            if self.in_class[depth]:
                if depth != innermost:
                    continue  # a method does not see the names of its class
                self.uses += [Use(chain, target) for target in self.scopes[depth][name]]
                continue  # and a class body sees the global until it has bound its own
            self.uses += [Use(chain, target) for target in self.scopes[depth][name]]
            return
        self.uses.append(Use(chain))

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._note((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = _chain(node)
        if chain:
            self._note(chain)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            self.computed_getattr |= not _constant_getattr(node)
        chain = _chain(node)
        if chain:  # getattr(module, "name")
            self._note(chain)
            self.visit_all(node.args[2:])
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports += [target for _, target in import_targets(node, self.package)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.visit_Import(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.visit_all(node.decorator_list)
        if node.decorator_list:  # a decorator may read the annotations
            self.visit_all(a.annotation for a in _arguments(node.args))
        self._function(node.args, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node.args, [node.body])

    def _function(self, arguments: ast.arguments, body: list) -> None:
        """Annotations are left out: they change no value, and would draw in what they name."""
        self.visit_all([*arguments.defaults, *arguments.kw_defaults])
        elsewhere = _declared_elsewhere(body)
        bound = [(a.arg, None) for a in _arguments(arguments)]
        bound += [b for b in bindings(body, self.package) if b[0] not in elsewhere]
        self.enter(bound)
        self.visit_all(body)
        self.leave()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.in_class and self.in_class[-1]:
            self.visit(node.annotation)  # a dataclass reads it
        self.visit_all([node.target, node.value])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self.enter(bindings(node.body, self.package), is_class=True)
        self.visit_all(node.body)
        self.leave()

    def _comprehension(self, node: ast.AST) -> None:
        first, *_ = node.generators
        self.visit(first.iter)  # evaluated outside
        self.enter(bindings((g.target for g in node.generators), self.package))
        for generator in node.generators:
            if generator is not first:
                self.visit(generator.iter)
            self.visit_all([generator.target, *generator.ifs])
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.visit_all(parts)
        self.leave()

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, COMPREHENSIONS):
            self._comprehension(node)
        else:
            super().generic_visit(node)


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    starred = [a for a in (arguments.vararg, arguments.kwarg) if a]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _chain(node: ast.expr) -> tuple[str, ...]:
    """`a.b.c` and `getattr(a, "b")` as names; empty if it does not begin with a name."""
    attributes: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif _constant_getattr(node):
            attributes.append(node.args[1].value)
            node = node.args[0]
        else:
            break
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def _constant_getattr(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "getattr"
        and len(node.args) >= 2
        and isinstance(node.args[1], ast.Constant)
        and isinstance(node.args[1].value, str)
    )


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Expressions and statements of a definition that are evaluated when it is executed."""
    if isinstance(node, FUNCTIONS):
        yield from node.decorator_list
        yield from (d for d in [*node.args.defaults, *node.args.kw_defaults] if d is not None)
    elif isinstance(node, ast.ClassDef):
        yield from [*node.decorator_list, *node.bases, *node.keywords]
        for inner in node.body:
            yield from _run_at_import(inner)
    else:
        yield node


def _uses(nodes: Iterable[ast.AST], package: str) -> tuple[Use, ...]:
    names = Names(package)
    names.visit_all(nodes)
    return tuple(names.uses)


def _called(nodes: Iterable[ast.AST], package: str) -> tuple[Use, ...]:
    """Names that calls evaluated on import go to."""
    calls = (
        call.func
        for node in nodes
        for part in _run_at_import(node)
        for call in ast.walk(part)
        if isinstance(call, ast.Call)
    )
    return _uses(calls, package)


def _decorators(nodes: Iterable[ast.AST], package: str) -> tuple[Use, ...]:
    """Decorators of a definition and of the methods in it, with what they are called with."""
    found = (d for node in nodes for d in _decorator_nodes(node))
    bare = (d.func if isinstance(d, ast.Call) else d for d in found)
    return _uses(bare, package)


def _decorator_nodes(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield from node.decorator_list
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            yield from _decorator_nodes(inner)


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
    return Definition(_decorators(nodes, source.package), _called(nodes, source.package))


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
