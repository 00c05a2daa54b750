"""`<output>.prov.json`: what made a result, and whether the file is still that result.

Snakemake touches each output after its job, so a file counts as untouched if its modification
time is the recorded one or the one that Snakemake noted. Any other difference is settled by
content.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dalib import io

SUFFIX = ".prov.json"
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
        record = json.loads(file.read_text())
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
    stat = Path(path).stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def describe(path: str | Path) -> dict[str, Any]:
    """The entry of an output in a record: hashes of bytes and content, size and time."""
    sha = io.bytes_hash(path)
    content = io.content_hash(path) if Path(path).suffix == ".nc" else sha
    return {"sha256": sha, "content": content, **stamp(path)}


def untouched(path: str | Path, entry: dict[str, Any]) -> bool:
    """Whether size and modification time of `path` are those recorded; reads no contents."""
    stat = Path(path).stat()
    if stat.st_size != entry["size"]:
        return False
    if stat.st_mtime_ns == entry["mtime_ns"]:
        return True
    noted = (metadata(path) or {}).get("endtime")
    return noted is not None and abs(noted - stat.st_mtime) < 1e-6


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
        return json.loads(metadata_path(path).read_text())
    except (FileNotFoundError, ValueError):
        return None


def metadata_path(path: str | Path, kind: str = "metadata") -> Path:
    name = urlsafe_b64encode(str(path).encode()).decode()
    pieces = [name[i : i + PIECE] for i in range(0, len(name), PIECE)]
    return Path(".snakemake", kind, *("@" + piece for piece in pieces[:-1]), pieces[-1])
