"""Keep the store below its limit: what was not used for longest goes first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dalib.workflow import provenance
from dalib.workflow.audit import dead_parts
from dalib.workflow.store import Store, directory

GB = 1e9
KEPT_RUNS = 100


def main(root: Path, keep_gb: float) -> int:
    """Prune and say how much went."""
    store = Store(directory())
    freed = prune(store, keep_gb, in_use(root / "results"))
    left = sum(size for _, size, _ in usage(store))
    print(f"{store.directory}: {freed / GB:.2f} GB removed, {left / GB:.2f} GB kept")
    return 0


def prune(store: Store, keep_gb: float, wanted: set[str]) -> int:
    """Drop objects, least recently used first, until `keep_gb` GB are left; bytes freed.

    Objects in `wanted` stay, whatever they take. A record whose object is gone goes too.
    """
    for part in list(dead_parts(store.directory)):
        part.unlink(missing_ok=True)
    objects = sorted(usage(store))
    excess = sum(size for _, size, _ in objects) - keep_gb * GB
    freed = 0
    for _, size, path in objects:
        if freed >= excess:
            break
        if path.name not in wanted:
            path.unlink(missing_ok=True)
            freed += size
    for path in list(store.records()):
        record = store.record(path.stem)
        if record is None or not store.has(record):
            path.unlink(missing_ok=True)
    for old in sorted((store.directory / "runs").glob("*.jsonl"))[:-KEPT_RUNS]:
        old.unlink(missing_ok=True)
    return freed


def usage(store: Store) -> Iterator[tuple[float, int, Path]]:
    """(last use, size, path) of every object; using one renews its time."""
    for path in store.objects():
        stat = path.stat()
        yield stat.st_mtime, stat.st_size, path


def in_use(results: Path) -> set[str]:
    """Hashes of the objects that present results refer to, at all scales."""
    folders = [folder for folder in results.glob("*") if folder.is_dir()]
    records = [record for folder in folders for _, record in provenance.results(folder)]
    return {o["sha256"] for record in records if record for o in record["outputs"].values()}
