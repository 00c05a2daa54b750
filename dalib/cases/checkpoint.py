"""Where a long computation leaves what it needs to continue."""

from collections.abc import Callable
from typing import Protocol


class Checkpoint(Protocol):
    """Where a long computation leaves what it needs to continue after it was killed."""

    def load(self) -> dict | None: ...

    def save(self, state: Callable[[], dict]) -> None: ...


class Forgotten:
    """Nothing is left, so nothing is continued."""

    def load(self) -> None:
        return None

    def save(self, state: Callable[[], dict]) -> None:
        return None


FORGOTTEN = Forgotten()
