"""Where a long computation leaves what it needs to continue."""

from collections.abc import Callable
from typing import Any, Protocol


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


class Parts:
    """One checkpoint for computations that follow each other, each with a name."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.saved = checkpoint, checkpoint.load() or {}
        self.states = {name: lambda state=state: state for name, state in self.saved.items()}

    def of(self, name: str) -> dict[str, Any]:
        """`save` and `resume` of one of them."""

        def save(state: Callable[[], dict]) -> None:
            self.states[name] = state
            self.checkpoint.save(lambda: {part: state() for part, state in self.states.items()})

        return {"save": save, "resume": self.saved.get(name)}
