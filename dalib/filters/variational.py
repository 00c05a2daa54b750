"""Filters with a fixed covariance or gain: climatology, optimal interpolation, 3DVar."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib import limits
from dalib.filters.base import Ensemble, Gaussian, Likelihood
from dalib.filters.errors import Whitened
from dalib.filters.kalman import (
    GaussianFilter,
    apply,
    error_cov,
    likelihood,
    observation_matrix,
    update,
)
from dalib.filters.linalg import (
    check_background,
    check_covariance,
    cholesky,
    factor,
    kept,
    known,
    like,
    shared,
    symmetric,
)
from dalib.streams import Generator

ENOUGH, HALVINGS = 1e-4, 30  # of the line search: Armijo's constant, and the shortest step


def cost(x: Tensor, background: Gaussian, y: Tensor, observe: Callable, obs_std) -> Tensor:
    """(..., state) -> (...,): what 3DVar minimises (Lorenc 1986).

    J(x) = ½ (x - m)ᵀ B⁻¹ (x - m) + ½ |(y - h(x)) / σ|²        missing y left out
    """
    L = torch.linalg.cholesky(shared(background.cov))
    v = torch.linalg.solve_triangular(L, (x - background.mean)[..., None], upper=False)[..., 0]
    return _cost(v, _misfit(y - observe(x), y, obs_std))


def minimise(
    background: Gaussian, y: Tensor, observe: Callable, obs_std: Tensor | float, outer: int = 1
) -> Tensor:
    """(..., state): minimiser of `cost` by Gauss-Newton with inner conjugate gradients.

    In the control variable v, x = m + L v with L Lᵀ = B (the preconditioning), each of the `outer`
    rounds linearises h at x and solves, with G = H L / σ,

        (I + Gᵀ G) v' = Gᵀ (y - h(x) + H (x - m)) / σ        v <- v + t (v' - v)

    where t is the largest of 1, ½, ¼ ... at which J sinks enough (Armijo 1966): the cost never
    rises from round to round. One round is exact for linear h. The inner solve needs one step per
    observation. All but h is in float64, whatever the state is: I + Gᵀ G has the condition
    (spread / σ)².
    """
    dtype, m = background.mean.dtype, background.mean.double()
    L = torch.linalg.cholesky(shared(background.cov).double())
    x, v, y = m, torch.zeros_like(m), y.double()
    seen = ~y.isnan()

    def h(x: Tensor) -> Tensor:
        return observe(x.to(dtype)).double()

    def cost_of(v: Tensor) -> Tensor:
        return _cost(v, _misfit(y - h(m + apply(L, v)), y, obs_std))

    for _ in range(outer):
        H = observation_matrix(observe, x.to(dtype)).double()
        G = H @ L * (seen / like(obs_std, y))[..., None]
        innovation = y - h(x) + apply(H, x - m)
        d = _misfit(innovation, y, obs_std)
        solved = _conjugate_gradients(G, apply(G.mT, d))
        v = _towards(solved, v, G, cost_of, dtype)
        x = m + apply(L, v)
    return x.to(dtype)


@torch.no_grad()
def _share(solved: Tensor, v: Tensor, G: Tensor, cost_of: Callable, dtype: torch.dtype) -> Tensor:
    """(..., 1): t. Along p = v' - v the slope of J is -|p|² - |G p|², since v' solves for it."""
    here, p = cost_of(v), solved - v
    slope = p.square().sum(-1) + apply(G, p).square().sum(-1)
    slack = (1e-12 if dtype == torch.float64 else 1e-5) * here.abs()  # of round-off in h
    t = torch.ones_like(here)
    for _ in range(HALVINGS):
        enough = cost_of(v + t[..., None] * p) <= here - ENOUGH * t * slope + slack
        if known(enough.all()):
            break
        t = torch.where(enough, t, t / 2)  # of NaN too
    return t[..., None]


def _towards(solved: Tensor, v: Tensor, G: Tensor, cost_of: Callable, dtype: torch.dtype) -> Tensor:
    t = _share(solved, v, G, cost_of, dtype)
    return torch.where(t == 1, solved, v + t * (solved - v))


def _cost(v: Tensor, misfit: Tensor) -> Tensor:
    return 0.5 * v.square().sum(-1) + 0.5 * misfit.square().sum(-1)


def _misfit(d: Tensor, y: Tensor, obs_std: Tensor | float) -> Tensor:
    """d / σ, 0 where y is missing: NaN must not meet σ, whose slope it would spoil."""
    return torch.where(y.isnan(), 0.0, d) / like(obs_std, y)


@dataclass(frozen=True, kw_only=True)
class Climatology(GaussianFilter):
    """Always the `background`: what is known without model or observations."""

    background: Gaussian
    looks: ClassVar[bool] = False

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Gaussian:
        """The background, for each seed."""
        check_covariance(self.background.cov, "the background covariance")
        return self._given(prior.mean)

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """The background."""
        return self._given(belief.mean)

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """The background."""
        return belief

    def _given(self, mean: Tensor) -> Gaussian:
        own, cov = (like(value, mean) for value in self.background)
        return _around(own.expand_as(mean), cov)


@dataclass(frozen=True, kw_only=True)
class OptimalInterpolation(Climatology):
    """Optimal interpolation: the `background` given the present observation only (Gandin 1963)."""

    looks: ClassVar[bool] = True

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed."""
        return _interpolated(self, belief, like(self.background.cov, belief.mean), y)


class Update(NamedTuple):
    """What an observation of chosen components does to any forecast with the covariance B.

        S = H B Hᵀ + R = L Lᵀ        K = B Hᵀ S⁻¹

    rows: (..., obs, state + obs), [Kᵀ L⁻ᵀ], with which an innovation gives increment and misfit.
    log_det: (...,), log det S.
    cov: (..., state, state), the covariance of the analysis.
    """

    rows: Tensor
    log_det: Tensor
    cov: Tensor


@dataclass(frozen=True, kw_only=True)
class Var3D(GaussianFilter):
    """3DVar: the model forecast given the present observation, with a fixed covariance.

        m <- M(m)        m <- argmin J, B = a C        C that of the `background`

    Where the operator selects components and none is missing, the gain depends on no belief: it is
    computed once for each filter, and anew when a tensor of it was changed in place or after a
    backward pass. C and a may be learned, with leading axes that broadcast to those of the mean.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        background: a `Gaussian`, of which the covariance (..., state, state) is used.
        background_scale: a, a factor on the covariance, a number or (...,).
        outer: 0 is the gain form, h linearised at the forecast; more are the rounds of `minimise`,
            each of which lowers the cost.
    """

    axes: ClassVar[dict] = {"background_scale": ()}

    step: Callable[[Tensor], Tensor]
    background: Gaussian
    background_scale: Tensor | float = 1.0
    outer: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.at_least(0, outer=self.outer)

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Gaussian:
        """The mean of the prior."""
        check_background(self.background.cov)
        return _around(prior.mean, self._cov(prior.mean))

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """One sampling interval of the mean; the covariance is always B."""
        return _around(self.step(belief.mean), self._cov(belief.mean))

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed."""
        if self._alike(y):
            return self._updated(belief, y)[0]
        analysis = _interpolated(self, belief, self._cov(belief.mean), y)
        return self._minimised(belief, analysis, y)

    def likelihood(self, forecast: Gaussian, y: Tensor) -> Likelihood:
        """Of y (..., obs) under the forecast with the covariance B."""
        if self._alike(y):
            return self._updated(forecast, y)[1]
        background = Gaussian(forecast.mean, self._cov(forecast.mean))
        return likelihood(background, *self.innovation(forecast, y))

    def scored(
        self, forecast: Gaussian, y: Tensor, generator: Generator | None = None
    ) -> tuple[Gaussian, Likelihood]:
        """The analysis, and how well y (..., obs) was foretold."""
        if self._alike(y):
            return self._updated(forecast, y)
        return self.analyse(forecast, y), self.likelihood(forecast, y)

    def _alike(self, y: Tensor) -> bool:
        """Whether one gain serves all: components are selected, and none of y is missing."""
        return hasattr(self.observe, "selected") and known(~y.isnan().any())

    def _updated(self, forecast: Gaussian, y: Tensor) -> tuple[Gaussian, Likelihood]:
        given = self._update(forecast.mean)
        d = y - self.observe(forecast.mean)
        increment, whitened = _times(d, given.rows).split(
            (forecast.mean.shape[-1], d.shape[-1]), -1
        )
        misfit = whitened.square().sum(-1)
        count = torch.full_like(misfit, d.shape[-1], dtype=torch.long)
        analysis = _around(forecast.mean + increment, given.cov)
        scored = Likelihood(given.log_det.expand_as(misfit), misfit, count)
        return self._minimised(forecast, analysis, y), scored

    def _minimised(self, belief: Gaussian, analysis: Gaussian, y: Tensor) -> Gaussian:
        if not self.outer:
            return analysis
        background = Gaussian(belief.mean, self._cov(belief.mean))
        mean = minimise(background, y, self.observe, self.obs_std, self.outer)
        return Gaussian(mean, analysis.cov)

    @kept
    def _update(self, mean: Tensor) -> Update:
        dtype, size, mean = mean.dtype, mean.shape[-1], mean.double()  # S: (spread / error)²
        index = self.observe.selected(size).to(mean.device)
        B, one = self._cov(mean), torch.eye(size, dtype=mean.dtype, device=mean.device)
        HB = B.index_select(-2, index)
        R = error_cov(self.obs_std, mean.index_select(-1, index))
        L = cholesky(symmetric(HB.index_select(-1, index) + R))
        rows = torch.cat([HB, one[: len(index), : len(index)].expand(*HB.shape[:-1], -1)], -1)
        whitened = torch.linalg.solve_triangular(L, rows, upper=False)  # L⁻¹ [H B  I]
        root = whitened[..., size:].mT
        Kt = root @ whitened[..., :size]
        A = one - Kt.mT @ one[index]
        made = Update(
            torch.cat([Kt, root], -1),
            2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1),
            symmetric(A @ B @ A.mT + Kt.mT @ R @ Kt),
        )
        return Update(*(value.to(dtype) for value in made))

    @kept
    def _cov(self, mean: Tensor) -> Tensor:
        return factor(self.background_scale, mean) * like(self.background.cov, mean)


@dataclass(frozen=True, kw_only=True)
class FixedGain(GaussianFilter):
    """A forecast corrected by a given gain, such as a learned one (Levine and Stuart 2022).

        m <- M(m)        m <- m + K (y - h(m))

    The belief is the estimate alone, with covariance 0, so that S = R. A missing value moves
    nothing.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        gain: K (..., state, obs), with leading axes that broadcast to those of the mean.
    """

    axes: ClassVar[dict] = {"gain": ("state", "obs")}

    step: Callable[[Tensor], Tensor]
    gain: Tensor

    def __post_init__(self):
        super().__post_init__()
        if hasattr(self.observe, "at"):
            raise ValueError("a fixed gain needs observations that stay the same")

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Gaussian:
        """The mean of the prior."""
        return _certain(prior.mean)

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """One sampling interval."""
        return _certain(self.step(belief.mean))

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed."""
        d = y - self.observe(belief.mean)
        expected = (belief.mean.shape[-1], d.shape[-1])
        if self.gain.shape[-2:] != expected:
            raise ValueError(
                f"the gain has shape {tuple(self.gain.shape)}; a state of {expected[0]} and "
                f"{expected[1]} observations need (..., {expected[0]}, {expected[1]})"
            )
        d = torch.where(y.isnan(), 0.0, d)
        return _certain(belief.mean + _times(d, like(self.gain, d).mT))

    def whitened(self, operator: Whitened) -> "FixedGain":
        """With K L, which meets L⁻¹ d."""
        gain = (like(self.gain, operator.factor) @ operator.factor).to(self.gain)
        return replace(super().whitened(operator), gain=gain)

    def likelihood(self, forecast: Gaussian, y: Tensor) -> Likelihood:
        """Of y (..., obs) in N(h(mean), R)."""
        seen, std = ~y.isnan(), like(self.obs_std, y).expand_as(y)
        d = torch.where(seen, y - self.observe(forecast.mean), 0.0)
        log_det = torch.where(seen, 2 * std.log(), 0.0).sum(-1)
        return Likelihood(log_det, (d / std).square().sum(-1), seen.sum(-1))


def _certain(mean: Tensor) -> Gaussian:
    return _around(mean, mean.new_zeros(()))


def _times(d: Tensor, rows: Tensor) -> Tensor:
    """d (..., n) and matrices (..., n, m) -> (..., m); a matrix for a whole axis is one product."""
    if rows.ndim == 2:
        return d @ rows
    if rows.shape[-3] == 1 and d.ndim == rows.ndim - 1:
        return d @ rows.squeeze(-3)
    return (d[..., None, :] @ rows)[..., 0, :]


def _around(mean: Tensor, cov: Tensor) -> Gaussian:
    return Gaussian(mean, cov.expand(*mean.shape, mean.shape[-1]))


def _interpolated(filter: GaussianFilter, belief: Gaussian, cov: Tensor, y: Tensor) -> Gaussian:
    """The Kalman update with one covariance (state, state) for all seeds."""
    innovation, H, R, seen = filter.innovation(belief, y)
    mean, cov = update(Gaussian(belief.mean, cov), innovation, H, R, seen)
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
