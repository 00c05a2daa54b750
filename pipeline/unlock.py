"""Clear what dead processes hold: Snakemake's locks, notes of runs, keys being computed."""

from __future__ import annotations

from pathlib import Path

from pipeline import audit, locks
from pipeline.stage import WRITING
from pipeline.store import directory


def main(root: Path, dead_only: bool = False) -> int:
    """Clear dead locks in `root`; 1 if a living run holds it.

    Args:
        dead_only: say nothing of a living run; snakemake will.
    """
    cleared, living = unlock(root)
    for path in cleared:
        print(f"{path}: left by a process that is gone, cleared")
    if dead_only:
        return 0
    for path in living:
        print(f"{path}: a run is active on {locks.owner(path)}; stop it first")
    if not cleared and not living:
        print("nothing is locked")
    return 1 if living else 0


def unlock(root: Path) -> tuple[list[Path], list[Path]]:
    """(locks cleared, notes of living runs). Snakemake's locks fall when no run is alive."""
    runs = sorted((root / audit.RUNNING).glob("*.json"))
    keys = [*(root / directory() / "locks").glob("*.json"), *(root / WRITING).glob("*.json")]
    living = [note for note in runs if locks.alive(note)]
    dead = [lock for lock in (*runs, *sorted(keys)) if not locks.alive(lock)]
    if not living:
        dead += sorted((root / audit.SNAKEMAKE_LOCKS).glob("*.lock"))
    for lock in dead:
        lock.unlink(missing_ok=True)
    return dead, living
