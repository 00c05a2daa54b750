"""What a forecaster is: from a stretch of the past to what follows."""

from typing import Protocol

from torch import Tensor

from dalib.streams import Generator


class Fitted(Protocol):
    """A forecaster that is ready: given the equations, or trained."""

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None) -> Tensor:
        """([repeat,] member, case, horizon, state), the `horizon` samples after the context.

        context (case, time, state): the past, NaN where it is missing. A point forecast has one
        member; networks trained several times put the axis `repeat` in front.
        """
        ...
