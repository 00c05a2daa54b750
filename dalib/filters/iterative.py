"""Iterative ensemble Kalman filter and smoother: Gauss-Newton in the space of the members."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.ensemble import EnsembleFilter, anomalies, whiten
from dalib.filters.etkf import square_root
from dalib.filters.finite_size import hyperprior
from dalib.filters.inflation import AdaptiveInflation
from dalib.filters.linalg import known, young
from dalib.filters.steps import check_same
from dalib.streams import Generator


class Lagged(NamedTuple):
    """Equally likely states now and at the start of a window.

    members (..., member, state); start (..., member, state), those of `age` (..., 1) sampling
    intervals before.
    """

    members: Tensor
    start: Tensor
    age: Tensor

    @property
    def mean(self) -> Tensor:
        """(..., state)."""
        return Ensemble(self.members).mean

    @property
    def cov(self) -> Tensor:
        """(..., state, state), divisor N-1."""
        return Ensemble(self.members).cov

    @property
    def std(self) -> Tensor:
        """(..., state), divisor N-1."""
        return Ensemble(self.members).std


class _Iterate(NamedTuple):
    """Weights w (..., 1, N) and transform T (..., N, N) of the anomalies at the start.

    members: as they are now from w and T. changed: (..., 1, N) + (..., N, N), what the last step
    added to w + T, so that members + changed X is the analysis now to first order. moving: (...,).
    """

    w: Tensor
    T: Tensor
    members: Tensor
    changed: Tensor
    moving: Tensor


@dataclass(frozen=True, kw_only=True)
class IEnKS(EnsembleFilter):
    """Iterative ensemble Kalman smoother (Bocquet and Sakov 2014, algorithm 1, "transform").

    The observation of now is assimilated at the start of a window of `lag` intervals, where

        x(w) = mean + w X        J(w) = ½ (N-1) |w|² + ½ |y - h(M(x(w)))|²

    is minimised by Gauss-Newton, the members E = mean + (w + T) X taken through model and operator
    at each iteration. With S, d of `filters.ensemble` of these, Y = T⁻¹ S and ζ = N-1,

        w <- w + [d Yᵀ - ζ w] (Y Yᵀ + ζ)⁻¹        T = [(N-1) (Y Yᵀ + ζ)⁻¹]^½

    Then the window moves on by one interval. Lag 1 is the iterative ensemble Kalman filter (Sakov,
    Oliver and Bertino 2012), which for a linear model is the ETKF. The model has no noise: `step`
    is the same at all times and draws nothing.

    Attributes:
        lag: intervals of the window, at least 1.
        iterations: at most.
        tolerance: of the root mean square of a step of w, at which a series has converged.
        mda: assimilate y `iterations` times with as many times its error variance in place of
            minimising J (multiple data assimilation; Bocquet and Sakov 2013, sec. 2.4).
        certainty: that of the `hyperprior` of the EnKF-N, with which ζ = (N-1) c / (ε + |w|²)
            (Bocquet and Sakov 2012); None for ζ = N-1.
        inflation, rotate: of the members at the start of the window.
    """

    lag: int = 1
    iterations: int = 10
    tolerance: float = 1e-5
    mda: bool = False
    certainty: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.lag < 1 or self.iterations < 1:
            raise ValueError(
                f"lag={self.lag}, iterations={self.iterations}; give whole numbers from 1 on"
            )
        if isinstance(self.inflation, AdaptiveInflation):
            raise TypeError("IEnKS takes no AdaptiveInflation; give a number, or a certainty")
        if not self.perfect:
            raise ValueError(
                "the model of an IEnKS has no noise; leave model_error_* at their values"
            )

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Lagged:
        """Members of the prior, where the first window starts."""
        check_same(self)
        E = super().start(prior, generator).members
        return Lagged(E, E, young(E[..., 0, :]))

    def forecast(self, belief: Lagged, generator: Generator) -> Lagged:
        """One sampling interval of the window, and all of it of the members."""
        start, full = belief.start, belief.age >= self.lag
        if not known(~full.any()):
            moved = self.step(start.clone())
            start = moved if known(full.all()) else torch.where(full[..., None], moved, start)
        age = (belief.age + 1).clamp(max=self.lag)
        return Lagged(self._now(start, age), start, age)

    def analyse(self, belief: Lagged, y: Tensor, generator: Generator) -> Lagged:
        """Members now, and those at the start of the window, given y (..., obs)."""
        mean, X = anomalies(belief.start)
        N = X.shape[-2]
        one = torch.eye(N, dtype=torch.float64, device=X.device)
        leading = torch.broadcast_shapes(X.shape[:-2], y.shape[:-1])
        w, T = X.new_zeros(*leading, 1, N).double(), one.expand(*leading, N, N)
        members = belief.members.expand(*leading, *X.shape[-2:])
        it = _Iterate(w, T, members, one * 0, torch.ones_like(w[..., 0, 0], dtype=torch.bool))
        for i in range(self.iterations):
            if i:
                it = it._replace(members=self._again(it, mean + (it.w + it.T).to(X) @ X, belief))
            it = self._stepped(it, y)
            if known(~it.moving.any()):
                break
        members = it.members + it.changed.to(X) @ anomalies(belief.members)[1]
        start = mean + (it.w + it.T).to(X) @ X
        start = self.finished(Ensemble(belief.start), start, y, generator).members
        return Lagged(members, start, belief.age.expand(*leading, 1))

    def _stepped(self, it: _Iterate, y: Tensor) -> _Iterate:
        """One iteration, of the series that are moving."""
        w, T = it.w, it.T
        S, d = whiten(self.observe(it.members), y, self.obs_std)
        Y = S if self.mda else torch.linalg.solve_ex(T, S)[0]
        n = S.shape[-2] - 1
        ζ = n
        if self.certainty is not None:
            ε, c = (value[..., None, None] for value in hyperprior(Y, self.certainty))
            ζ = n * c / (ε + w.square().sum(-1, keepdim=True))
        if self.mda:
            ζ = ζ * self.iterations
        r = torch.as_tensor(ζ / n, dtype=S.dtype, device=S.device)
        W = square_root(Y / r.sqrt())  # [n (Y Yᵀ / r + n)⁻¹]^½
        C = W @ W / (n * r)  # (Y Yᵀ + ζ)⁻¹
        if self.mda:
            step, new = d @ Y.mT @ C @ T, W @ T
        else:
            step, new = (d @ Y.mT - ζ * w) @ C, W / r.sqrt()
        moving = it.moving[..., None, None]
        changed = torch.where(moving, step + new - T, it.changed)
        still = it.moving
        if not self.mda:
            small = step.detach().square().mean((-2, -1)) < self.tolerance**2
            still = still & ~small
        w, T = torch.where(moving, w + step, w), torch.where(moving, new, T)
        return it._replace(w=w, T=T, changed=changed, moving=still)

    def _again(self, it: _Iterate, start: Tensor, belief: Lagged) -> Tensor:
        """Members now from those at the start, of the series that are moving."""
        members = self._now(start, belief.age)
        if known(it.moving.all()):
            return members
        return torch.where(it.moving[..., None, None], members, it.members)

    def _now(self, start: Tensor, age: Tensor) -> Tensor:
        """(..., member, state), `age` (..., 1) intervals later."""
        E = start.clone()
        for i in range(int(age.max())):
            later = age > i
            moved = self.step(E)
            E = moved if known(later.all()) else torch.where(later[..., None], moved, E)
        return E
