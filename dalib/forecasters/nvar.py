"""Nonlinear vector autoregression: polynomials of a few past states, trained by ridge."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import ClassVar

import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, complete, free_run, past
from dalib.forecasters.ridge import ridge
from dalib.forecasters.scaling import Standard
from dalib.streams import Generator

BLOCK = 4096  # samples whose features are made at once


@dataclass(frozen=True)
class NVARForecast:
    """weights (feature, state). Its own state z is the window of standardised states, newest last.

    scaling: of the states.
    step_std: (state,), standard deviation of an increment, in standardised units.
    """

    weights: Tensor
    scaling: Standard
    step_std: Tensor
    delays: int
    spacing: int
    degree: int

    @property
    def window(self) -> int:
        """Samples that a step looks at."""
        return (self.delays - 1) * self.spacing + 1

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, window · state)."""
        context = past(context, len(self.scaling.mean), self.window)
        return self.scaling(context[:, -self.window :]).flatten(1)

    def step(self, z: Tensor) -> Tensor:
        """(..., window · state), shifted by one; the newest is what the polynomial says."""
        x = z.unflatten(-1, (self.window, -1))
        delayed = x[..., :: self.spacing, :].flatten(-2)
        new = x[..., -1, :] + self.step_std * (monomials(delayed, self.degree) @ self.weights)
        return torch.cat([z[..., len(self.step_std) :], new], -1)

    def state(self, z: Tensor) -> Tensor:
        """(..., window · state) -> (..., state)."""
        return self.scaling.invert(z[..., -len(self.step_std) :])

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)


@dataclass(frozen=True)
class NVAR:
    """The "next generation reservoir computer" (Gauthier et al. 2021, eqs. 3-9).

        v_t = x_{t-(k-1)s} ⊕ ... ⊕ x_{t-s} ⊕ x_t           k states, s samples apart
        g_t = all monomials of v_t up to degree p, the constant among them
        x_{t+1} = x_t + W g_t

    on standardised states, W by ridge regression of the standardised increments. With k = 1 it
    fits a polynomial map. No random number and no iteration: trained by one linear system.

    Args:
        delays: k, states that predict, the present one among them.
        spacing: s, in samples.
        degree: p; there are C(k n + p, p) features for n components.
        penalty: λ of the ridge.
    """

    delays: int = 2
    spacing: int = 1
    degree: int = 2
    penalty: float = 1e-6
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        for name in ("delays", "spacing", "degree"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.penalty < 0:
            raise ValueError(f"a ridge penalty must not be negative, got {self.penalty}")

    def fit(self, data: TrainingData, generator: Generator | None = None) -> NVARForecast:
        series = complete(data.train, "the training data")
        window = (self.delays - 1) * self.spacing + 1
        if series.shape[1] <= window:
            raise ValueError(
                f"{self.delays} delays {self.spacing} apart need training series of more than "
                f"{window} samples, got {series.shape[1]}"
            )
        scaling = Standard.of(series)
        x = scaling(series)
        step_std = x.diff(dim=1).square().mean((0, 1)).sqrt()
        weights = ridge(self._pairs(x, step_std, window), self.penalty)
        return NVARForecast(weights, scaling, step_std, self.delays, self.spacing, self.degree)

    def _pairs(self, x: Tensor, step_std: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of features and the standardised increments that followed."""
        v = x.unfold(1, window, 1)[:, :-1, :, :: self.spacing]  # (case, time, state, delay)
        v = v.transpose(-1, -2).flatten(-2).flatten(0, 1)
        increments = (x.diff(dim=1)[:, window - 1 :] / step_std).flatten(0, 1)
        for some, y in zip(v.split(BLOCK), increments.split(BLOCK), strict=True):
            yield monomials(some, self.degree), y


def monomials(v: Tensor, degree: int) -> Tensor:
    """(..., n) -> (..., C(n + degree, degree)), all products of at most `degree` components.

    1; v_1 ... v_n; v_1 v_1, v_1 v_2 ...: each is one of the degree before times a component.
    """
    n = v.shape[-1]
    whole = [torch.ones_like(v[..., :1])]
    before, index = whole[0], {(): 0}
    for p in range(1, degree + 1):
        chosen = list(combinations_with_replacement(range(n), p))
        shorter = [index[some[:-1]] for some in chosen]
        before = before[..., shorter] * v[..., [some[-1] for some in chosen]]
        index = {some: i for i, some in enumerate(chosen)}
        whole.append(before)
    return torch.cat(whole, -1)
