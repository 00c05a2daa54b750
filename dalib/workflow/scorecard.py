"""The scorecard as a Markdown table: every claim, the paper's words, our numbers, the verdict."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def main(root: Path, scale: str) -> int:
    """Print the table of results/<scale>/scorecard.json; 1 if there is none."""
    path = root / "results" / scale / "scorecard.json"
    if not path.exists():
        print(f"{path}: there is no scorecard; make it with: make SCALE={scale}", file=sys.stderr)
        return 1
    print("\n".join(table(json.loads(path.read_text()))))
    return 0


def table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| claim | statement | measured [range of single values] | verdict |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| {row['id']} | {row['statement']} | {measured(row)} | **{row['verdict']}** |"


def measured(row: Mapping[str, Any]) -> str:
    """`EKF RMSE 0.325 [0.274, 0.39] (< 0.4); ...`; what has no criterion is a note."""
    return "; ".join(
        f"{name} {_number(value)} [{', '.join(map(_number, row['spread'][name]))}]"
        + (f" ({row['criterion'][name]})" if name in row["criterion"] else "")
        for name, value in row["measured"].items()
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
