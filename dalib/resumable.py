"""Long loops that a killed job continues: one turn after the other, and what is kept between them.

What a loop saves is all that its next turn needs, so that a resumed loop gives the same bytes as
one that was never interrupted.
"""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor
from tqdm import tqdm

from dalib.fingerprint import fingerprint
from dalib.streams import Generator, continue_from, positions

Save = Callable[[Callable[[], dict]], None]
logger = logging.getLogger(__name__)


class Resumable:
    """A loop under way. A subclass has what changes from turn to turn, and

        decides()        all that decides the result, such as settings and data
        fixed()          of what changes, nested tensors whose shapes stay; none by default
        changing()       what else the next turn needs
        restore(state)   takes back what `fixed` and `changing` gave
        advance()        one turn
        finish()         the result
        done, total      how far it has come, and how far it is to go

    Attributes:
        what: of messages, as "another training".
        unit: in which `done` is counted, as "step".
        generator: whatever the turns draw from; its position is part of the state.
    """

    what: ClassVar[str]
    unit: ClassVar[str]
    generator: Generator | None
    done: int
    total: int

    def decides(self) -> tuple:
        """What decides the result, see `fingerprint`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what decides its result")

    def fixed(self) -> dict[str, Any]:
        """Nested tensors whose shapes stay."""
        return {}

    def changing(self) -> dict[str, Any]:
        """What else the next turn needs."""
        raise NotImplementedError(f"{type(self).__name__} does not say what changes")

    def restore(self, state: dict) -> None:
        """Take back what `fixed` and `changing` gave."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it continues")

    def advance(self) -> None:
        """One turn."""
        raise NotImplementedError(f"{type(self).__name__} has no turn")

    def finish(self) -> Any:
        """The result."""
        raise NotImplementedError(f"{type(self).__name__} has no result")

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.done >= self.total

    def note(self) -> str:
        """A few words beside the progress bar."""
        return ""

    @cached_property
    def of(self) -> str:
        """Fingerprint of what decides the result."""
        return fingerprint(type(self).__qualname__, self.decides())

    def state(self) -> dict[str, Any]:
        """All that is needed to continue, after one turn or more; `accepts` and `resume` take it.

        Tensors in it may be the loop's own: who keeps a state beyond the next turn copies it.
        """
        return {
            "of": self.of,
            **self.fixed(),
            **self.changing(),
            "generators": positions(self.generator),
        }

    def accepts(self, state: dict) -> bool:
        """Whether `state` is of a loop with the same settings and data; warns where it is not."""
        fits = (
            state.get("of") == self.of
            and all(_shapes(state.get(name)) == _shapes(own) for name, own in self.fixed().items())
            and len(state.get("generators", ())) == len(positions(self.generator))
        )
        if not fits:
            logger.warning("what was saved is of %s; starts from the beginning", self.what)
        return fits

    def run(
        self, *, save: Save | None = None, resume: dict | None = None, progress: str | None = None
    ) -> Any:
        """All turns that are left, and the result.

        Args:
            save: called after every turn with a function that gives all that is needed to
                continue, so that whoever saves decides how often.
            resume: what that function gave: goes on as if it had never stopped. What is of other
                settings or data is left aside, with a warning.
            progress: label of the progress bar on stderr; None for none.
        """
        if resume is not None and self.accepts(resume):
            self.restore(resume)
            continue_from(resume["generators"], self.generator)
            logger.info("continues from %s %d of %d", self.unit, self.done, self.total)
        bar = tqdm(None, progress, self.total, initial=self.done, disable=progress is None)
        with bar:
            while not self.finished:
                before = self.done
                self.advance()
                if save is not None:
                    save(self.state)
                if progress is not None:
                    bar.set_postfix_str(self.note(), refresh=False)
                    bar.update(self.done - before)
        return self.finish()


def _shapes(value: Any) -> Any:
    """The shapes of nested tensors."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {name: _shapes(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shapes(part) for part in value]
    return None
