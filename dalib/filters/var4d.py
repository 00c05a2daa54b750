"""4D-Var in cycles: the start of a window found by the observation at its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.kalman import GaussianFilter, apply, observation_matrix
from dalib.filters.linalg import (
    check_background,
    cholesky,
    factor,
    jacobian,
    kept,
    known,
    like,
    shared,
    symmetric,
    young,
)
from dalib.filters.steps import check_same
from dalib.streams import Generator


class Window(NamedTuple):
    """A normal distribution now, and the state at the start of the window.

    mean (..., state), cov (..., state, state); start (..., state), `age` (..., 1) sampling
    intervals before.
    """

    mean: Tensor
    cov: Tensor
    start: Tensor
    age: Tensor

    @property
    def std(self) -> Tensor:
        """(..., state), standard deviation of each component."""
        return self.cov.diagonal(dim1=-2, dim2=-1).sqrt().expand_as(self.mean)


@dataclass(frozen=True, kw_only=True)
class Var4D(GaussianFilter):
    """4D-Var with a strong constraint and overlapping windows (Le Dimet and Talagrand 1986).

    The observation of now is assimilated at the start x_0 of a window of `lag` intervals,

        J(v) = ½ |v|² + ½ |(y - h(M(x_0 + L v))) / σ|²        L Lᵀ = B = a C

    with C of the `background`, by Gauss-Newton, each iteration with the tangent G = H M' L / σ,

        v <- v + (I + Gᵀ G)⁻¹ [Gᵀ (y - h) / σ - v]

    and the covariance of the analysis is M' L (I + Gᵀ G)⁻¹ Lᵀ M'ᵀ. Then the window moves on by one
    interval. G is formed as a whole: a state has hundreds of components, not more. The step is the
    same at all times. For all observations of a window together, see `dalib.smoothers.var4d`.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        background: a `Gaussian`, of which the covariance (..., state, state) is used.
        background_scale: a, a factor on the covariance, a number or (...,).
        lag: intervals of the window, at least 1.
        iterations: at most.
        tolerance: of the root mean square of a step of v, at which a series has converged.
        tangent: the step with its derivative, x -> (x', F); None for that of torch.
    """

    axes: ClassVar[dict] = {"background_scale": ()}

    step: Callable[[Tensor], Tensor]
    background: Gaussian
    background_scale: Tensor | float = 1.0
    lag: int = 1
    iterations: int = 10
    tolerance: float = 1e-5
    tangent: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def __post_init__(self):
        if self.lag < 1 or self.iterations < 1:
            raise ValueError(
                f"lag={self.lag}, iterations={self.iterations}; give whole numbers from 1 on"
            )

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Window:
        """The mean of the prior, where the first window starts."""
        check_background(self.background.cov)
        check_same(self)
        L = self._root(prior.mean)
        cov = (L @ L.mT).to(prior.mean).expand(*prior.mean.shape, -1)
        return Window(prior.mean, cov, prior.mean, young(prior.mean))

    def forecast(self, belief: Window, generator: Generator | None = None) -> Window:
        """One sampling interval of the window, and all of it of the mean and of B."""
        start, full = belief.start, belief.age >= self.lag
        if not known(~full.any()):
            start = torch.where(full, self.step(start.clone()), start)
        age = (belief.age + 1).clamp(max=self.lag)
        mean, X = self._now(start, age)
        return Window(mean, symmetric(X @ X.mT).to(mean), start, age)

    def analyse(self, belief: Window, y: Tensor, generator: Generator | None = None) -> Window:
        """(..., obs) observed."""
        L, first, dtype = self._root(belief.start), belief.start.double(), belief.mean.dtype
        leading = torch.broadcast_shapes(first.shape[:-1], y.shape[:-1])
        first = first.expand(*leading, -1)
        v = torch.zeros_like(first)
        moving = torch.ones_like(v[..., :1], dtype=torch.bool)
        mean = cov = None
        for _ in range(self.iterations):
            x, X = self._now((first + apply(L, v)).to(dtype), belief.age)
            step, C = self._step(x, X, v, y)
            end = x.double() + apply(X, step)
            spread = X @ C @ X.mT
            mean = end if mean is None else torch.where(moving, end, mean)
            cov = spread if cov is None else torch.where(moving[..., None], spread, cov)
            v = torch.where(moving, v + step, v)
            still = step.detach().square().mean(-1, keepdim=True) >= self.tolerance**2
            moving = moving & (still | step.detach().isnan().any(-1, keepdim=True))
            if known(~moving.any()):
                break
        start = (first + apply(L, v)).to(dtype)
        age = belief.age.expand(*leading, 1)
        return Window(mean.to(dtype), symmetric(cov).to(dtype), start, age)

    def _step(self, x: Tensor, X: Tensor, v: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The step of v and C = (I + Gᵀ G)⁻¹, from the state x now and X = M' L."""
        seen, std = ~y.isnan(), like(self.obs_std, y).double()
        H = observation_matrix(self.observe, x).double()
        G = torch.where(seen[..., None], H @ X, 0.0) / std.expand(y.shape)[..., None]
        r = torch.where(seen, y - self.observe(x), 0.0).double() / std
        one = torch.eye(v.shape[-1], dtype=v.dtype, device=v.device)
        C = torch.cholesky_inverse(cholesky(one + G.mT @ G))
        return apply(C, apply(G.mT, r) - v), C

    def _now(self, start: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
        """x (..., state), `age` (..., 1) intervals after `start`, and X = M' L (..., state, n)."""
        x, X = start.clone(), self._root(start).expand(*start.shape, -1)
        for i in range(int(age.max())):
            later = age > i
            moved, F = self._tangent(x)
            x = torch.where(later, moved, x)
            X = torch.where(later[..., None], F.double() @ X, X)
        return x, X

    def _tangent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.tangent is not None:
            return self.tangent(x)
        return self.step(x.clone()), jacobian(self.step, x)

    @kept
    def _root(self, mean: Tensor) -> Tensor:
        B = factor(self.background_scale, mean) * like(self.background.cov, mean)
        return torch.linalg.cholesky(shared(B).double())
