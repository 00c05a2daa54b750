"""Meanings from docstrings: the entries under `Args:` and `Attributes:`."""

import ast
import inspect
import re
from collections.abc import Iterator

HEADINGS = ("Args:", "Attributes:")
ENTRY = re.compile(r"(\w+(?:, \w+)*): (.+)")


def meanings(node: ast.ClassDef | ast.FunctionDef) -> dict[str, str]:
    """{name: what the docstring of a class or function says of it}; of a field, also a text below.

    `a, b: ...` says the same of both.
    """
    found = dict(_entries(ast.get_docstring(node) or ""))
    for inner, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            text = _text(below)
            if text:
                found[inner.target.id] = " ".join(text.split())
    return found


def summary(node: ast.ClassDef | ast.FunctionDef) -> str:
    """The first paragraph of the docstring, in one line."""
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def _text(node: ast.stmt) -> str:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _entries(doc: str) -> Iterator[tuple[str, str]]:
    lines = inspect.cleandoc(doc).splitlines()
    for number, line in enumerate(lines):
        if line.strip() in HEADINGS and line == line.lstrip():
            yield from _below(lines[number + 1 :])


def _below(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The entries that are indented under a heading; their further lines are indented more."""
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    names, words = [], []
    for line in [*lines, ""]:
        depth = len(line) - len(line.lstrip())
        entry = ENTRY.fullmatch(line.strip()) if depth == indent else None
        if entry or not line.strip() or depth < indent:
            yield from ((name, " ".join(words)) for name in names)
            names, words = [], []
        if not line.strip() or depth < indent:
            return
        if entry:
            names, words = entry[1].split(", "), [entry[2]]
        else:
            words.append(line.strip())
