"""Run snakemake as `make` does: clear the lock of a dead run, show progress, make the index."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from dalib import io
from pipeline import audit, index, unlock


def main(root: Path, scale: str, arguments: list[str]) -> int:
    """Run snakemake with `arguments` in `root`; its exit code. The index is made in any case.

    Args:
        arguments: targets, then options; targets have to stand before `--config`.
    """
    if no_room():
        return 1
    unlock.main(root, dead_only=True)
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    first = arguments.index("--config") if "--config" in arguments else len(arguments)
    logger = ["--logger", "rich"] if sys.stdout.isatty() else []
    code = finished([snakemake, *arguments[:first], *logger, *arguments[first:]], root)
    if code:
        no_room()
    index.main(root, scale)
    print("\n".join(closing(root / "results" / scale)))
    return code


def finished(command: list[str], root: Path) -> int:
    """The exit code of a command. Ctrl-C reaches it by itself: wait while it stops its jobs."""
    with subprocess.Popen(command, cwd=root) as process:
        while process.returncode is None:
            with suppress(KeyboardInterrupt):
                process.wait()
    return process.returncode


def no_room() -> bool:
    """Whether the disk is full, said here: on a full one Snakemake's own messages drown."""
    try:
        audit.check_room()
    except OSError as error:
        print(io.explained(error), file=sys.stderr)
        return True
    return False


def closing(results: Path) -> list[str]:
    """Where to look, and how the claims stand."""
    lines, rows = [], []
    if (results / "scorecard.json").exists():
        rows = json.loads((results / "scorecard.json").read_text(encoding="utf-8"))
    if rows:
        counts = Counter(row["verdict"] for row in rows)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        lines.append(f"claims: {verdicts or 'none judged yet'}")
    if (results / "index.html").exists():
        lines.append(f"open {results / 'index.html'}")
    return lines
