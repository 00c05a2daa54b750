"""Rauch-Tung-Striebel smoothers: the filter forward, then each state given the one after it.

What a filter says of its `transition`, exact or linearised or by sigma points, gives the kernel
that leads back; so one backward pass serves the Kalman filter and those of nonlinear models.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Analyses, Ensemble, Gaussian, at
from dalib.filters.ekf import EKF
from dalib.filters.kalman import GaussianFilter, Kalman, Transition, apply
from dalib.filters.linalg import known, symmetric
from dalib.filters.steps import moving
from dalib.filters.ukf import UKF, CubatureKalman
from dalib.smoothers.base import Smoothed, Stack, Watched, backward, check_lag, forward, stacked
from dalib.streams import Generator

TOGETHER = 100  # times whose transitions are computed at once


class Kernel(NamedTuple):
    """x_k given x_{k+1} and the observations until k: N(G x_{k+1} + c, B)."""

    gain: Tensor
    offset: Tensor
    cov: Tensor


def kernel(analysis: Gaussian, transition: Transition) -> Kernel:
    """The way back from x' = m' + F (x - m) + q, q ~ N(0, Q), for x ~ N(m, P).

        G = P Fᵀ (F P Fᵀ + Q)⁻¹        c = m - G m'        B = (I - G F) P (I - G F)ᵀ + G Q Gᵀ

    It is the Kalman update with x' for y, B in Joseph's form. All in float64.

    Args:
        analysis: mean (..., state), cov (..., state, state).
        transition: about that mean.
    """
    m, P = (value.double() for value in analysis)
    forecast, F, Q = (value.double() for value in transition)
    G = _gain(P, F, Q)
    A = torch.eye(P.shape[-1], dtype=P.dtype, device=P.device) - G @ F
    return Kernel(G, m - apply(G, forecast), symmetric(A @ P @ A.mT + G @ Q @ G.mT))


def _gain(P: Tensor, F: Tensor, Q: Tensor) -> Tensor:
    """P Fᵀ (F P Fᵀ + Q)⁻¹; where a component is foretold exactly, with the pseudo-inverse."""
    FP = F @ P
    S = symmetric(FP @ F.mT + Q)
    L, info = torch.linalg.cholesky_ex(S)
    if known((info == 0).all()):
        return torch.cholesky_solve(FP, L).mT
    finite = S.isfinite().all(-1).all(-1)[..., None, None]
    inverse = torch.linalg.pinv(torch.where(finite, S, 0.0), hermitian=True)
    return FP.mT @ torch.where(finite, inverse, float("nan"))


def back(kernels: Kernel, later: Stack) -> Stack:
    """Mean and covariance of x_k from those of x_{k+1}: G m + c, G P Gᵀ + B."""
    m, P = later
    G, c, B = kernels
    return apply(G, m) + c, symmetric(G @ P @ G.mT + B)


@dataclass(frozen=True, kw_only=True)
class BackwardPass(GaussianFilter):
    """The backward pass over the analyses of a Gaussian filter (Rauch, Tung and Striebel 1965).

        m_k <- m_k + G (m_{k+1} - m'_{k+1})        P_k <- P_k + G (P_{k+1} - P'_{k+1}) Gᵀ

    with the forecasts m', P' and the gain G of `kernel`.

    Attributes:
        lag: how many later times each state sees; None for all. All windows go back together.
    """

    lag: int | None = None

    def __post_init__(self):
        check_lag(self.lag)
        if hasattr(super(), "__post_init__"):
            super().__post_init__()

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        kept: Tensor | None = None,
        **options: Any,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`; a Gaussian has no members to be kept."""
        beliefs: list[Gaussian] = []
        given = (self, prior, observations, generator, lambda step: beliefs.append(step.analysis))
        first, analyses, run = forward(*given, **options)
        states = stacked([first, *beliefs])
        kernels = self.kernels(Gaussian(*(part[:-1] for part in states)), run)

        def step(k: slice, later: Stack) -> Stack:
            return back(Kernel(*(part[k] for part in kernels)), later)

        found = backward(tuple(part.double() for part in states), step, self.lag)
        return of_moments(*found, None if self.lag else kernels, analyses)

    def kernels(self, analyses: Gaussian, run: Watched) -> Kernel:
        """Those that lead back to `analyses`, mean (time, ..., state), of what has run."""
        if run.regular:
            some = zip(*(part.split(TOGETHER) for part in analyses), strict=True)
            found = [kernel(one := Gaussian(*parts), self.transition(one)) for parts in some]
            return Kernel(*(torch.cat(parts) for parts in zip(*found, strict=True)))
        beliefs = zip(*analyses, strict=True)
        found = [_along(run, k, Gaussian(*belief)) for k, belief in enumerate(beliefs)]
        return Kernel(*stacked(found))


def _along(run: Watched, k: int, belief: Gaussian) -> Kernel:
    """The way back from the k-th observation to the belief before it, by all steps between."""
    one = torch.eye(belief.mean.shape[-1], dtype=torch.float64, device=belief.mean.device)
    found = Kernel(one, torch.zeros_like(belief.mean).double(), torch.zeros_like(one))
    for move in run.moves(k):
        now = moving(at(run.filter, k), run.wants, move, run.generator)
        transition = now.transition(belief)
        found = composed(found, kernel(belief, transition))
        belief = now.forecast(belief, run.generator)
    return found


def composed(first: Kernel, second: Kernel) -> Kernel:
    """x | x'' of x | x' and x' | x'': G G', c + G c', B + G B' Gᵀ."""
    (G, c, B), (G_2, c_2, B_2) = first, second
    return Kernel(G @ G_2, apply(G, c_2) + c, symmetric(G @ B_2 @ G.mT + B))


def of_moments(mean: Tensor, cov: Tensor, kernels: Kernel | None, analyses: Analyses) -> Smoothed:
    """From mean (time, ..., state) and cov (time, ..., state, state), the first at time 0.

    cov(x_{k+1}, x_k) = P_{k+1} G_kᵀ, with the kernels of all states but the last.
    """
    cross = None if kernels is None else cov[1:] @ kernels.gain.mT
    dtype = analyses.mean.dtype
    mean, cov = mean.to(dtype), cov.expand(*mean.shape, mean.shape[-1]).to(dtype)
    series = Gaussian(mean[1:].movedim(0, -2), cov[1:].movedim(0, -3))
    if cross is not None:
        cross = cross.to(dtype).expand_as(cov[1:]).movedim(0, -3)
    initial = Gaussian(mean[0], cov[0])
    return Smoothed(series.mean, series.std, initial, analyses, series.cov, cross)


@dataclass(frozen=True, kw_only=True)
class RTS(BackwardPass, Kalman):
    """The Rauch-Tung-Striebel smoother of the Kalman filter: exact for linear models."""


@dataclass(frozen=True, kw_only=True)
class ExtendedRTS(BackwardPass, EKF):
    """The extended smoother, of the model linearised along the filter (Särkkä 2013, sec. 9.1)."""


@dataclass(frozen=True, kw_only=True)
class UnscentedRTS(BackwardPass, UKF):
    """The unscented smoother, with the cross-covariances of sigma points (Särkkä 2008)."""


@dataclass(frozen=True, kw_only=True)
class CubatureRTS(BackwardPass, CubatureKalman):
    """The cubature smoother (Arasaratnam and Haykin 2011)."""
