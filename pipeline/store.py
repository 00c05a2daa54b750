"""The store of results: objects named by their hash, records named by what made them.

    objects/<2>/<sha256>      the bytes of one output
    keys/<2>/<key>.json       which outputs a key gave, written last
    locks/<key>.json          a process that computes this key now
    checkpoints/<key>/        from what a killed computation of this key continues
    units/<digest>.json       the code units behind a code digest
    runs/<run>.jsonl          one line for each job of a run

Everything is written under another name and renamed, so jobs at the same time and killed jobs
are harmless, and several people can share one directory. Objects are copied, never linked, and
hashed again when used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalib import io
from pipeline import provenance

FORMAT = "1"
FICLONE = 0x40049409  # Linux ioctl: let two files share their blocks until one is written


class StoreError(RuntimeError):
    """The store cannot be used; the message says why and what to do."""


def directory() -> Path:
    """Where the store of this run is: the Snakefile hands it to its jobs in the environment."""
    return Path(os.environ.get("DALIB_CACHE", ".cache/stages"))


def key(spec: dict, wildcards: dict, inputs: dict[str, list[str]], names: list[str]) -> str:
    """sha256 of all that decides a result: spec, wildcards, input contents, output names.

    Wildcards count because random streams are named after the experiment.
    """
    plain = json.dumps([spec, wildcards, inputs, names], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    directory: Path

    def object(self, sha: str) -> Path:
        return self.directory / "objects" / sha[:2] / sha

    def record_path(self, key: str) -> Path:
        return self.directory / "keys" / key[:2] / f"{key}.json"

    def lock(self, key: str) -> Path:
        return self.directory / "locks" / f"{key}.json"

    def checkpoints(self, key: str) -> Path:
        return self.directory / "checkpoints" / key

    def objects(self) -> Iterator[Path]:
        return (p for p in self.directory.glob("objects/??/*") if ".part-" not in p.name)

    def records(self) -> Iterator[Path]:
        return self.directory.glob("keys/*/*.json")

    def check(self) -> None:
        """Refuse a store that this version cannot read or this user cannot write."""
        try:
            self.check_format()
            with io.replacing(self.directory / "format") as probe:
                probe.write_text(FORMAT + "\n")
            with io.part_of(self.directory / "room") as probe:
                io.check_space(probe)
        except OSError as error:
            raise StoreError(
                f"{self.directory}: the store cannot be written: {io.explained(error)}; "
                "or name another directory as cache.dir"
            ) from error

    def check_format(self) -> None:
        """Refuse a store that another version of this layout has written; mark a new one."""
        mark = self.directory / "format"
        if not mark.exists():
            io.write_text(mark, FORMAT + "\n")
        found = mark.read_text(encoding="utf-8").strip()
        if found != FORMAT:
            raise StoreError(
                f"{self.directory}: expected a store of format {FORMAT}, found {found!r}; "
                "name another directory as cache.dir, or delete this one"
            )

    def record(self, key: str) -> dict[str, Any] | None:
        """What `key` gave before; None if it is not known."""
        return provenance.read(self.record_path(key))

    def put(self, path: Path, sha: str) -> None:
        """Copy `path`, whose bytes hash to `sha`, into the store."""
        target = self.object(sha)
        if target.exists():
            return
        with io.replacing(target) as part:
            copy(path, part)
            part.chmod(0o444)

    def keep(self, record: dict[str, Any], paths: Iterable[Path]) -> None:
        """Store the outputs at `paths`, in the order of the record, then the record."""
        self.check_format()
        for path, output in zip(paths, record["outputs"].values(), strict=True):
            self.put(path, output["sha256"])
        provenance.write(self.record_path(record["key"]), record)

    def has(self, record: dict[str, Any]) -> bool:
        return all(self.object(o["sha256"]).exists() for o in record["outputs"].values())

    def restore(self, record: dict[str, Any], paths: list[Path]) -> list[str]:
        """Copy the outputs of `record` to `paths`, all or none; returns what is wrong with it.

        A damaged object is dropped, so that the next result takes its place.
        """
        hashes = [output["sha256"] for output in record["outputs"].values()]
        if len(hashes) != len(paths) or not self.has(record):
            return ["an output is no longer in the store"]
        with ExitStack() as parts:
            copies = [parts.enter_context(io.replacing(path)) for path in paths]
            for sha, part in zip(hashes, copies, strict=True):
                wrong = self.fetch(sha, part)
                if wrong:
                    parts.pop_all()
                    for other in copies:
                        other.unlink(missing_ok=True)
                    return [wrong]
        for used in (*map(self.object, hashes), self.record_path(record["key"])):
            with suppress(OSError):  # somebody else's file in a shared store
                os.utime(used)
        return []

    def fetch(self, sha: str, target: Path) -> str:
        """Copy an object; says what is wrong with it, "" if nothing is."""
        try:
            copy(self.object(sha), target)
        except FileNotFoundError:  # pruned meanwhile, by somebody who shares the store
            return "an output is no longer in the store"
        if io.bytes_hash(target) == sha:
            return ""
        self.object(sha).unlink(missing_ok=True)
        return f"dropped the damaged object {self.object(sha)}"


def copy(source: Path, target: Path) -> None:
    """Copy the contents, sharing blocks where the file system can."""
    with open(source, "rb") as old, open(target, "wb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
            return
        except OSError:
            shutil.copyfileobj(old, new, 2**20)
