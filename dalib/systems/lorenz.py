"""The two systems of Lorenz: three-variable convection (1963) and the ring of sites (1996)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib import limits


@dataclass(frozen=True)
class Lorenz63:
    """Convection between two plates, three Fourier amplitudes (Lorenz 1963, eqs. 25-27).

        dx/dt = sigma (y - x)
        dy/dt = x (rho - z) - y
        dz/dt = x y - beta z

    Non-dimensional. A parameter is a number or a tensor of the state's leading axes.

    Attributes:
        sigma: Prandtl number.
        rho: Rayleigh number relative to its critical value.
        beta: aspect ratio of the rolls.
    """

    sigma: float | Tensor = 10.0
    rho: float | Tensor = 28.0
    beta: float | Tensor = 8 / 3

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        return torch.stack(
            (self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z), dim=-1
        )

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3, 3), the derivative of the drift."""
        x, y, z = x.unbind(-1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        rows = (
            (-self.sigma * one, self.sigma * one, zero),
            (self.rho - z, -one, -x),
            (y, x, -self.beta * one),
        )
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    def drift_kernel(self, x: Tensor, out: Tensor) -> Callable[[], None]:
        """A call that writes the drift of what x (3, count) then holds to `out` (3, count)."""
        (x, y, z), (dx, dy, dz) = x, out
        rho = x.new_tensor(self.rho)

        def kernel() -> None:
            torch.sub(y, x, out=dx).mul_(self.sigma)
            torch.sub(rho, z, out=dy).mul_(x).sub_(y)
            torch.mul(x, y, out=dz).sub_(z, alpha=self.beta)

        return kernel


@dataclass(frozen=True)
class Lorenz96:
    """A ring of `size` sites advecting, damped and forced (Lorenz 1996, eq. 1).

        dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F

    Non-dimensional; one time unit corresponds to about five days. The forcing is a number or a
    tensor of the state's leading axes.

    Attributes:
        size: sites, at least 4.
        forcing: F; chaotic from about 5 on.
    """

    size: int = 40
    forcing: float | Tensor = 8.0

    def __post_init__(self) -> None:
        limits.at_least(4, size=self.size)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(self.size))

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        F = self.forcing[..., None] if isinstance(self.forcing, Tensor) else self.forcing
        ahead, behind, two_behind = x.roll(-1, -1), x.roll(1, -1), x.roll(2, -1)
        return (ahead - two_behind) * behind - x + F

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size, size), the derivative of the drift."""
        one = torch.eye(self.size, dtype=x.dtype, device=x.device)
        ahead, behind, two_behind = x.roll(-1, -1), x.roll(1, -1), x.roll(2, -1)
        # Row i of eye.roll(k, -1) is the unit vector of site i + k.
        return (
            behind[..., None] * (one.roll(1, -1) - one.roll(-2, -1))
            + (ahead - two_behind)[..., None] * one.roll(-1, -1)
            - one
        )

    def drift_kernel(self, x: Tensor, out: Tensor) -> Callable[[], None]:
        """A call that writes the drift of what x (size, count) then holds to `out`, likewise."""
        differences = (  # x_{i+1} - x_{i-2} inside the ring, and where it closes
            (x[3:], x[:-3], out[2:-1]),
            (x[1:3], x[-2:], out[:2]),
            (x[0], x[-3], out[-1]),
        )
        products = ((out[1:], x[:-1]), (out[0], x[-1]))

        def kernel() -> None:
            for ahead, two_behind, difference in differences:
                torch.sub(ahead, two_behind, out=difference)
            for product, behind in products:
                product.mul_(behind)
            out.sub_(x).add_(self.forcing)

        return kernel
