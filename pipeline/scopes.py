"""Which names a piece of code takes from outside itself, with Python's rules of scope.

A name that a function binds is its own; a method does not see the names of its class; the first
iterable of a comprehension is evaluated outside it. Annotations of functions are left out, since
they change no value and would draw in what they name.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


def called(nodes: Iterable[ast.AST], package: str) -> tuple[Use, ...]:
    """Names that calls evaluated on import go to, or hand on to be called."""
    calls = (
        part
        for node in nodes
        for executed in _run_at_import(node)
        for call in ast.walk(executed)
        if isinstance(call, ast.Call)
        for part in [call.func, *(() if _only_keeps(call) else _given(call))]
    )
    return _uses(calls, package)


def _only_keeps(call: ast.Call) -> bool:
    """Whether what is given is called later, if at all: `field(default_factory=list)`."""
    return ast.unparse(call.func).split(".")[-1] in {"field", "partial"}


def _given(call: ast.Call) -> Iterator[ast.expr]:
    yield from call.args
    yield from (keyword.value for keyword in call.keywords)


def decorators(nodes: Iterable[ast.AST], package: str) -> tuple[Use, ...]:
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
