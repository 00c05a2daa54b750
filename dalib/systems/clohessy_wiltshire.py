"""Motion of a satellite relative to another one on a circular orbit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib import limits


@dataclass(frozen=True)
class ClohessyWiltshire:
    """The linear equations of rendezvous (Clohessy and Wiltshire 1960), n the orbital rate.

        d2x/dt2 = 3 n^2 x + 2 n dy/dt        radial
        d2y/dt2 = -2 n dx/dt                 along the orbit
        d2z/dt2 = -n^2 z                     across it

    The state is (x, y, z, vx, vy, vz), the rate in radians per unit of time: a number or a tensor
    of the state's leading axes.

    Attributes:
        rate: orbital rate n, radians per unit of time.
    """

    rate: float | Tensor = 0.0013

    size = 6
    names = ("x", "y", "z", "vx", "vy", "vz")

    def __post_init__(self) -> None:
        limits.more_than(0, rate=self.rate)

    def matrix(self) -> Tensor:
        """(..., 6, 6), F in dx/dt = F x."""
        n = torch.as_tensor(self.rate, dtype=torch.float64)
        zero, one = torch.zeros_like(n), torch.ones_like(n)
        rows = (
            (zero, zero, zero, one, zero, zero),
            (zero, zero, zero, zero, one, zero),
            (zero, zero, zero, zero, zero, one),
            (3 * n**2, zero, zero, zero, 2 * n, zero),
            (zero, zero, zero, -2 * n, zero, zero),
            (zero, zero, -(n**2), zero, zero, zero),
        )
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    def drift(self, x: Tensor) -> Tensor:
        """(..., 6) -> (..., 6), the rate of change."""
        return (self.matrix().to(x) @ x[..., None])[..., 0]

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., 6) -> (..., 6, 6), the derivative of the drift."""
        return self.matrix().to(x).expand(*x.shape[:-1], 6, 6)

    def propagator(self, dt: float) -> Tensor:
        """(..., 6, 6), exp(F dt): the exact map over `dt`."""
        return torch.linalg.matrix_exp(dt * self.matrix())
