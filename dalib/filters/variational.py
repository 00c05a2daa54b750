"""Filters with a fixed background covariance: climatology, optimal interpolation, 3DVar."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.kalman import GaussianFilter, observation_matrix, update
from dalib.filters.linalg import check_covariance, like
from dalib.streams import Generator


def cost(x: Tensor, background: Gaussian, y: Tensor, observe: Callable, obs_std) -> Tensor:
    """(..., state) -> (...,): what 3DVar minimises (Lorenc 1986).

    J(x) = ½ (x - m)ᵀ B⁻¹ (x - m) + ½ |(y - h(x)) / σ|²        missing y left out
    """
    L = torch.linalg.cholesky(background.cov)
    v = torch.linalg.solve_triangular(L, (x - background.mean)[..., None], upper=False)[..., 0]
    misfit = torch.where(y.isnan(), 0.0, (y - observe(x)) / like(obs_std, y))
    return 0.5 * v.square().sum(-1) + 0.5 * misfit.square().sum(-1)


def minimise(
    background: Gaussian, y: Tensor, observe: Callable, obs_std: Tensor | float, outer: int = 1
) -> Tensor:
    """(..., state): minimiser of `cost` by Gauss-Newton with inner conjugate gradients.

    In the control variable v, x = m + L v with L Lᵀ = B (the preconditioning), each of the `outer`
    rounds linearises h at x and solves, with G = H L / σ,

        (I + Gᵀ G) v = Gᵀ (y - h(x) + H (x - m)) / σ

    One round is exact for linear h. The inner solve needs one step per observation.
    """
    L = torch.linalg.cholesky(background.cov)
    x, m = background.mean, background.mean
    seen = ~y.isnan()
    for _ in range(outer):
        H = observation_matrix(observe, x)
        G = H @ L * (seen / like(obs_std, y))[..., None]
        innovation = y - observe(x) + (H @ (x - m)[..., None])[..., 0]
        d = torch.where(seen, innovation / like(obs_std, y), 0.0)
        v = _conjugate_gradients(G, (G.mT @ d[..., None])[..., 0])
        x = m + (L @ v[..., None])[..., 0]
    return x


@dataclass(frozen=True, kw_only=True)
class Climatology(GaussianFilter):
    """Always the `background`: what is known without model or observations."""

    background: Gaussian

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Gaussian:
        """The background, for each seed."""
        check_covariance(self.background.cov, "the background covariance")
        return _around(self.background.mean.expand_as(prior.mean), self.background.cov)

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """The background."""
        return _around(self.background.mean.expand_as(belief.mean), self.background.cov)

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """The background."""
        return belief


@dataclass(frozen=True, kw_only=True)
class OptimalInterpolation(Climatology):
    """Optimal interpolation: the `background` given the present observation only (Gandin 1963)."""

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed."""
        return _interpolated(self, belief, self.background.cov, y)


@dataclass(frozen=True, kw_only=True)
class Var3D(GaussianFilter):
    """3DVar: the model forecast given the present observation, with a fixed covariance.

        m <- M(m)        m <- argmin J, B = a C        C that of the `background`

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        background: a `Gaussian`, of which the covariance is used.
        background_scale: a, a factor on the covariance.
        outer: 0 is the gain form, h linearised at the forecast; more are the rounds of `minimise`.
    """

    step: Callable[[Tensor], Tensor]
    background: Gaussian
    background_scale: float = 1.0
    outer: int = 0

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Gaussian:
        """The mean of the prior."""
        check_covariance(self.background.cov, "the background covariance")
        return _around(prior.mean, self._cov)

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """One sampling interval of the mean; the covariance is always B."""
        return _around(self.step(belief.mean), self._cov)

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed."""
        analysis = _interpolated(self, belief, self._cov, y)
        if self.outer:
            background = Gaussian(belief.mean, self._cov)
            mean = minimise(background, y, self.observe, self.obs_std, self.outer)
            return Gaussian(mean, analysis.cov)
        return analysis

    @property
    def _cov(self) -> Tensor:
        return self.background_scale * self.background.cov


def _around(mean: Tensor, cov: Tensor) -> Gaussian:
    return Gaussian(mean, cov.expand(*mean.shape, mean.shape[-1]))


def _interpolated(filter: GaussianFilter, belief: Gaussian, cov: Tensor, y: Tensor) -> Gaussian:
    """The Kalman update with one covariance (state, state) for all seeds."""
    innovation, H, R = filter.seen_from(belief.mean, y)
    mean, cov = update(Gaussian(belief.mean, cov), innovation, H, R)
    return _around(mean, cov) if cov.ndim < mean.ndim + 1 else Gaussian(mean, cov)


def _conjugate_gradients(G: Tensor, b: Tensor) -> Tensor:
    """(..., state): v of (I + Gᵀ G) v = b (Hestenes and Stiefel 1952).

    In exact arithmetic it ends after rank(G) + 1 steps; twice as many make up for round-off.
    """
    v, r, p = torch.zeros_like(b), b, b
    rr = r.square().sum(-1, keepdim=True)
    floor = 1e-30 * rr  # converged seeds stand still instead of dividing 0 by 0
    for _ in range(2 * min(G.shape[-2:]) + 2):
        Ap = p + (G.mT @ (G @ p[..., None]))[..., 0]
        active = rr > floor
        step = torch.where(active, rr, 0.0) / torch.where(active, (p * Ap).sum(-1, True), 1.0)
        v, r = v + step * p, r - step * Ap
        before, rr = rr, r.square().sum(-1, keepdim=True)
        p = r + torch.where(active, rr, 0.0) / torch.where(active, before, 1.0) * p
    return v
