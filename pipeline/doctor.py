"""Look for what can be wrong with an installation, a store or a tree of results.

Every finding names its cause and its remedy.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dalib import io
from pipeline import audit, locks, provenance, settings
from pipeline.stage import WRITING, gpus, torch_has_cuda
from pipeline.store import Store, StoreError, directory

FREE_GB = 2.0
WRITTEN = ("results", ".snakemake", ".cache")  # what a run writes, beside the store
NOT_OURS = "it belongs to somebody else, or the file system is read-only or full"
SLURM_CONF = Path("/etc/slurm/slurm.conf")  # unless the variable SLURM_CONF names another


@dataclass(frozen=True)
class Finding:
    what: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n    cause: {self.cause}\n    remedy: {self.remedy}"


def main(root: Path, overrides: dict[str, Any]) -> int:
    """Print every finding; 0 if there is none."""
    findings = list(diagnose(root, overrides))
    print(*findings, sep="\n", end="\n" if findings else "")
    if shutil.which("sinfo") and not has_slurm():
        print("Slurm is installed and not set up here: make slurm is not for this machine")
    print(f"{len(findings)} findings" if findings else "nothing found")
    return 1 if findings else 0


def diagnose(root: Path, overrides: dict[str, Any]) -> Iterator[Finding]:
    """All checks; those that need the configuration only where it is valid."""
    yield from environment(root)
    try:
        config = settings.load(root, overrides)
    except settings.ConfigError as error:
        yield Finding(str(error), "a configuration file or --config", "correct the lines named")
        config = {}
    store = Store(Path(config["cache"]["dir"]) if config else directory())
    yield from storage(store)
    yield from stale_locks(store)
    yield from folders(root)
    yield from future(root)
    yield from disk([root, store.directory])
    yield from parts(root, store)
    yield from results(root)
    for wanted in {config.get("device", "cpu"), *config.get("devices", {}).values()}:
        yield from device(wanted)
    if has_slurm():
        yield from slurm()


def environment(root: Path) -> Iterator[Finding]:
    """Python and every installed package against pyproject.toml and constraints.txt."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = tuple(map(int, re.findall(r"\d+", project["requires-python"])))
    if sys.version_info[: len(least)] < least:
        yield Finding(
            f"Python is {sys.version.split()[0]}, needed is {project['requires-python']}",
            "the environment was made with an older Python",
            "rm -r .venv && make setup PYTHON=python3.11",
        )
    required = {re.split(r"[^\w.-]", name)[0].lower() for name in project["dependencies"]}
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, pinned, wanted = line.partition("==")
        found = installed(name)
        if not pinned or found is None and name.lower() not in required:
            continue
        if found is None or found.partition("+")[0] != wanted:  # torch 2.13.0+cpu is 2.13.0
            yield Finding(
                f"{name} is {found or 'missing'}, constraints.txt says {wanted}",
                "the environment was changed by hand, or constraints.txt after it was made",
                "rm .venv/.ok && make setup",
            )


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def storage(store: Store) -> Iterator[Finding]:
    """The store: its format, whether we may write, and every object against its name."""
    try:
        store.check()
    except StoreError as error:
        if error.__cause__ is None:
            yield Finding(str(error), "written by another version of dalib", "set cache.dir")
            return
        yield Finding(
            str(error),
            NOT_OURS,
            "set cache.dir to a directory that you may write",
        )
    for path in store.objects():
        if io.bytes_hash(path) != path.name:
            yield Finding(
                f"damaged object {path}",
                "the disk, or somebody wrote into the store",
                f"rm -f {path}; its stage computes it again when it is needed",
            )


def stale_locks(store: Store) -> Iterator[Finding]:
    """Locks whose process is gone."""
    folders = (audit.RUNNING, WRITING, store.directory / "locks")
    held = [lock for folder in folders for lock in folder.glob("*.json")]
    dead = [lock for lock in held if not locks.alive(lock)]
    if not any(map(locks.alive, audit.RUNNING.glob("*.json"))):
        dead += audit.SNAKEMAKE_LOCKS.glob("*.lock")
    for lock in sorted(dead):
        yield Finding(f"dead lock {lock}", "a run was killed or lost its host", "make unlock")


def folders(root: Path) -> Iterator[Finding]:
    """Folders that a run writes and that we may not write, each with those below it."""
    for name in WRITTEN:
        top = root / name if (root / name).exists() else root
        below = (Path(folder) for folder, *_ in os.walk(top)) if top != root else [root]
        closed = [folder for folder in below if not writable(folder)]
        if closed:
            more = f" and {len(closed) - 1} more below" if len(closed) > 1 else ""
            yield Finding(
                f"{closed[0]}{more} cannot be written",
                NOT_OURS,
                f"chmod -R u+w {top}, or work in a copy of your own: git clone",
            )


def writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def future(root: Path) -> Iterator[Finding]:
    """Results, inputs and sources whose time is still to come: Snakemake ends with an error."""
    late = []
    for path in sorted(dated(root)):
        with suppress(OSError):
            if audit.to_come(path):
                late.append(path)
    if late:
        more = f" and {len(late) - 1} more" if len(late) > 1 else ""
        yield Finding(
            f"the time of {late[0]}{more} lies in the future",
            "a clock that was wrong, an archive or a copy from another machine",
            f"touch {' '.join(shlex.quote(str(path)) for path in late[:20])}; "
            "what is unchanged is not computed again",
        )


def dated(root: Path) -> set[Path]:
    """Results, and the files outside of results that their records say they were made from."""
    found = set()
    for scale in settings.scales(root):
        for path, record in provenance.results(root / "results" / scale):
            found.add(path)
            for files in (record or {}).get("inputs", {}).values():
                found |= {root / name for name in files}
    return found


def disk(folders: Iterable[Path]) -> Iterator[Finding]:
    for folder in folders:
        there = next(f for f in (folder, *folder.resolve().parents) if f.exists())
        free = shutil.disk_usage(there).free / 1e9
        if free < FREE_GB:
            yield Finding(
                f"{free:.1f} GB free for {folder}",
                "results, the store and what was put aside share the disk",
                f"make cache-prune; remove {audit.ASIDE}; or set cache.dir to another disk",
            )


def parts(root: Path, store: Store) -> Iterator[Finding]:
    for part in audit.dead_parts(root / "results", store.directory):
        yield Finding(
            f"half-written file {part}",
            "the process that wrote it was killed",
            f"rm {part}; the next run of snakemake does it",
        )


def results(root: Path) -> Iterator[Finding]:
    """Results that are not, or not known to be, what a stage made."""
    for scale in settings.scales(root):
        for path, record in provenance.results(root / "results" / scale):
            if record is None:
                yield Finding(
                    f"no provenance: {path}",
                    "put there by hand, or its record was removed",
                    "run snakemake, which moves it aside and makes it again",
                )
                continue
            entry = record["outputs"][str(path)]
            if not provenance.untouched(path, entry) and not provenance.same_content(path, entry):
                yield Finding(
                    f"edited result: {path}",
                    f"changed after the stage {record['stage']} wrote it",
                    "run snakemake, which moves it aside and restores it",
                )


def device(wanted: str) -> Iterator[Finding]:
    """The GPU that the configuration asks for, and the one that torch cannot use."""
    torch = installed("torch") or ""
    if wanted == "cuda" and not gpus():
        yield Finding(
            "device is cuda and this host has no GPU",
            "no driver or no device; on a cluster the login node often has none",
            "device: cpu or auto, or run on a host with a GPU",
        )
    elif wanted != "cpu" and gpus() and not torch_has_cuda():
        yield Finding(
            f"a GPU is there and torch {torch} cannot use it",
            "torch was installed from a source of CPU wheels",
            f"pip install --force-reinstall torch=={torch.partition('+')[0]}",
        )


def has_slurm() -> bool:
    """Whether this machine belongs to a cluster; the programs alone are easily installed."""
    return "SLURM_CONF" in os.environ or SLURM_CONF.exists() or not list(slurm())


def slurm(command: Sequence[str] = ("sinfo", "--noheader")) -> Iterator[Finding]:
    """Whether the controller answers, where Slurm is installed."""
    if shutil.which(command[0]) is None:
        return
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        problem = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = "no answer within 30 s"
    if problem:
        yield Finding(
            f"Slurm does not answer: {problem}",
            "the controller is down, or SLURM_CONF does not point to its configuration",
            "ask the cluster's administrators; meanwhile run without the profile slurm",
        )
