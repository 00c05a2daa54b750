"""The context parrot: the continuation of what the context has of most similar pasts."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.forecasters.base import TrainingData, complete
from dalib.streams import Generator


@dataclass(frozen=True)
class ContextParrot:
    """Copies what followed the nearest delay vector within the context: nothing is trained.

        i = argmin_{j<T} |(x_{j-D+1} ... x_j) - (x_{T-D+1} ... x_T)|,    x̂_{T+h} = x_{i+h}

    and again from the forecast's own end where the context ends. Each component counts in its
    standard deviations within the context. The fair baseline of methods that forecast from a
    context without training on the system (Zhang and Gilpin 2025).

    Args:
        delays: D, samples in a delay vector; less than the context has.
    """

    delays: int = 10
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        limits.at_least(1, delays=self.delays)

    def fit(self, data: TrainingData | None = None, generator: Generator | None = None):
        return self

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        context = complete(context, "the context")
        if context.shape[1] <= self.delays:
            raise ValueError(
                f"a parrot with {self.delays} delays needs a context of at least "
                f"{self.delays + 1} samples, got {context.shape[1]}; lower `delays`"
            )
        return torch.stack([self._continued(x, horizon) for x in context]).unsqueeze(0)

    def _continued(self, x: Tensor, horizon: int) -> Tensor:
        """(time, state) -> (horizon, state)."""
        std = x.std(0)
        scaled = x / torch.where(std > 0, std, torch.ones_like(std))
        library = scaled.unfold(0, self.delays, 1)[:-1].flatten(1)  # something follows each
        values, time = x, len(x)
        while len(values) < time + horizon:
            last = values[-self.delays :] / torch.where(std > 0, std, torch.ones_like(std))
            nearest = (library - last.mT.flatten()).square().sum(-1).argmin() + self.delays
            values = torch.cat([values, x[nearest:]])
        return values[time : time + horizon]
