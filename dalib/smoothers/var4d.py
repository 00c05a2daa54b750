"""4D-Var: the trajectory that fits a prior and all observations of a window best.

Gradients go through the model and the operator, written with torch; any of the minimisers of
`filters.least_squares` finds the minimum, for all series at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dalib.filters.base import Analyses, Ensemble, Gaussian, at, first_nan
from dalib.filters.checks import check_given, check_observe, check_some
from dalib.filters.errors import Observing, error_std, factor, solved
from dalib.filters.kalman import apply
from dalib.filters.least_squares import GaussNewton
from dalib.filters.linalg import cholesky, jacobian, like, shared, symmetric
from dalib.filters.noise import ModelNoise
from dalib.filters.steps import Schedule, calls, check_same
from dalib.smoothers.base import Smoothed
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class StrongVar4D(Observing):
    """4D-Var with a model that is exact (Le Dimet and Talagrand 1986).

        x_0 = m + L v        x_k = M(x_{k-1})        L Lᵀ = P of the prior N(m, P)
        J(v) = ½ |v|² + ½ Σ_k |(y_k - h(x_k)) / σ|²

    With the derivatives G of what is observed and X_k = dx_k/dv at the minimum, the covariance of
    x_k is X_k (I + Gᵀ G)⁻¹ X_kᵀ: for linear M and h the smoother of Rauch, Tung and Striebel.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        minimiser: `GaussNewton` or `LBFGS`.
        uncertain: whether covariances are computed, of which derivatives of all components in all
            controls are formed; without, they are NaN.
    """

    step: Callable[[Tensor], Tensor]
    minimiser: Callable = field(default_factory=GaussNewton)
    uncertain: bool = True

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        kept: Tensor | None = None,
        schedule: Schedule | None = None,
        **options: Any,
    ) -> Smoothed:
        """States given all observations (..., time, obs), NaN where missing; nothing is drawn.

        `analyses` of the result have the trajectory of the prior mean as forecast. `kept` and
        other options are of smoothers with members, and of those that go from time to time.
        """
        check_given(self, prior, observations, generator)
        check_observe(at(self, 0).observe, prior.mean, observations)
        check_some(observations)
        check_same(self)
        at_steps = calls(schedule, observations.shape[-2])
        window = Window(self, prior, observations.to(prior.mean), at_steps)
        u = self.minimiser(window.misfit, window.first, prior.mean.dtype)
        return window.smoothed(u)

    def controls(self, prior: Gaussian | Ensemble, times: int) -> "list[Control]":
        """What is found: the state at time 0."""
        return [Control(0, _root(prior.cov))]


@dataclass(frozen=True, kw_only=True)
class WeakVar4D(ModelNoise, StrongVar4D):
    """4D-Var with a model that errs (Trémolet 2006, with the errors as control).

        x_k = M(x_{k-1}) + B q_k        B Bᵀ = Q
        J(v, q) = ½ |v|² + ½ Σ_k |q_k|² + ½ Σ_k |(y_k - h(x_k)) / σ|²

    with the errors of the model, Q, of `filters.noise.ModelNoise`.
    """

    def controls(self, prior: Gaussian | Ensemble, times: int) -> "list[Control]":
        """What is found: the state at time 0 and the error of each step."""
        B = self.noise_factor(prior.mean).double()
        return [Control(0, _root(prior.cov)), *(Control(k, B) for k in range(1, times + 1))]


@dataclass(frozen=True)
class Control:
    """Normal noise that is added to the state at a time, root (..., state, n) times N(0, I)."""

    time: int
    root: Tensor


class Fit:
    """How far states are from the observations y (..., time, obs), in units of their errors."""

    def __init__(self, method: Observing, y: Tensor) -> None:
        self.method, self.y, self.seen, self.root = method, y, ~y.isnan(), None
        if method.obs_cov is not None:
            self.root = factor(like(method.obs_cov, y).double(), self.seen)

    def misfit(self, x: Tensor) -> Tensor:
        """States (..., time, state) -> (..., time obs), (y - h) / σ; 0 where missing."""
        h = torch.cat([operator(part) for operator, part in self._operators(x)], -2)
        d = torch.where(self.seen, self.y - h, 0.0).double()
        if self.root is None:
            std = error_std(self.method, d)
            return (d / (std[..., None, :] if std.ndim > 1 else std)).flatten(-2)
        if self.root.ndim == 2:
            return solved(self.root, d).flatten(-2)
        return solved(self.root, d[..., None, :])[..., 0, :].flatten(-2)

    def _operators(self, x: Tensor) -> Iterator[tuple[Any, Tensor]]:
        """Operators, and the states (..., time, state) that each of them sees."""
        observe = self.method.observe
        if not hasattr(observe, "at"):
            yield observe, x
            return
        for k in range(x.shape[-2]):
            yield observe.at(k), x[..., k : k + 1, :]


class Window:
    """The cost of a series of observations y (..., time, obs), and what its minimum tells."""

    def __init__(
        self, method: StrongVar4D, prior: Gaussian | Ensemble, y: Tensor, at_steps: list[int]
    ) -> None:
        self.method, self.prior, self.at_steps = method, prior, at_steps
        self.times = at_steps[-1]
        self.leading = torch.broadcast_shapes(y.shape[:-2], prior.mean.shape[:-1])
        self.controls = {c.time: c.root for c in method.controls(prior, self.times)}
        self.sizes = [root.shape[-1] for root in self.controls.values()]
        self.first = y.new_zeros(*self.leading, sum(self.sizes)).double()
        self.fit = Fit(method, y)

    def states(self, u: Tensor) -> Tensor:
        """(..., n) -> (..., time + 1, state)."""
        noise = dict(zip(self.controls, u.split(self.sizes, -1), strict=True))
        m = self.prior.mean
        x, states = m.expand(*u.shape[:-1], m.shape[-1]), []
        for k in range(self.times + 1):
            x = self.method.step(x) if k else x
            if k in noise:
                x = x + apply(self.controls[k], noise[k]).to(x)
            states.append(x)
        return torch.stack(states, -2)

    def misfit(self, u: Tensor) -> Tensor:
        """(..., n) -> (..., time obs)."""
        return self.fit.misfit(self.states(u)[..., self.at_steps, :])

    def smoothed(self, u: Tensor) -> Smoothed:
        """At the minimum u (..., n)."""
        states, free = self.states(u), self.states(torch.zeros_like(u))
        cov = std = self._unknown(states)
        before = self._unknown(free)
        initial = torch.full_like(states[..., 0, :, None] * states[..., 0, None, :], torch.nan)
        if self.method.uncertain:
            cov, free_cov = self._covariance(u), self._spread(torch.zeros_like(u))
            std, before = (_std(value).to(states) for value in (cov, free_cov))
            initial, cov = cov[..., 0, :, :].to(states), cov[..., self.at_steps, :, :].to(states)
        mean, std, free, before = (v[..., self.at_steps, :] for v in (states, std, free, before))
        analyses = Analyses(mean, std, free, before, first_nan(mean))
        return Smoothed(
            mean,
            std,
            Gaussian(states[..., 0, :], initial),
            analyses,
            cov if self.method.uncertain else None,
        )

    def _covariance(self, u: Tensor) -> Tensor:
        """(..., time + 1, state, state) of the states, X (I + Gᵀ G)⁻¹ Xᵀ."""
        G = jacobian(self.misfit, u)
        one = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        L = cholesky(one + G.mT @ G)
        return self._spread(u, L)

    def _spread(self, u: Tensor, L: Tensor | None = None) -> Tensor:
        """X (L Lᵀ)⁻¹ Xᵀ, (..., time + 1, state, state)."""
        X = jacobian(lambda v: self.states(v).flatten(-2).double(), u)
        if L is not None:
            X = torch.linalg.solve_triangular(L, X.mT, upper=False).mT
        X = X.unflatten(-2, (self.times + 1, -1))
        return symmetric(X @ X.mT)

    def _unknown(self, x: Tensor) -> Tensor:
        return torch.full_like(x, torch.nan)


def _root(cov: Tensor) -> Tensor:
    return torch.linalg.cholesky(shared(cov).double())


def _std(cov: Tensor) -> Tensor:
    return cov.diagonal(dim1=-2, dim2=-1).sqrt()
