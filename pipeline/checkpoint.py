"""What a long job needs to continue after it was killed, kept beside the store.

    checkpoints/<key>/<sha256>.pt      the latest state, named by the hash of its bytes

The job's key stands for everything that decides the result, so a state under it is of this very
job. It goes when the result is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from dalib import io

FORMAT = 1
EVERY = 60.0  # seconds between two states, unless DALIB_CHECKPOINT_SECONDS says otherwise
SHARE = 0.05  # of the job's time that may go into saving: a large state is saved less often


def seconds_between() -> float:
    return float(os.environ.get("DALIB_CHECKPOINT_SECONDS", EVERY))


@dataclass
class Checkpoint:
    """The checkpoint of one job.

    Attributes:
        folder: its own, in the store.
        say: prints a line to the log.
        every: least seconds between two states.
    """

    folder: Path
    say: Callable[[str], None]
    every: float = field(default_factory=seconds_between)

    def __post_init__(self) -> None:
        self._next = time.monotonic() + self.every

    def load(self) -> dict[str, Any] | None:
        """The latest state, on the CPU; None if there is none that can be used."""
        for path in sorted(self.states(), key=lambda p: p.stat().st_mtime, reverse=True):
            state = self._read(path)
            if state is not None:
                return state
            path.unlink(missing_ok=True)
        return None

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keep what `state` gives, if it is time again. A full disk costs the state, not the job.

        A state holds tensors and plain values, in lists and dictionaries.
        """
        started = time.monotonic()
        if started < self._next:
            return
        try:
            self._write(state())
        except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
            why = io.explained(error) if isinstance(error, OSError) else error
            self.say(f"no checkpoint could be written: {why}")
        done = time.monotonic()
        self._next = done + max(self.every, (done - started) * (1 / SHARE - 1))

    def delete(self) -> None:
        """Forget all states."""
        with suppress(OSError):  # of somebody else, in a shared store
            for path in self.folder.glob("*"):
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def states(self) -> Iterator[Path]:
        return self.folder.glob("*.pt")

    def _write(self, state: dict[str, Any]) -> None:
        import torch

        older = list(self.states())
        with io.replacing(self.folder / "latest") as part:
            torch.save({"format": FORMAT, "state": state}, part)
        latest = self.folder / "latest"
        path = self.folder / f"{io.bytes_hash(latest)}.pt"
        os.replace(latest, path)
        for old in older:
            if old != path:
                old.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Any] | None:
        import torch

        if io.bytes_hash(path) != path.stem:
            self.say(f"dropped the damaged checkpoint {path}")
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError) as error:  # of another version of torch
            self.say(f"dropped the checkpoint {path}, which cannot be read: {error}")
            return None
        found = saved.get("format") if isinstance(saved, dict) else None
        if found != FORMAT:
            self.say(f"dropped the checkpoint {path}: expected format {FORMAT}, found {found}")
            return None
        return saved["state"]
