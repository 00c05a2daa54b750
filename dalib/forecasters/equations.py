"""Forecasts of the true equations: what the quality of the start alone would allow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib.forecasters.base import past
from dalib.streams import Generator


@dataclass(frozen=True)
class Model:
    """Equations over one sampling interval.

    Args:
        step: (..., state) -> (..., state).
        interval: model time of a step.
    """

    step: Callable[[Tensor], Tensor]
    interval: float


@dataclass(frozen=True)
class EquationsForecast:
    """The true equations, started from the last sample as it was observed."""

    step: Callable[[Tensor], Tensor]

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return follow(self.step, past(context, context.shape[-1])[:, -1], horizon).unsqueeze(0)


@dataclass(frozen=True)
class Equations:
    """What the true equations forecast: the error of the start alone limits them. Not learned."""

    needs: ClassVar[frozenset[str]] = frozenset({"equations"})

    def fit(self, data: Any, generator: Generator | None = None) -> EquationsForecast:
        return EquationsForecast(data.system.step)


def follow(step: Callable[[Tensor], Tensor], x: Tensor, count: int) -> Tensor:
    """(..., state) -> (..., count, state), the states after x."""
    states = []
    for _ in range(count):
        x = step(x)
        states.append(x)
    return torch.stack(states, -2)
