"""Transport around a ring, exactly."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LinearAdvection:
    """What moves round a ring and fades: ∂u/∂t = -c ∂u/∂x - r u, on `size` points of a Fourier sum.

        û_k(t) = û_k(0) exp(-(i k c + r) t)

    Over a time in which c carries from point to point the state is shifted. Of an even number of
    points, the shortest wave (two points) has no phase and stands still.

    Attributes:
        size: points.
        speed: c, in units of `length` per time.
        damping: r, per time.
        length: around the ring; points are length / size apart.
    """

    size: int = 1000
    speed: float | Tensor = 1.0
    damping: float | Tensor = 0.0
    length: float = 1000.0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"u{i}" for i in range(self.size))

    def rates(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """(..., wave), -(i k c + r) of each wave of a real transform."""
        k = 2 * math.pi / self.length * torch.arange(self.size // 2 + 1, dtype=dtype)
        if self.size % 2 == 0:
            k[-1] = 0
        c, r = (torch.as_tensor(v, dtype=dtype)[..., None] for v in (self.speed, self.damping))
        c, r = torch.broadcast_tensors(c * k, r)
        return torch.complex(-r, -c)

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        return self._in_waves(x, self.rates(x.dtype))

    def advanced(self, x: Tensor, dt: float) -> Tensor:
        """(..., size) -> (..., size), the state a time `dt` later, exactly."""
        return self._in_waves(x, (self.rates(x.dtype) * dt).exp())

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size, size), the derivative of the drift."""
        one = torch.eye(self.size, dtype=x.dtype, device=x.device)
        J = self._in_waves(one, self.rates(x.dtype)[..., None, :]).mT
        return J.expand(*x.shape[:-1], self.size, self.size)

    def propagator(self, dt: float) -> Tensor:
        """(..., size, size), the exact map over `dt`."""
        one = torch.eye(self.size, dtype=torch.float64)
        return self._in_waves(one, (self.rates()[..., None, :] * dt).exp()).mT

    def _in_waves(self, x: Tensor, factor: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * factor.to(x.device), n=self.size)
