"""The scorecard as a Markdown table: every claim, the paper's words, our numbers, the verdict."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def main(root: Path, scale: str) -> int:
    """Print the table of results/<scale>/scorecard.json; 1 if there is none."""
    path = root / "results" / scale / "scorecard.json"
    if not path.exists():
        print(f"{path}: there is no scorecard; make it with: make SCALE={scale}", file=sys.stderr)
        return 1
    print("\n".join(table(json.loads(path.read_text(encoding="utf-8")))))
    return 0


def table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| claim | statement | measured [95 % interval] | verdict |"
    yield "|---|---|---|---|"
    for row in rows:
        statement, numbers = (cell(text) for text in (row["statement"], measured(row)))
        yield f"| {row['id']} | {statement} | {numbers} | **{row['verdict']}** |"


def measured(row: Mapping[str, Any]) -> str:
    """`EKF RMSE 0.325 [0.31, 0.34] (< 0.4; persistence 8.1); ...`; a note has no criterion."""
    lines = []
    for name, value in row["measured"].items():
        said = "; ".join(remarks(row, name))
        ends = interval(row.get("interval", {}).get(name))
        lines.append(f"{name} {number(value)}{ends}" + (f" ({said})" if said else ""))
    return "; ".join(lines)


def remarks(row: Mapping[str, Any], name: str) -> Iterator[str]:
    """The criterion, scores of null methods, and whether the interval straddles the threshold."""
    if name in row["criterion"]:
        yield row["criterion"][name]
    for null, value in row.get("nulls", {}).get(name, {}).items():
        yield f"{null} {number(value)}"
    if name in row.get("straddles", []):
        yield "the interval straddles the threshold"


def interval(ends: Sequence[float | None] | None) -> str:
    """` [0.31, 0.34]`, or nothing where there are no replicates; an end without a number is ∞."""
    return f" [{number(ends[0], '-∞')}, {number(ends[1], '∞')}]" if ends else ""


def number(value: float | None, none: str = "-") -> str:
    """With three digits."""
    return none if value is None else f"{value:.3g}"


def cell(text: str) -> str:
    """A bar or a line's end in a cell does not end it, and no `<word` in it opens a tag."""
    return re.sub(r"<(?=[A-Za-z/!])", "&lt;", " ".join(text.split()).replace("|", r"\|"))
