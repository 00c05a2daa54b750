"""Rings with a length scale of their own, and with a second, smaller one (Lorenz 2005)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.systems.flow import Flow


@dataclass(frozen=True)
class Lorenz05II(Flow):
    """Model II: waves that are smooth over K sites (Lorenz 2005, eqs. 7-10).

        dX_n/dt = [X, X]_{K,n} - X_n + F

    with `advection` [X, Y]_K. K = 1 is the ring of 1996. Σ X_n [X, X]_{K,n} = 0.

    Attributes:
        size: N.
        smoothness: K.
        forcing: F.
    """

    size: int = 240
    smoothness: int = 8
    forcing: float | Tensor = 15.0

    def __post_init__(self) -> None:
        _check(self.size, self.smoothness)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{n}" for n in range(self.size))

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        return advection(x, x, self.smoothness) - x + _column(self.forcing)


@dataclass(frozen=True)
class Lorenz05III(Flow):
    """Model III: long waves X and short ones Y in one ring Z = X + Y (Lorenz 2005, eqs. 11-15).

        dZ_n/dt = [X, X]_{K,n} + b² [Y, Y]_{1,n} + c [Y, X]_{1,n} - X_n - b Y_n + F
        X_n = Σ'_{|i| <= I} (α - β |i|) Z_{n+i}
        α = (3 I² + 3) / (2 I³ + 4 I)        β = (2 I² + 1) / (I⁴ + 2 I²)

    so that X is Z where Z is a polynomial of second degree.

    Attributes:
        size, smoothness, forcing: N, K, F.
        width: I, of the filter that parts X from Y.
        rate: b, how much faster and smaller short waves are.
        coupling: c.
    """

    size: int = 960
    smoothness: int = 32
    width: int = 12
    forcing: float | Tensor = 15.0
    rate: float = 10.0
    coupling: float = 2.5

    def __post_init__(self) -> None:
        _check(self.size, self.smoothness)
        if not 0 < 2 * self.width < self.size:
            raise ValueError(f"width {self.width} has to be above 0 and below half of {self.size}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"z{n}" for n in range(self.size))

    def long_waves(self, z: Tensor) -> Tensor:
        """(..., size) -> (..., size), X."""
        i = torch.arange(-self.width, self.width + 1, dtype=z.dtype, device=z.device).abs()
        width = self.width
        alpha = (3 * width**2 + 3) / (2 * width**3 + 4 * width)
        beta = (2 * width**2 + 1) / (width**4 + 2 * width**2)
        weights = alpha - beta * i
        weights[[0, -1]] /= 2
        return _moving(z, weights)

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        X = self.long_waves(x)
        Y, b, c = x - X, self.rate, self.coupling
        short = b**2 * advection(Y, Y, 1) + c * advection(Y, X, 1)
        return advection(X, X, self.smoothness) + short - X - b * Y + _column(self.forcing)


def advection(X: Tensor, Y: Tensor, K: int) -> Tensor:
    """[X, Y]_K of (..., size), quadratic and smooth over K sites (Lorenz 2005, eq. 8).

        [X, Y]_{K,n} = Σ'_{|i|,|j| <= J} (-X_{n-2K-i} Y_{n-K-j} + X_{n-K+j-i} Y_{n+K+j}) / K²

    where J is K/2 and Σ' halves the first and last terms, or, for odd K, J = (K-1)/2 and Σ' is a
    sum. With W = Σ'_i X_{n-i} / K and V likewise of Y that is

        -W_{n-2K} V_{n-K} + Σ'_j W_{n-K+j} Y_{n+K+j} / K
    """
    weights = torch.full((2 * (K // 2) + 1,), 1 / K, dtype=X.dtype, device=X.device)
    if K % 2 == 0:
        weights[[0, -1]] /= 2
    W, V = _moving(X, weights), _moving(Y, weights)
    products = _moving(W.roll(2 * K, -1) * Y, weights)
    return products.roll(-K, -1) - W.roll(2 * K, -1) * V.roll(K, -1)


def _moving(x: Tensor, weights: Tensor) -> Tensor:
    """Σ_i w_i x_{n+i} round the ring, i = -J ... J; the weights are symmetric."""
    if len(weights) == 1:
        return x * weights
    J = len(weights) // 2
    around = torch.cat((x[..., -J:], x, x[..., :J]), dim=-1)
    rows = around.reshape(-1, 1, around.shape[-1])
    return torch.nn.functional.conv1d(rows, weights[None, None]).reshape(x.shape)


def _check(size: int, K: int) -> None:
    if not 1 <= K <= size // 4:
        raise ValueError(f"a smoothness of {K} needs a ring of {4 * K} sites or more, got {size}")


def _column(value: float | Tensor) -> float | Tensor:
    return value[..., None] if isinstance(value, Tensor) else value
