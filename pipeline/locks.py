"""Locks that outlive nobody: each names its process, and a dead process holds nothing.

On this host a process is known by number and start time. On another host it cannot be asked, so
a holder touches its lock every minute and counts as dead after ten minutes of silence.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dalib import io

BEAT_SECONDS = 60.0
SILENT_SECONDS = 600.0


@dataclass(frozen=True)
class Owner:
    """A process: where, which, when it was started (kernel clock ticks) and since when it holds."""

    host: str
    pid: int
    started: str
    since: str

    def __str__(self) -> str:
        return f"host {self.host} since {self.since} (pid {self.pid})"


def me() -> Owner:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return Owner(socket.gethostname(), os.getpid(), start_of(os.getpid()), now)


def start_of(pid: int) -> str:
    """When the kernel started `pid`: "" where it does not say, or there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def exists(pid: int) -> bool:
    """Whether this host has a process `pid` that still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether `pid` has ended and only waits for its parent to notice (told on Linux only)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


def owner(lock: Path) -> Owner | None:
    """Who holds `lock`; None if nobody does or it cannot be read."""
    try:
        return Owner(**json.loads(lock.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def mine(lock: Path) -> bool:
    """Whether this very process made `lock`."""
    holder = owner(lock)
    return holder is not None and (holder.host, holder.pid) == (socket.gethostname(), os.getpid())


def alive(lock: Path) -> bool:
    """Whether the process that made `lock` is still there."""
    try:
        silent = time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return False
    holder = owner(lock)
    if holder is None:  # locks appear complete: it is garbage, or hidden from us
        return not os.access(lock, os.R_OK) and silent < SILENT_SECONDS
    if holder.host != socket.gethostname():
        return silent < SILENT_SECONDS
    if not exists(holder.pid):
        return False
    started = start_of(holder.pid)  # unknown where other users' processes are hidden
    return started == holder.started if started else silent < SILENT_SECONDS


def take(lock: Path) -> bool:
    """Make `lock` ours unless a living process holds it.

    Two processes may find the same dead lock at once and, in the worst case, both go on: they
    then compute the same result twice, which is harmless since results are renamed into place.
    """
    if lock.exists() and not alive(lock):
        lock.unlink(missing_ok=True)
    with io.part_of(lock) as part:
        part.write_text(json.dumps(asdict(me())))
        io.share(part)
        try:
            os.link(part, lock)  # unlike a rename it fails if somebody was faster
        except FileExistsError:
            return False
    return True


@contextmanager
def holding(lock: Path, waiting: Callable[[Owner | None], None]) -> Iterator[None]:
    """Hold `lock`; while another process has it, wait (`waiting` is called once with its owner)."""
    pause = 0.05
    told = False
    while not take(lock):
        if not told:
            waiting(owner(lock))
            told = True
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
    stop = threading.Event()
    threading.Thread(target=_beat, args=(lock, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        lock.unlink(missing_ok=True)


def _beat(lock: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            os.utime(lock)
        except OSError:
            return
