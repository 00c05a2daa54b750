"""Lorenz's two scales: a slow ring and a fast one that it drives, and the slow one alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.systems.flow import Flow
from dalib.systems.lorenz import Lorenz96

WILKS = (0.262, 1.45, -0.0121, -0.00713, 0.000296)


@dataclass(frozen=True)
class TwoScaleLorenz96(Flow):
    """K slow variables X, each with J fast ones Y (Lorenz 1996, eqs. 2-3; here as Wilks 2005).

        dX_k/dt = (X_{k+1} - X_{k-2}) X_{k-1} - X_k + F - (h c / b) Σ_j Y_{j,k}
        dY_j/dt = c b (Y_{j-1} - Y_{j+2}) Y_{j+1} - c Y_j + (h c / b) X_{k(j)}

    The Y form one ring of K J sites. The state is (X, Y), Y_{1..J} of X_1 first. Without forcing
    and damping Σ X² + Σ Y² is conserved.

    Attributes:
        slow, fast: K, and J of each.
        forcing: F.
        coupling: h.
        amplitude: b, how much smaller the fast ones are.
        rate: c, how much faster.
    """

    slow: int = 8
    fast: int = 32
    forcing: float | Tensor = 20.0
    coupling: float | Tensor = 1.0
    amplitude: float | Tensor = 10.0
    rate: float | Tensor = 10.0

    @property
    def size(self) -> int:
        return self.slow * (1 + self.fast)

    @property
    def names(self) -> tuple[str, ...]:
        slow = [f"x{k}" for k in range(self.slow)]
        return (*slow, *(f"y{j}" for j in range(self.slow * self.fast)))

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        X, Y = x[..., : self.slow], x[..., self.slow :]
        h, b, c = (_column(v) for v in (self.coupling, self.amplitude, self.rate))
        exchange = h * c / b
        groups = Y.unflatten(-1, (self.slow, self.fast))
        dX = Lorenz96(self.slow, self.forcing).drift(X) - exchange * groups.sum(-1)
        ahead, two_ahead, behind = Y.roll(-1, -1), Y.roll(-2, -1), Y.roll(1, -1)
        driven = exchange * X.repeat_interleave(self.fast, dim=-1)
        dY = c * b * (behind - two_ahead) * ahead - c * Y + driven
        return torch.cat((dX, dY), dim=-1)


@dataclass(frozen=True)
class TruncatedLorenz96(Flow):
    """The slow ring alone, with what the fast one does to it as a polynomial (Wilks 2005, eq. 4).

        dX_k/dt = (X_{k+1} - X_{k-2}) X_{k-1} - X_k + F - Σ_n a_n X_k^n

    The coefficients are those that Wilks fitted to eight slow variables with F = 20.

    Attributes:
        size: K.
        forcing: F.
        coefficients: a_0, a_1, ...
    """

    size: int = 8
    forcing: float | Tensor = 20.0
    coefficients: Sequence[float] = WILKS

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{k}" for k in range(self.size))

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        drag = torch.zeros_like(x)
        for a in reversed(tuple(self.coefficients)):
            drag = drag * x + a
        return Lorenz96(self.size, self.forcing).drift(x) - drag


def _column(value: float | Tensor) -> float | Tensor:
    return value[..., None] if isinstance(value, Tensor) else value
