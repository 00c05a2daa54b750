"""Ikeda's map: light that goes round in a ring cavity, once a step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.systems.flow import derivative


@dataclass(frozen=True)
class Ikeda:
    """A rotation that depends on the intensity, a contraction and a shift (Ikeda 1979).

        θ = κ - α / (1 + x² + y²)
        x <- 1 + u (x cos θ - y sin θ)
        y <- u (x sin θ + y cos θ)

    Every area shrinks by u². A parameter is a number or a tensor of the state's leading axes.

    Attributes:
        u: share of the amplitude that is left after a round.
        kappa: κ, rotation without intensity.
        alpha: α, how much the intensity takes from it.
    """

    u: float | Tensor = 0.9
    kappa: float | Tensor = 0.4
    alpha: float | Tensor = 6.0

    size = 2
    names = ("x", "y")

    def step(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the next state."""
        x, y = x.unbind(-1)
        theta = self.kappa - self.alpha / (1 + x * x + y * y)
        sin, cos = theta.sin(), theta.cos()
        return torch.stack((1 + self.u * (x * cos - y * sin), self.u * (x * sin + y * cos)), dim=-1)

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2, 2), the derivative of the step."""
        return derivative(self.step, x)
