"""The last state, for ever: what every forecast has to beat."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dalib.forecasters.base import TrainingData, past
from dalib.streams import Generator


@dataclass(frozen=True)
class Persistence:
    """x̂_{t+h} = x_t for every lead h. Nothing is fitted."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def fit(
        self, data: TrainingData | None = None, generator: Generator | None = None
    ) -> "Persistence":
        return self

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        x = past(context, context.shape[-1])[:, -1:]
        return x.repeat(1, horizon, 1).unsqueeze(0)
