"""Keep the store below its limit: what was not used for longest goes first. What was put aside goes
after a while.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline import provenance
from pipeline.audit import ASIDE, dead_parts
from pipeline.store import Store, directory

GB = 1e9
KEPT_RUNS = 100
DAY = 86400.0
KEPT_CHECKPOINTS = 30 * DAY  # a job that was not continued for so long will not be
KEPT_ASIDE = 30 * DAY


def main(root: Path, keep_gb: float) -> int:
    """Prune and say how much went."""
    freed, left = limit(root, keep_gb)
    print(f"{directory()}: {freed / GB:.2f} GB removed, {left / GB:.2f} GB kept")
    freed, left = forget(root / ASIDE)
    if freed or left:
        kept, days = f"{left / GB:.2f} GB kept; rm -r {ASIDE} removes that too", KEPT_ASIDE / DAY
        print(f"{ASIDE}: {freed / GB:.2f} GB older than {days:.0f} days removed, {kept}")
    return 0


def forget(aside: Path) -> tuple[int, int]:
    """Remove what was put aside long ago; bytes freed and left."""
    freed = left = 0
    for folder in aside.glob("*"):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if time.time() - folder.stat().st_mtime > KEPT_ASIDE:
            shutil.rmtree(folder)
            freed += size
        else:
            left += size
    return freed, left


def limit(root: Path, keep_gb: float) -> tuple[int, int]:
    """Prune the store of the project in `root`; bytes freed and left. For the end of a run."""
    store = Store(directory())
    freed = prune(store, keep_gb, in_use(root / "results"))
    return freed, sum(size for _, size, _ in usage(store))


def prune(store: Store, keep_gb: float, wanted: set[str]) -> int:
    """Drop objects, least recently used first, until `keep_gb` GB are left; bytes freed.

    Objects in `wanted` stay, whatever they take. A record whose object is gone goes too.
    """
    for part in list(dead_parts(store.directory)):
        drop(part)
    objects = sorted(usage(store))
    excess = sum(size for _, size, _ in objects) - keep_gb * GB
    freed = 0
    for _, size, path in objects:
        if freed >= excess:
            break
        if path.name not in wanted and drop(path):
            freed += size
    for path in list(store.records()):
        record = store.record(path.stem)
        if record is None or not store.has(record):
            drop(path)
    for state in list(store.directory.glob("checkpoints/*/*")):
        with suppress(FileNotFoundError):
            if time.time() - state.stat().st_mtime > KEPT_CHECKPOINTS:
                drop(state)
    for old in sorted((store.directory / "runs").glob("*.jsonl"))[:-KEPT_RUNS]:
        drop(old)
    return freed


def drop(path: Path) -> bool:
    """Remove a file; False for somebody else's in a shared store."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def usage(store: Store) -> Iterator[tuple[float, int, Path]]:
    """(last use, size, path) of every object; using one renews its time."""
    for path in store.objects():
        with suppress(FileNotFoundError):  # somebody who shares the store prunes it too
            stat = path.stat()
            yield stat.st_mtime, stat.st_size, path


def in_use(results: Path) -> set[str]:
    """Hashes of the objects that present results refer to, at all scales."""
    hashes = set()
    for path in results.rglob(f"*{provenance.SUFFIX}"):
        if path.with_name(path.name.removesuffix(provenance.SUFFIX)).exists():
            record = provenance.read(path) or {"outputs": {}}
            hashes |= {output["sha256"] for output in record["outputs"].values()}
    return hashes
