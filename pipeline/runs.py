"""The jobs of one run: a line for each, and the closing summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dalib import io
from pipeline.store import directory


def log_of(run: str) -> Path:
    return directory() / "runs" / f"{run}.jsonl"


def note(entry: dict[str, Any]) -> None:
    """Append one job to the run named by DALIB_RUN; jobs at the same time do not mix."""
    run = os.environ.get("DALIB_RUN")
    if not run:
        return
    io.make_folder(log_of(run).parent)
    with log_of(run).open("ab", buffering=0) as file:
        file.write(json.dumps(entry).encode() + b"\n")
    with suppress(PermissionError):  # another user's job has begun the file and shared it
        io.share(log_of(run))


def jobs(log: Path) -> list[dict[str, Any]]:
    """What the jobs of a run have noted; a job notes that it has started, then how it ended."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [entry for entry in map(_read, lines) if entry]


def _read(line: str) -> dict[str, Any] | None:
    """A line of the notes; None for one that a full disk cut off."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "status" in entry and "job" in entry else None


def last_words(entries: Iterable[Mapping[str, Any]], *, over: bool = True) -> list[dict[str, Any]]:
    """How each job ended at its last attempt; of a run that is over, the silent were killed."""
    last = {entry["job"]: dict(entry) for entry in entries}
    for entry in last.values():
        if entry["status"] == "started" and over:
            entry |= {"status": "failed", "why": killed(entry)}
    return list(last.values())


def killed(entry: Mapping[str, Any]) -> str:
    """The likely cause of an end without a word, and what to do."""
    memory, minutes = entry.get("mem_mb"), entry.get("runtime")
    asked = f"; it asked for {memory} MB and {minutes} min" if memory and minutes else ""
    more = f", the next attempt asks for {2 * memory} MB and {2 * minutes} min" if asked else ""
    return f"ended without a word: killed for memory or time, or with the run{asked}{more}"


def summary(run: str | None = None) -> str:
    """`N computed, M reused, K failed`, then a line for each failure."""
    entries = last_words(jobs(log_of(run or os.environ.get("DALIB_RUN", ""))))
    counts = Counter(entry["status"] for entry in entries)
    lines = [", ".join(f"{counts[status]} {status}" for status in ("computed", "reused", "failed"))]
    failed = (entry for entry in entries if entry["status"] == "failed")
    lines += [f"  {e['job']}: {e['why']} (log: {e['log']})" for e in failed]
    return "\n".join(lines)
