"""Hénon's map: stretching and folding of the plane, one step at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Henon:
    """A quadratic map of the plane that contracts every area by b (Hénon 1976, eq. 4).

        x <- 1 - a x^2 + y
        y <- b x

    Non-dimensional. A parameter is a number or a tensor of the state's leading axes. States far
    from the attractor escape to infinity.

    Attributes:
        a: strength of the fold.
        b: factor by which areas shrink.
    """

    a: float | Tensor = 1.4
    b: float | Tensor = 0.3

    size = 2
    names = ("x", "y")

    def step(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the next state."""
        x, y = x.unbind(-1)
        return torch.stack((1 - self.a * x * x + y, self.b * x), dim=-1)

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2, 2), the derivative of the step."""
        x, _ = x.unbind(-1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        rows = ((-2 * self.a * x, one), (self.b * one, zero))
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
