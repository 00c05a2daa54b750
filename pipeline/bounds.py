"""Which values a class refuses, read from its `__post_init__` or `__init__` without running it.

    if self.members < 2:                       at least 2
        raise ValueError(...)
    if not 0 < self.leak <= 1: raise ...       more than 0, at most 1
    if self.prior not in ("mixture", "paired"): raise ...
    for name in ("delays", "degree"): ... getattr(self, name) < 1 ...
    check_members(self.members)                what a function or method refuses that is called

A condition on several settings at once, or on what is computed from them, is no bound: the class
refuses it when an object is made.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.codehash import Modules
from pipeline.scopes import FUNCTIONS, Target
from pipeline.syntax import Source

DEPTH = 5  # calls within calls that are followed
TRANSPARENT = {"torch.as_tensor", "as_tensor", "float", "int", "numbers"}  # f(x) has x's bounds
OPPOSITE = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
FLIPPED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}


@dataclass(frozen=True)
class Bounds:
    """What a setting has to be; of a list, every number in it.

    Attributes:
        least, most: inclusive.
        above, below: exclusive.
        entries: how many a list or mapping has at least.
        values: all that it may be; empty for anything.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    entries: int = 0
    values: tuple = ()

    def __bool__(self) -> bool:
        return self != Bounds()


FREE = Bounds()


def bounds_of(modules: Modules, source: Source, node: ast.ClassDef) -> dict[str, Bounds]:
    """{setting: its bounds} of a class, with those of the classes that it inherits from."""
    return _Reader(modules, source, node).read()


def find(modules: Modules, module: str, name: str) -> tuple[Source, ast.stmt] | None:
    """A class, function or assignment where it is defined, followed through imports."""
    source = modules.get(module)
    if source is None:
        return None
    for node in source.split.units.get(name, []):
        return source, node
    targets = [t for t in source.split.imports.get(name, []) if t.name]
    targets += [Target(star, name) for star in source.split.stars]
    for target in targets:
        if (target.module, target.name) != (module, name):
            found = find(modules, target.module, target.name)
            if found:
                return found
    return None


def find_chain(modules: Modules, module: str, chain: str) -> tuple[Source, ast.stmt] | None:
    """The same for `name` or `module.name`."""
    head, _, rest = chain.partition(".")
    if not rest:
        return find(modules, module, head)
    source = modules.get(module)
    for target in source.split.imports.get(head, []) if source else ():
        inside = f"{target.module}.{target.name}" if target.name else target.module
        found = find(modules, inside, rest) if "." not in rest else None
        if found:
            return found
    return None


# -- values that are known without running anything ------------------------------------------------


@dataclass(frozen=True)
class Setting:
    name: str


@dataclass(frozen=True)
class Length:
    name: str


@dataclass(frozen=True)
class Plain:
    value: Any


@dataclass(frozen=True)
class Pairs:
    """Keyword arguments: (name, what is known of the value)."""

    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Itself:
    """The object that is being made."""


@dataclass(frozen=True)
class Function:
    node: ast.Lambda
    names: "Names"


@dataclass(frozen=True)
class Names:
    """Where an expression stands: its module, what names mean there, and the class of a method."""

    source: Source
    known: Mapping[str, Any]
    owner: ast.ClassDef | None = None

    def knowing(self, more: Mapping[str, Any]) -> "Names":
        return replace(self, known={**self.known, **more})


# -- the walk --------------------------------------------------------------------------------------


class _Reader:
    """Finds the bounds of one class."""

    def __init__(self, modules: Modules, source: Source, node: ast.ClassDef):
        self.modules, self.source, self.node = modules, source, node
        self.found: dict[str, Bounds] = {}

    def read(self) -> dict[str, Bounds]:
        for name in ("__post_init__", "__init__"):
            method = self._method(self.source, self.node, name)
            if method:
                given = [Setting(a.arg) for a in _parameters(method[1])[1:]]
                self._call(*method, [Itself(), *given], {}, DEPTH)
                break
        return self.found

    def _method(self, source: Source, node: ast.ClassDef, name: str) -> tuple | None:
        """(source, method, class) of a class or of the nearest base that has such a method."""
        for inner in node.body:
            if isinstance(inner, FUNCTIONS) and inner.name == name:
                return source, inner, node
        return self._inherited(source, node, name)

    def _inherited(self, source: Source, node: ast.ClassDef, name: str) -> tuple | None:
        for base in node.bases:
            found = find_chain(self.modules, source.module, ast.unparse(base))
            if found and isinstance(found[1], ast.ClassDef):
                method = self._method(*found, name)
                if method:
                    return method
        return None

    def _call(
        self,
        source: Source,
        function: Any,
        owner: ast.ClassDef | None,
        args: list,
        named: dict,
        depth: int,
    ) -> None:
        if depth == 0:
            return
        parameters = [a.arg for a in _parameters(function)]
        known = dict(zip(parameters, args, strict=False)) | named
        if function.args.vararg and all(isinstance(a, Plain) for a in args[len(parameters) :]):
            rest = tuple(a.value for a in args[len(parameters) :])
            known[function.args.vararg.arg] = Plain(rest)
        if function.args.kwarg:
            known[function.args.kwarg.arg] = Pairs(tuple(named.items()))
        self._body(function.body, Names(source, known, owner), depth)

    def _body(self, body: Iterable[ast.stmt], names: Names, depth: int) -> None:
        for node in body:
            if isinstance(node, ast.If):
                self._if(node, names, depth)
            elif isinstance(node, ast.For):
                for more in self._rounds(node, names):
                    self._body(node.body, names.knowing(more), depth)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names = names.knowing({node.targets[0].id: self._value(node.value, names)})
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                names = names.knowing(dict(self._unpacked(node.targets[0], node.value, names)))
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                self._follow(node.value, names, depth)

    def _if(self, node: ast.If, names: Names, depth: int) -> None:
        if any(isinstance(inner, ast.Raise) for inner in node.body):
            self._refuse(node.test, names)
        elif self._is_guard(node.test, names):
            self._body(node.body, names, depth)

    def _follow(self, call: ast.Call, names: Names, depth: int) -> None:
        """What a function refuses that is called for nothing else."""
        func = call.func
        args = [self._value(a, names) for a in call.args]
        named = {k.arg: self._value(k.value, names) for k in call.keywords if k.arg}
        if isinstance(func, ast.Attribute) and ast.unparse(func.value) == "super()":
            method = names.owner and self._inherited(names.source, names.owner, func.attr)
        elif isinstance(func, ast.Attribute) and self._value(func.value, names) == Itself():
            method = self._method(self.source, self.node, func.attr)
        else:
            found = find_chain(self.modules, names.source.module, ast.unparse(func))
            if found and isinstance(found[1], FUNCTIONS):
                self._call(*found, None, args, named, depth - 1)
            return
        if method and func.attr != "__init__":
            self._call(*method, [Itself(), *args], named, depth - 1)

    def _rounds(self, node: ast.For, names: Names) -> Iterator[dict[str, Any]]:
        """What the names of a loop stand for: in each round, or one of a list's entries."""
        over = self._value(node.iter, names)
        if isinstance(over, Pairs) and isinstance(node.target, ast.Tuple):
            name, value = (one.id for one in node.target.elts)
            yield from ({name: Plain(key), value: given} for key, given in over.values)
        elif isinstance(over, Setting) and isinstance(node.target, ast.Name):
            yield {node.target.id: over}
        elif isinstance(over, Plain) and isinstance(over.value, tuple):
            for value in over.value:
                yield dict(_bound(node.target, value))
        elif isinstance(node.iter, ast.Tuple | ast.List):
            for each in node.iter.elts:
                yield dict(self._unpacked(node.target, each, names))

    def _unpacked(self, target: ast.expr, value: ast.expr, names: Names) -> Iterator[tuple]:
        if isinstance(target, ast.Name):
            yield target.id, self._value(value, names)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, of in zip(target.elts, value.elts, strict=False):
                yield from self._unpacked(one, of, names)

    # -- conditions --------------------------------------------------------------------------------

    def _refuse(self, test: ast.expr, names: Names) -> None:
        """Note what never holds of a setting."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            for one in test.values:
                self._refuse(one, names)
        elif isinstance(test, ast.BoolOp):
            rest = [one for one in test.values if not self._is_guard(one, names)]
            if len(rest) == 1:
                self._refuse(rest[0], names)
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._require(test.operand, names)
        elif isinstance(test, ast.Compare) and len(test.ops) == 1:
            opposite = OPPOSITE.get(type(test.ops[0]))
            left, right = test.left, test.comparators[0]
            if opposite:
                self._compare(left, opposite, right, names)
            elif isinstance(test.ops[0], ast.NotIn):
                self._one_of(left, right, names)
        elif self._lambda(test, names):
            self._refuse(*self._lambda(test, names))

    def _require(self, test: ast.expr, names: Names) -> None:
        """Note what always holds of a setting."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            for one in test.values:
                self._require(one, names)
        elif isinstance(test, ast.BoolOp):
            rest = [one for one in test.values if not self._is_none(one, names)]
            if len(rest) == 1:
                self._require(rest[0], names)
        elif isinstance(test, ast.BinOp) and isinstance(test.op, ast.BitAnd):
            self._require(test.left, names)
            self._require(test.right, names)
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._refuse(test.operand, names)
        elif isinstance(test, ast.Compare):
            sides = [test.left, *test.comparators]
            for left, op, right in zip(sides, test.ops, sides[1:], strict=False):
                if isinstance(op, ast.In):
                    self._one_of(left, right, names)
                elif type(op) in OPPOSITE:
                    self._compare(left, type(op), right, names)
        elif isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute):
            if test.func.attr == "all":
                self._require(test.func.value, names)
        elif self._lambda(test, names):
            self._require(*self._lambda(test, names))
        elif isinstance(self._value(test, names), Setting):
            self._note(self._value(test, names).name, entries=1)

    def _compare(self, left: ast.expr, op: type, right: ast.expr, names: Names) -> None:
        """What holds: `left op right`."""
        a, b = self._value(left, names), self._value(right, names)
        if isinstance(a, Plain):
            a, b, op = b, a, FLIPPED[op]
        if not isinstance(b, Plain) or isinstance(b.value, bool | str | tuple | None):
            return
        if isinstance(a, Length) and op in (ast.GtE, ast.Gt):
            self._note(a.name, entries=b.value + (op is ast.Gt))
        elif isinstance(a, Setting) and abs(b.value) != float("inf"):
            key = {ast.GtE: "least", ast.Gt: "above", ast.LtE: "most", ast.Lt: "below"}[op]
            self._note(a.name, **{key: b.value})

    def _one_of(self, left: ast.expr, right: ast.expr, names: Names) -> None:
        a, b = self._value(left, names), self._value(right, names)
        if isinstance(a, Setting) and isinstance(b, Plain) and isinstance(b.value, tuple):
            self._note(a.name, values=b.value)

    def _note(self, name: str, **more: Any) -> None:
        self.found[name] = replace(self.found.get(name, FREE), **more)

    def _is_guard(self, test: ast.expr, names: Names) -> bool:
        """Whether a condition says no more than that a setting is given, and of which type."""
        if isinstance(test, ast.Call) and ast.unparse(test.func) == "isinstance":
            return isinstance(self._value(test.args[0], names), Setting)
        return (
            isinstance(test, ast.Compare)
            and isinstance(test.ops[0], ast.IsNot)
            and isinstance(self._value(test.left, names), Setting)
        )

    def _is_none(self, test: ast.expr, names: Names) -> bool:
        return (
            isinstance(test, ast.Compare)
            and isinstance(test.ops[0], ast.Is)
            and isinstance(self._value(test.left, names), Setting)
        )

    def _lambda(self, test: ast.expr, names: Names) -> tuple[ast.expr, Names] | None:
        """The body of a lambda that is called, where its names are known."""
        if not isinstance(test, ast.Call) or not isinstance(test.func, ast.Name):
            return None
        function = names.known.get(test.func.id)
        if not isinstance(function, Function):
            return None
        parameters = [a.arg for a in function.node.args.args]
        args = [self._value(a, names) for a in test.args]
        known = dict(zip(parameters, args, strict=False))
        return function.node.body, function.names.knowing(known)

    # -- expressions -------------------------------------------------------------------------------

    def _value(self, node: ast.expr, names: Names) -> Any:
        """What an expression stands for; None for what is not known."""
        if isinstance(node, ast.Name):
            if node.id in names.known:
                return names.known[node.id]
            return self._constant(names.source, node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value, names)
            if owner == Itself():
                return Setting(node.attr)
            return self._constant(names.source, ast.unparse(node))
        if isinstance(node, ast.Lambda):
            return Function(node, names)
        if isinstance(node, ast.Call):
            return self._called(node, names)
        return _plain(node)

    def _called(self, node: ast.Call, names: Names) -> Any:
        name, args = ast.unparse(node.func), [self._value(a, names) for a in node.args]
        if name == "getattr" and args[0] == Itself() and isinstance(args[1], Plain):
            return Setting(args[1].value)
        if name == "len" and isinstance(args[0], Setting):
            return Length(args[0].name)
        if name in TRANSPARENT and args:
            return args[0]
        if name.endswith((".values", ".items")) and not args:
            owner = self._value(node.func.value, names)
            pairs = name.endswith(
                ".items"
            )  # of keyword arguments; of a mapping, every value counts
            return owner if isinstance(owner, Pairs if pairs else Setting) else None
        return None

    def _constant(self, source: Source, chain: str) -> Plain | None:
        """The value of a constant of a module; of a dictionary its keys."""
        found = find_chain(self.modules, source.module, chain)
        value = getattr(found[1], "value", None) if found else None
        if isinstance(value, ast.Dict) and all(value.keys):
            value = ast.Tuple(value.keys)
        return _plain(value) if isinstance(value, ast.expr) else None


def _parameters(function: Any) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _plain(node: ast.expr) -> Plain | None:
    """Literals, and sets and lists of them as tuples."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    return Plain(tuple(value) if isinstance(value, list) else value)


def _bound(target: ast.expr, value: Any) -> Iterator[tuple[str, Plain]]:
    if isinstance(target, ast.Name):
        yield target.id, Plain(value)
    elif isinstance(target, ast.Tuple) and isinstance(value, tuple):
        for one, of in zip(target.elts, value, strict=False):
            yield from _bound(one, of)
