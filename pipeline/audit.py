"""Before the graph is built: is every result still what its record says?

Snakemake believes a file that is there. So what was edited, half written, or has no metadata of
Snakemake (a fresh clone, a lost `.snakemake/`, a killed run) is marked incomplete here; Snakemake
then runs its stage, which takes from the store whatever is really unchanged. Nothing is lost: a
file goes into the store if it is what its record says, else under `.cache/aside/`.

Snakemake also believes an input that is older than the result. So the stage of a result is asked
for where a file given by the user holds something else than when the result was made.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from dalib import io
from pipeline import locks, provenance
from pipeline.stage import say
from pipeline.store import Store, directory

RUNNING = Path(".cache/running")
ASIDE = Path(".cache/aside")
SNAKEMAKE_LOCKS = Path(".snakemake/locks")
DAY = 86400.0
CLOCKS = 10.0  # seconds that the clocks of two hosts may differ
LOOKING = (  # snakemake commands that run no jobs
    "--dry-run --dryrun --touch --unlock --lint --list --list-rules --list-target-rules --summary "
    "--detailed-summary --report --rulegraph --dag --filegraph --d3dag --cleanup-metadata "
    "--list-changes --list-input-changes --list-params-changes --list-untracked --archive "
    "--delete-all-output --delete-temp-output --generate-unit-tests --print-compilation "
    "--export-cwl --containerize --cleanup-shadow --conda-list-envs --conda-create-envs-only"
).split()


class ActiveError(RuntimeError):
    """No run can begin in this directory; the message says why."""


def begin(scale: str, cache: str, *, main: bool, arguments: Sequence[str] | None = None) -> None:
    """What the Snakefile calls once the configuration is known.

    Tells the jobs where the store is and which run they belong to and, in the main process of a
    command that runs jobs, holds the directory and audits the results of this scale.

    Args:
        main: `workflow.is_main_process`.
        arguments: the command line of snakemake.

    Raises:
        ActiveError: another run is active here, or was interrupted and left Snakemake's locks.
        StoreError: the store is of another format, or cannot be written.
    """
    os.environ["DALIB_CACHE"] = cache
    words = sys.argv[1:] if arguments is None else arguments
    if main and is_dry(words):
        tell(Path("results") / scale)
    if not main or looks_only(words):
        return
    os.environ["DALIB_RUN"] = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    Store(directory()).check()
    try:
        check_room()
        hold()
        audit(Path("results") / scale)
    except OSError as error:
        raise ActiveError(f"the results cannot be audited: {io.explained(error)}") from error


def looks_only(arguments: Iterable[str]) -> bool:
    """Whether this snakemake command runs no jobs."""
    words = {word.partition("=")[0] for word in arguments}
    short = re.compile("-[afFkp]*[DlnSt]")
    return not words.isdisjoint(LOOKING) or any(map(short.match, words))


def is_dry(arguments: Iterable[str]) -> bool:
    """Whether this snakemake command says what it would do."""
    words = set(arguments)
    return not words.isdisjoint({"--dry-run", "--dryrun"}) or any(
        re.match("-[afFkp]*n", word) for word in words
    )


def tell(folder: Path) -> None:
    """Say what Snakemake does not see, without doing anything."""
    changed = Inputs()
    for path, record in provenance.results(folder):
        for source in changed.of(record) if record else ():
            say(f"{path}: {source} has changed since; a run makes it again")


def check_room() -> None:
    """Raise OSError where there is no room for the notes of a run."""
    with io.part_of(RUNNING / "room") as part:
        io.check_space(part)


def hold() -> None:
    """Note that this process runs jobs here; refuse if another one does."""
    for lock in active():
        raise ActiveError(f"another run is active on {locks.owner(lock)}; wait for it or stop it")
    if list(SNAKEMAKE_LOCKS.glob("*.lock")):
        raise ActiveError("the last run here was interrupted and left its locks: make unlock")
    for lock in RUNNING.glob("*.json"):
        if not locks.alive(lock):
            lock.unlink(missing_ok=True)
    held = ExitStack()  # until this process ends
    name = f"{socket.gethostname()}.{os.getpid()}.json"
    held.enter_context(locks.holding(RUNNING / name, lambda _: None))
    atexit.register(held.close)


def active() -> list[Path]:
    """The notes of other processes that run jobs in this directory now."""
    notes = sorted(RUNNING.glob("*.json"))
    return [note for note in notes if locks.alive(note) and not locks.mine(note)]


def main(root: Path, scale: str) -> int:
    """The audit by itself; 1 if a run is active."""
    for note in active():
        print(f"another run is active on {locks.owner(note)}; it has done this at its start")
        return 1
    audit(root / "results" / scale)
    return 0


def audit(folder: Path) -> None:
    """Put away every result under `folder` that cannot be trusted, with a notice."""
    remove_parts(dead_parts(folder, directory()))
    done: dict[str, list[Path]] = defaultdict(list)
    changed = Inputs()
    for path, record in provenance.results(folder):
        if to_come(path):
            os.utime(path)
            done["its time lay in the future, set to now"].append(path)
        what = settle(path, record) or follow(path, record, changed)
        if what:
            done[what].append(path)
    for why, paths in done.items():
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        say(f"{', '.join(map(str, paths[:3]))}{more}: {why}")


def to_come(path: Path) -> bool:
    """Whether the time of a file is still to come: no job that reads it could end well."""
    return path.stat().st_mtime > time.time() + CLOCKS


def settle(path: Path, record: dict | None) -> str:
    """Deal with `path` if it is not the result it claims to be; says how, "" if it is."""
    known = provenance.metadata(path) is not None
    if record is None:
        set_aside(path)
        if not known and not provenance.metadata_path(path, "incomplete").exists():
            path.unlink()  # no stage that we know of would make it again
            return f"without provenance, moved to {ASIDE}"
        ask_for(path)
        return f"without provenance, made again; the old one is in {ASIDE}"
    entry = record["outputs"][str(path)]
    if not known:  # only Snakemake can write its metadata: let it run the stage
        provenance.metadata_path(path).unlink(missing_ok=True)  # damaged, it would end snakemake
        adopted = adopt(path, record)
        if not adopted:
            set_aside(path)
        ask_for(path)
        if adopted:
            return "not known to Snakemake (a fresh copy or a killed run), given to the store"
        return f"neither known to Snakemake nor what its record says, moved to {ASIDE}"
    if provenance.untouched(path, entry):
        return ""
    if provenance.same_content(path, entry):
        restamp(path, record)
        return ""
    set_aside(path)
    if restored(path, record):
        return f"changed since it was made, moved to {ASIDE} and restored from the store"
    ask_for(path)
    return f"changed since it was made, moved to {ASIDE}"


class Inputs:
    """Files given by the user, each of which is hashed once, and only if its stamp is another."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def of(self, record: dict) -> list[str]:
        """Those that hold something else than when `record` was made; lost ones do not count."""
        known = record.get("stamps", {})
        return [
            path
            for path, content in provenance.given(record).items()
            if Path(path).exists()
            and known.get(path) != provenance.stamp(path)
            and self.content(path) != content
        ]

    def content(self, path: str) -> str:
        """The content hash; of a file that cannot be read, why not."""
        if path not in self.found:
            try:
                self.found[path] = io.content_hash(path)
            except (OSError, io.DataError) as error:
                self.found[path] = str(error)
        return self.found[path]


def follow(path: Path, record: dict, changed: Inputs) -> str:
    """Ask for a good result whose inputs changed; says so, "" if they did not."""
    sources = changed.of(record)
    if sources:
        ask_for(path)
        return f"made again, since {', '.join(sources)} has changed"
    stamps = {p: provenance.stamp(p) for p in provenance.given(record) if Path(p).exists()}
    if any(record.get("stamps", {}).get(p) != stamp for p, stamp in stamps.items()):
        provenance.write(
            provenance.beside(path), record | {"stamps": record.get("stamps", {}) | stamps}
        )
    return ""


def restamp(path: Path, record: dict) -> None:
    """Note the present time of an unchanged file, so that it need not be hashed again."""
    entry = record["outputs"][str(path)]
    record["outputs"][str(path)] = entry | provenance.stamp(path)
    provenance.write(provenance.beside(path), record)


def set_aside(path: Path) -> None:
    """Keep a copy of `path`, which is about to be replaced."""
    target = ASIDE / time.strftime("%Y%m%d-%H%M%S") / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileExistsError:
        pass  # put aside within the same second
    except OSError:  # results/ may be on another disk
        shutil.copy2(path, target)


def ask_for(path: Path) -> None:
    """Let Snakemake run the stage of `path`, also if nothing else needs it now.

    An incomplete file is made again, a missing intermediate one is not.
    """
    io.write_json(provenance.metadata_path(path, "incomplete"), {"external_jobid": None})


def restored(path: Path, record: dict) -> bool:
    """Bring `path` back from the store, with its time; False if it is not there."""
    entry = record["outputs"][str(path)]
    if Store(directory()).restore({**record, "outputs": {str(path): entry}}, [path]):
        return False
    os.utime(path, ns=(entry["mtime_ns"], entry["mtime_ns"]))
    restamp(path, record)
    return True


def adopt(path: Path, record: dict) -> bool:
    """Let the store have an intact result, so that nothing is computed to get it back."""
    store, entry = Store(directory()), record["outputs"][str(path)]
    if io.bytes_hash(path) != entry["sha256"]:
        return False
    store.check_format()
    store.put(path, entry["sha256"])
    if store.record(record["key"]) is None:
        provenance.write(store.record_path(record["key"]), record)
    return True


def dead_parts(*folders: Path) -> Iterator[Path]:
    """Half-written files whose process is gone (another host's: untouched for a day)."""
    for folder in folders:
        for part in folder.rglob("*.part-*"):
            try:
                pid, host = io.part_owner(part)
            except ValueError:
                continue  # not one of ours
            here = host == socket.gethostname()
            if not locks.exists(pid) if here else time.time() - part.stat().st_mtime > DAY:
                yield part


def remove_parts(parts: Iterable[Path]) -> None:
    for part in list(parts):
        part.unlink(missing_ok=True)
        say(f"{part}: half written by a process that is gone, removed")
