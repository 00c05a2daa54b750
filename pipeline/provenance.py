"""`<output>.prov.json`: what made a result, and whether the file is still that result.

A file is known by its stamp: size, modification time, change time and inode. No program can set the
change time, so `cp -p`, `rsync -a`, an old file moved here and a link that leads elsewhere show,
though the modification time is old or the same. Snakemake touches each output after its job: then
its modification time is the one that Snakemake noted, and the change time is that of the touch. Any
other difference is settled by content.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from dalib import io

SUFFIX = ".prov.json"
RESULTS = "results"  # the folder of all that stages make
TOUCH_NS = 1_000_000_000  # between the time that a touch sets and the change time that it leaves
PIECE = 254  # Snakemake cuts the names of its metadata files into pieces of this length


def beside(path: str | Path) -> Path:
    return Path(f"{path}{SUFFIX}")


def load(path: str | Path) -> dict[str, Any] | None:
    """The record beside the result `path`; None if there is none that can be read."""
    record = read(beside(path))
    return record if record and str(path) in record["outputs"] else None


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a hash of itself, by which a damaged one is known."""
    rest = {name: value for name, value in record.items() if name != "seal"}
    plain = json.dumps(rest, sort_keys=True).encode()
    return rest | {"seal": hashlib.sha256(plain).hexdigest()}


def read(file: Path) -> dict[str, Any] | None:
    """The record in `file`; None if there is none, or it is not what was written."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        entries = list(record["outputs"].values())
        whole = all(isinstance(entry, dict) for entry in entries)
        return record if whole and record.get("seal") in (None, sealed(record)["seal"]) else None
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None


def write(file: Path, record: dict[str, Any]) -> None:
    io.write_json(file, sealed(record))


def results(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Every result under `folder` that has a `.prov.json` or should have one, with its record.

    Logs, benchmarks and the files directly in `folder` (index, report) are no results.
    """
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if len(inside) < 2 or inside[0] in ("logs", "benchmarks") or not path.is_file():
            continue
        if path.name.endswith(SUFFIX) or ".part-" in path.name or path.name.startswith("."):
            continue
        yield path, load(path)


def stamp(path: str | Path) -> dict[str, int]:
    """What changes with every write, replacement and rename of a file; reads no contents.

    Of a folder, such as a Zarr store: all that it holds together.
    """
    stat = Path(path).stat()
    if S_ISDIR(stat.st_mode):
        states = [found.stat() for found in Path(path).rglob("*")]
        return {
            "size": sum(one.st_size for one in states),
            "files": len(states),
            "mtime_ns": max((one.st_mtime_ns for one in states), default=0),
            "ctime_ns": max((one.st_ctime_ns for one in states), default=0),
            "inode": stat.st_ino,
        }
    return {
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }


def given(record: dict[str, Any]) -> dict[str, str]:
    """{path: content hash} of the inputs that no stage has made: data and files of the user."""
    return {
        path: content
        for files in record["inputs"].values()
        for path, content in files.items()
        if Path(path).parts[0] != RESULTS
    }


def describe(path: str | Path) -> dict[str, Any]:
    """The entry of an output in a record: hashes of bytes and content, size and time."""
    sha = io.bytes_hash(path)
    content = io.content_hash(path) if Path(path).suffix == ".nc" else sha
    return {"sha256": sha, "content": content, **stamp(path)}


def untouched(path: str | Path, entry: dict[str, Any]) -> bool:
    """Whether `path` has the stamp recorded, or that which Snakemake left; reads no contents."""
    found = stamp(path)
    if all(entry.get(name) == value for name, value in found.items()):
        return True
    if found["size"] != entry["size"]:
        return False
    noted = (metadata(path) or {}).get("endtime")
    touched = noted is not None and abs(noted - found["mtime_ns"] / 1e9) < 1e-6
    return touched and abs(found["ctime_ns"] - found["mtime_ns"]) < TOUCH_NS


def same_content(path: str | Path, entry: dict[str, Any]) -> bool:
    """Whether `path` holds what was recorded."""
    if io.bytes_hash(path) == entry["sha256"]:
        return True
    if Path(path).suffix != ".nc":
        return False
    try:
        return io.content_hash(path) == entry["content"]
    except io.DataError:
        return False


def content(path: str | Path) -> str:
    """The content hash of `path`, from its record where the file is untouched."""
    record = load(path) if Path(path).exists() else None
    if record and untouched(path, record["outputs"][str(path)]):
        return record["outputs"][str(path)]["content"]
    return io.content_hash(path)


def metadata(path: str | Path) -> dict[str, Any] | None:
    """What Snakemake noted about the output `path`; None if nothing."""
    try:
        return json.loads(metadata_path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def metadata_path(path: str | Path, kind: str = "metadata") -> Path:
    name = urlsafe_b64encode(str(path).encode()).decode()
    pieces = [name[i : i + PIECE] for i in range(0, len(name), PIECE)]
    return Path(".snakemake", kind, *("@" + piece for piece in pieces[:-1]), pieces[-1])
