"""What a learnable forecast map is, and how far one is from the truth."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dalib.streams import Generator


class Start(NamedTuple):
    """The initial models of a number of runs, one model for each.

    Args:
        learnable: {name: (values (run, ...), transform)}; the transform, "identity" or "softplus",
            says on which numbers the optimiser works.
        fixed: {name: (run, ...)}, what a map needs besides, and what happened while drawing.
    """

    learnable: dict[str, tuple[Tensor, str]]
    fixed: dict[str, Tensor]

    @property
    def values(self) -> dict[str, Tensor]:
        """{name: (run, ...)}, learnable and fixed: what `flow` and `errors` take."""
        return {name: value for name, (value, _) in self.learnable.items()} | self.fixed


class Map(Protocol):
    """A frozen dataclass: the map of a system over one sampling interval, up to its parameters.

    A parameter is (run, ...), a state (run, ..., state); runs are independent of each other.
    """

    size: int
    dtype: torch.dtype

    def start(self, variance: Tensor, generator: Generator) -> Start:
        """Initial models around the truth, `variance` (run,) apart; one stream for each run."""

    def flow(self, values: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """The map x -> x' with these parameters, differentiable with respect to both.

        What the parameters alone determine is computed here, once.
        """

    def truth(self) -> Callable[[Tensor], Tensor]:
        """The true map (..., state) -> (..., state)."""

    def errors(self, values: Mapping[str, Tensor], states: Tensor) -> dict[str, Tensor]:
        """{name: (run,)}: how wrong the parameters are; states (point, state) of the attractor."""


def forecast_rmse(map: Map, values: Mapping[str, Tensor], states: Tensor) -> Tensor:
    """(run,), error of one forecast from each state (Adrian et al. 2026, eq. 29).

        sqrt(1/(d P) sum_p |F(x_p) - F*(x_p)|^2)

    Args:
        values: {name: (run, ...)}, learned and fixed.
        states: (point, state), in double precision.
    """
    runs = len(next(iter(values.values())))
    forecast = map.flow(values)(states.to(map.dtype).expand(runs, *states.shape))
    return mean_square(forecast.double() - map.truth()(states)).sqrt()


def mean_square(error: Tensor) -> Tensor:
    """(run, ...) -> (run,)."""
    return error.flatten(1).square().mean(1)


def mae(value: Tensor, truth: Tensor) -> Tensor:
    """(run,), mean absolute error of the entries of a parameter (eq. 31)."""
    return (value - truth).reshape(len(value), -1).abs().mean(1)
