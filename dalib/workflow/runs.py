"""The jobs of one run: a line for each, and the closing summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from dalib.workflow.store import directory


def log_of(run: str) -> Path:
    return directory() / "runs" / f"{run}.jsonl"


def note(entry: dict[str, Any]) -> None:
    """Append one job to the run named by DALIB_RUN; jobs at the same time do not mix."""
    run = os.environ.get("DALIB_RUN")
    if not run:
        return
    log_of(run).parent.mkdir(parents=True, exist_ok=True)
    with log_of(run).open("ab", buffering=0) as file:
        file.write(json.dumps(entry).encode() + b"\n")


def jobs(run: str) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in log_of(run).read_text().splitlines()]
    except FileNotFoundError:
        return []


def summary(run: str | None = None) -> str:
    """`N computed, M reused, K failed`, then a line for each failure."""
    entries = jobs(run or os.environ.get("DALIB_RUN", ""))
    counts = Counter(entry["status"] for entry in entries)
    lines = [", ".join(f"{counts[status]} {status}" for status in ("computed", "reused", "failed"))]
    lines += [f"  {e['job']}: {e['why']} (log: {e['log']})" for e in entries if _failed(e)]
    return "\n".join(lines)


def _failed(entry: dict[str, Any]) -> bool:
    return entry["status"] == "failed"
