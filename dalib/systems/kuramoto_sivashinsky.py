"""Flames and thin films: the simplest partial differential equation that is chaotic."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.systems.flow import Flow


@dataclass(frozen=True)
class KuramotoSivashinsky(Flow):
    """Long waves grow, short ones fade, and the flow moves energy between (Kuramoto 1976).

        ∂u/∂t = -u ∂u/∂x - ∂²u/∂x² - ∂⁴u/∂x⁴

    on `size` points of a ring, in Fourier waves û_k as dû/dt = L û + N(û) with

        L = k² - k⁴        N(û) = -½ i k F[u²]

    The mean of u is conserved. An integrator that takes L exactly (`etdrk4`) allows steps of 0.5,
    Runge-Kutta's none above 2.8 / max |L|.

    Attributes:
        size: points, an even number.
        length: of the ring; L = 22 has 2 positive exponents, 32π (the default) about 20.
    """

    size: int = 128
    length: float = 32 * math.pi

    def __post_init__(self) -> None:
        if self.size < 4 or self.size % 2:
            raise ValueError(f"size is {self.size}; give an even number of points, 4 or more")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"u{i}" for i in range(self.size))

    def wavenumbers(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """(wave,), k of a real transform; that of the shortest wave, which has no slope, is 0."""
        k = 2 * math.pi / self.length * torch.arange(self.size // 2 + 1, dtype=dtype)
        k[-1] = 0
        return k

    def linear(self) -> Tensor:
        """(wave,), L."""
        k = self.wavenumbers()
        k[-1] = math.pi / self.length * self.size
        return k**2 - k**4

    def nonlinear(self, v: Tensor) -> Tensor:
        """(..., wave) -> (..., wave), N."""
        k = self.wavenumbers(v.real.dtype).to(v.device)
        u = torch.fft.irfft(v, n=self.size)
        return torch.complex(torch.zeros_like(k), -0.5 * k) * torch.fft.rfft(u * u)

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        v = torch.fft.rfft(x)
        return torch.fft.irfft(self.linear().to(x) * v + self.nonlinear(v), n=self.size)
