"""Rössler's attractor: the simplest folding of a flow in three dimensions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rossler:
    """A spiral that grows in a plane and is folded back through the third axis (Rössler 1976).

        dx/dt = -y - z
        dy/dt = x + a y
        dz/dt = b + z (x - c)

    Non-dimensional. A parameter is a number or a tensor of the state's leading axes.

    Attributes:
        a: growth of the spiral.
        b: inflow along the third axis.
        c: x beyond which the spiral is folded back.
    """

    a: float | Tensor = 0.2
    b: float | Tensor = 0.2
    c: float | Tensor = 5.7

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        return torch.stack((-y - z, x + self.a * y, self.b + z * (x - self.c)), dim=-1)

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3, 3), the derivative of the drift."""
        x, _, z = x.unbind(-1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        rows = (
            (zero, -one, -one),
            (one, self.a * one, zero),
            (z, zero, x - self.c),
        )
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    def drift_kernel(self, x: Tensor, out: Tensor) -> Callable[[], None]:
        """A call that writes the drift of what x (3, count) then holds to `out` (3, count)."""
        (x, y, z), (dx, dy, dz) = x, out

        def kernel() -> None:
            torch.add(y, z, out=dx).neg_()
            torch.add(x, y, alpha=self.a, out=dy)
            torch.sub(x, self.c, out=dz).mul_(z).add_(self.b)

        return kernel
