"""Forecasts of the true equations: what the quality of the start alone would allow."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, free_run, past
from dalib.streams import Generator


@dataclass(frozen=True)
class EquationsForecast:
    """A system and how it is integrated. Its own state z is the state of the system."""

    system: Any
    integrator: Any

    @cached_property
    def _flow(self) -> Callable[[Tensor], Tensor]:
        return self.integrator.flow(self.system)

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, state), the last sample."""
        return past(context, self.system.size)[:, -1]

    def step(self, z: Tensor) -> Tensor:
        """(..., state) -> (..., state)."""
        return self._flow(z)

    def state(self, z: Tensor) -> Tensor:
        """(..., state) -> (..., state)."""
        return z

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)


@dataclass(frozen=True)
class Equations:
    """The equations themselves, from the last sample of the context.

        x̂_{t+h} = M^h(x_t),   M the map over one sampling interval

    Its error is that of x_t alone, amplified: the best that a method can do that looks at one
    sample. Nothing is fitted; `needs` the equations.

    Args:
        integrator: with `flow(system)` and `interval`, such as `dalib.integrate.RK4`.
    """

    integrator: Any
    needs: ClassVar[frozenset[str]] = frozenset({"equations"})

    def fit(self, data: TrainingData, generator: Generator | None = None) -> EquationsForecast:
        if data.system is None:
            raise ValueError("equations are forecast with data.system, which is None; give it")
        own, given = self.integrator.interval, data.interval
        if abs(own - given) > 1e-9 * given:
            raise ValueError(
                f"the integrator steps over {own:g} of model time, but the data have a sample "
                f"every {given:g}; give an integrator of that interval"
            )
        return EquationsForecast(data.system, self.integrator)


def follow(step: Callable[[Tensor], Tensor], x: Tensor, count: int) -> Tensor:
    """(..., state) -> (..., count, state), the states after x."""
    states = []
    for _ in range(count):
        x = step(x)
        states.append(x)
    return torch.stack(states, -2)
