"""Rows of plain values as Markdown and as CSV, and texts with numbers filled in.

Rows are made in a fixed order and numbers printed with four digits, so that equal scores give equal
bytes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]

YES, NO, OPEN = "✓", "✗", "undecided"


def mark(holds: bool) -> str:
    return YES if holds else NO


def markdown(rows: Sequence[Row]) -> str:
    """A pipe table; numbers stand on the right."""
    head = list(rows[0])
    right = [all(isinstance(row[c], int | float) for row in rows) for c in head]
    lines = [[cell(name) for name in head], ["---:" if r else "---" for r in right]]
    lines += [[cell(row[c]) for c in head] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(value: Any) -> str:
    """A text that stays within its cell of a pipe table."""
    return " ".join(text(value).splitlines()).replace("|", "\\|")


def csv(rows: Sequence[Row]) -> str:
    """Comma-separated values; a text with a comma or quote is quoted."""
    lines = [list(rows[0]), *([text(value) for value in row.values()] for row in rows)]
    return "".join(",".join(map(quoted, line)) + "\n" for line in lines)


def text(value: Any) -> str:
    """Four digits of a number; nothing for what is missing."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if set(value) & set(',"\n') else value


def filled(template: str, values: Mapping[str, str | None]) -> str:
    """The template with a value for each `{name}`, by blocks with blank lines between them.

    A block that names a value which is None is left out, and a heading with nothing below it.
    """
    blocks = [
        re.sub(r"\{([\w.]+)\}", lambda name: values[name[1]], block)
        for block in re.split(r"\n\s*\n", template.strip())
        if all(values[name] is not None for name in re.findall(r"\{([\w.]+)\}", block))
    ]
    following = [*blocks[1:], "#"]
    kept = [
        block
        for block, after in zip(blocks, following, strict=True)
        if not (block.startswith("#") and after.startswith("#"))
    ]
    return "\n\n".join(kept) + "\n"
