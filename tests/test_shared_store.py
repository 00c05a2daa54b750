"""Two runs with clones of their own and one store: each stage is computed once for both.

With two users as well, which takes root and more time.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks import chaos
from benchmarks.toy import PATIENCE, Toy
from dalib import io

T = TypeVar("T")
WAITING = "waiting for another process that computes the same"
GROUP, USERS = 40000, (40001, 40002)
READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def as_user(user: int, *capabilities: str) -> tuple[str, ...]:
    """What to put before a command so that `user` of the group runs it."""
    return ("setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", *capabilities)


def works(*before: str) -> bool:
    command = [*before, "env", sys.executable, "-c", "import snakemake"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def users() -> list[tuple[str, ...]]:
    """How to run as each user; may they not read this Python, they may read all, write nothing."""
    if os.geteuid():
        pytest.skip("only root can run as two other users")
    for capabilities in ((), READ_ALL):
        if works(*as_user(USERS[0], *capabilities)):
            return [as_user(user, *capabilities) for user in USERS]
    pytest.skip("setpriv is missing, or other users cannot run this Python")


@pytest.fixture
def place():
    """A folder that every user can enter; pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def store(place) -> Path:
    store = place / "store"
    store.mkdir()
    os.chown(store, 0, GROUP)
    store.chmod(0o2775)
    return store


def clone(place: Path, user: int, store: Path) -> Toy:
    toy = Toy(place / f"clone{user}").make(cases=2, size=1000, cache=str(store))
    for path in (toy.folder, *toy.folder.rglob("*")):
        os.chown(path, user, GROUP)
    toy.store = store
    return toy


def start(toy: Toy, user: tuple[str, ...], *verb: str, umask: str = "077") -> subprocess.Popen:
    """Begin a verb as `user`, with a umask that shares nothing."""
    shell = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    home = {"HOME": str(toy.folder), "LOGNAME": toy.folder.name, "TOY_PAUSE": "0.05"}
    return toy.call(*(verb or ("run", "--cores", "2")), before=(*user, *shell), **home)


def finished(process: subprocess.Popen, code: int = 0) -> str:
    said = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == code, said
    return said


def counts(toy: Toy) -> Counter:
    return Counter((note["job"], note["status"]) for note in toy.notes())


@pytest.mark.workflow
def test_of_two_runs_at_once_one_computes_and_the_other_waits_for_it(tmp_path):
    """The job that comes first is stopped until the other run has said that it waits."""
    store = tmp_path / "store"
    toys = [Toy(tmp_path / n).make(cases=1, size=1000, cache=str(store)) for n in ("one", "two")]
    for toy in toys:
        toy.store = store
    runs = [toy.start(TOY_PAUSE="2") for toy in toys]
    part = until(lambda: next(tmp_path.glob("*/results/smoke/toy/c0/*.part-*"), None), runs)
    job, _ = io.part_owner(part)
    os.kill(job, signal.SIGSTOP)
    try:
        second = toys[0] if toys[1].folder in part.parents else toys[1]
        log = second.results / "logs/toy.c0.make.log"
        until(lambda: log.exists() and WAITING in log.read_text(), runs)
        assert not list(second.results.glob("toy/c0/*"))
    finally:
        os.kill(job, signal.SIGCONT)
    said = "".join([finished(run) for run in runs])
    jobs = [job for job, _ in toys[0].jobs()]
    assert counts(toys[0]) == {(j, s): 1 for j in jobs for s in ("computed", "reused")}, said
    check_same(*toys)
    assert not list(store.glob("locks/*")) and not list(tmp_path.rglob("*.part-*"))


def until(
    condition: Callable[[], T], runs: list[subprocess.Popen], patience: float = PATIENCE
) -> T:
    """What the condition gives as soon as it is true, while all runs go on."""
    end = time.monotonic() + patience
    while not (found := condition()):
        over = [run.communicate()[0] for run in runs if run.poll() is not None]
        assert not over and time.monotonic() < end, over
        time.sleep(0.005)
    return found


def check_same(toy: Toy, other: Toy) -> None:
    """Each has all results, with the bytes of the other."""
    for _, paths in toy.jobs():
        for path in paths:
            there = other.folder / path.relative_to(toy.folder)
            assert path.read_bytes() == there.read_bytes()
            assert chaos.record_of(path) and chaos.record_of(there)


@pytest.mark.workflow
@pytest.mark.chaos
def test_two_users_compute_each_stage_once_and_mend_each_others_objects(place, store, users):
    toys = [clone(place, user, store) for user in USERS]
    runs = [start(*pair, umask=u) for *pair, u in zip(toys, users, ("077", "022"), strict=True)]
    said = "".join([finished(run) for run in runs])
    jobs = [job for job, _ in toys[0].jobs()]
    assert counts(toys[0]) == {(j, s): 1 for j in jobs for s in ("computed", "reused")}, said
    assert WAITING in said
    check_same(*toys)
    check_modes(store)
    assert {o.stat().st_uid for o in store.glob("objects/*/*")} <= set(USERS)

    damaged = [o for o in store.glob("objects/*/*") if o.stat().st_size > 5000]
    owners = {o.stat().st_uid for o in damaged}
    for path in damaged:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    shutil.rmtree(toys[1].folder / "results")
    said = finished(start(toys[1], users[1]))
    assert "dropped the damaged object" in said and owners
    assert "4 computed, 2 reused, 0 failed" in said
    check_modes(store)
    for toy, user in zip(toys, users, strict=True):
        assert "10 results, 0 problems" in finished(start(toy, user, "verify"))


def check_modes(store: Path) -> None:
    """The group may go and write everywhere, read every object, and no lock or part is left."""
    for path in store.rglob("*"):
        mode = path.stat().st_mode
        wanted = 0o2070 if path.is_dir() else 0o040 if path.parts[-3] == "objects" else 0o060
        assert mode & wanted == wanted, f"{path} {stat.filemode(mode)}"
        assert path.stat().st_gid == GROUP
    objects = list(store.glob("objects/*/*"))
    assert objects and all(io.bytes_hash(o) == o.name for o in objects)
    assert not list(store.glob("locks/*")) and not list(store.rglob("*.part-*"))


@pytest.mark.workflow
@pytest.mark.chaos
def test_a_store_that_cannot_be_used_is_named_and_nothing_is_lost(place, store, users):
    toy = clone(place, USERS[0], store)
    finished(start(toy, users[0]))
    before = {p: p.read_bytes() for p in (*toy.results.glob("toy/*/*"), *store.rglob("*.json"))}

    folders = [store, *(p for p in store.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    said = finished(start(toy, users[0]), code=1)
    assert f"{store}: the store cannot be written: " in said and "name another directory" in said
    for folder in folders:
        folder.chmod(0o2775)

    (store / "format").write_text("2\n")
    said = finished(start(toy, users[0]), code=1)
    assert f"{store}: expected a store of format 1, found '2'" in said
    assert "name another directory as cache.dir" in said and "Traceback" not in said
    assert before == {path: path.read_bytes() for path in before}

    (store / "format").write_text("1\n")
    assert "Nothing to be done" in finished(start(toy, users[0]))
    assert not list(toy.folder.glob(".cache/aside/*"))
