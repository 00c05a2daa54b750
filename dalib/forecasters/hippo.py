"""HiPPO-Prophecy: the derivative of a signal from its projection on Legendre polynomials."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.forecasters.base import TrainingData, complete
from dalib.streams import Generator


def legendre_memory(order: int, window: float) -> tuple[Tensor, Tensor]:
    """A (order, order), B (order,) of dc/dt = A c + B u (Gu et al. 2020, HiPPO-LegT).

        A_nk = -(1/θ) √((2n+1)(2k+1)) · {1 if k ≤ n, (-1)^(n-k) if k > n},    B_n = √(2n+1) / θ

    c are the coefficients of u(t - s), 0 ≤ s ≤ θ, on the Legendre polynomials
    g_n(s) = √(2n+1) P_n(1 - 2s/θ), orthonormal on the window.
    """
    n = torch.arange(order, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    sign = torch.where(n[None] <= n[:, None], 1.0, (-1.0) ** (n[:, None] - n[None]))
    return -root[:, None] * root[None] * sign / window, root / window


@dataclass(frozen=True)
class HiPPOProphecy:
    """A forecast without training (Arangath Joseph et al. 2024): the slope of the memory's window.

        dc/dt = A c + B u                        over the context, u held between samples
        u'(t) ≈ Σ_n c_n g_n'(0)·(-1)             at the newest end
        u(t+Δ) ≈ u(t) + Δ u'(t)                  and so on with the forecast as the input

    channel by channel, times in samples. g_n'(0) = -√(2n+1) n(n+1)/θ, since P_n'(1) = n(n+1)/2.

    Args:
        order: number of polynomials.
        window: θ, samples; the context is at least as long.
    """

    order: int = 8
    window: int = 20
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        limits.at_least(2, order=self.order, window=self.window)

    def fit(self, data: TrainingData | None = None, generator: Generator | None = None):
        return self

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        u = complete(context, "the context")
        if u.shape[1] < self.window:
            raise ValueError(
                f"a window of {self.window} samples needs a context as long, got {u.shape[1]}"
            )
        c = self.memory(u)
        x, states = u[:, -1], []
        for _ in range(horizon):
            x = x + self.slope(c)
            c = self.driven(c, x)
            states.append(x)
        return torch.stack(states, 1).unsqueeze(0)

    def memory(self, u: Tensor) -> Tensor:
        """(case, time, state) -> (case, state, order), the coefficients at the last time.

        The memory begins as that of a signal that always had its first value.
        """
        first = torch.zeros(self.order, dtype=u.dtype)
        first[0] = 1.0
        c = u[:, 0, :, None] * first
        for t in range(1, u.shape[1]):
            c = self.driven(c, u[:, t])
        return c

    def driven(self, c: Tensor, u: Tensor) -> Tensor:
        """(..., order), (...,) -> (..., order), one sample later."""
        A, B = self._discrete
        return c @ A.mT + u[..., None] * B

    def slope(self, c: Tensor) -> Tensor:
        """(..., order) -> (...,), du/dt per sample at the newest end."""
        n = torch.arange(self.order, dtype=c.dtype)
        return c @ ((2 * n + 1).sqrt() * n * (n + 1) / self.window)

    @cached_property
    def _discrete(self) -> tuple[Tensor, Tensor]:
        """Zero-order hold over one sample: exp of [[A, B], [0, 0]]."""
        A, B = legendre_memory(self.order, float(self.window))
        whole = torch.zeros(self.order + 1, self.order + 1, dtype=torch.float64)
        whole[:-1, :-1], whole[:-1, -1] = A, B
        moved = torch.linalg.matrix_exp(whole)
        return moved[:-1, :-1], moved[:-1, -1]
