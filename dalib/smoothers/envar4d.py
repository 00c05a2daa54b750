"""4DEnVar: 4D-Var without an adjoint, by the trajectories of an ensemble."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dalib.filters.base import Analyses, Ensemble, Gaussian, at, first_nan
from dalib.filters.checks import check_given, check_observe, check_some
from dalib.filters.covariance import check_number
from dalib.filters.ensemble import check_members, draw_members
from dalib.filters.errors import Observing
from dalib.filters.kalman import apply
from dalib.filters.least_squares import GaussNewton
from dalib.filters.linalg import shared
from dalib.filters.steps import Schedule, calls, check_same
from dalib.localise import Localisation
from dalib.smoothers.base import Smoothed, of_ensemble
from dalib.smoothers.var4d import Fit
from dalib.streams import Generator, normal


@dataclass(frozen=True, kw_only=True)
class EnVar4D(Observing):
    """Hybrid four-dimensional ensemble-variational smoother (Liu, Xiao and Wang 2008; Lorenc 2013).

    Of members that run freely from the prior, with mean x_k and anomalies X_k at each time,

        δ_k = √w Σ_n (C a_n) ∘ X_kn / √(N-1) + √(1-w) L v        C Cᵀ = ρ,  L Lᵀ = B
        J(a, v) = ½ Σ_n |a_n|² + ½ |v|² + ½ Σ_k |(y_k - h(x_k + δ_k)) / σ|²

    Time is in X_k: neither a tangent nor an adjoint of the model is taken, and its noise, if any,
    would be in them. The part of B is the same at all times. Each member has its own increment, to
    perturbed observations; the members are then moved so that their mean is the minimum for y.

    Without localisation and with w = 1 and a linear h the mean is that given the sample moments of
    the trajectories.

    Attributes:
        step: the model over one sampling interval, (..., state) -> (..., state); torch or numpy.
        members: N.
        localisation: places, distances and weights ρ, the same at all times; None for ρ = 1.
        background: a `Gaussian`, of which the covariance B (..., state, state) is used; None where
            w = 1.
        weight: w in [0, 1], of the ensemble.
        minimiser: `GaussNewton` or `LBFGS`.
    """

    step: Callable[[Tensor], Tensor]
    members: int = 40
    localisation: Localisation | None = None
    background: Gaussian | None = None
    weight: float = 1.0
    minimiser: Callable = field(default_factory=GaussNewton)

    def __post_init__(self):
        check_members(self.members)
        check_number("weight", self.weight, lambda w: 0 <= w <= 1, "in [0, 1], of the ensemble")
        if self.weight < 1 and self.background is None:
            raise ValueError(
                f"a weight of {self.weight} leaves {1 - self.weight:g} to the background "
                "covariance, and there is none; give background=Gaussian(mean, cov), or weight=1"
            )

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
        """Members given all observations (..., time, obs), NaN where missing; see `smooth`."""
        check_given(self, prior, observations, generator)
        check_observe(at(self, 0).observe, prior.mean, observations)
        check_some(observations)
        check_same(self)
        y = observations.to(prior[0])
        at_steps = calls(schedule, y.shape[-2])
        E = self._trajectories(prior, y, at_steps, generator)
        # the mean and its observations come first, then each member with its own
        centres = torch.cat([E.mean(-3, keepdim=True), E], -3)
        noise = self._noise(E, y, generator)
        fit = Fit(self, y[..., None, :, :].expand(*centres.shape[:-2], *y.shape[-2:]))
        increments, controls = self._increments(E)
        u = E.new_zeros(*centres.shape[:-2], controls).double()

        def misfit(u: Tensor) -> Tensor:
            states = centres + increments(u).to(centres)
            return fit.misfit(states[..., 1:, :]) + noise

        u = self.minimiser(misfit, u, E.dtype)
        found = centres + increments(u).to(centres)
        mean, members = found[..., :1, :, :], found[..., 1:, :, :]
        members = members - members.mean(-3, keepdim=True) + mean
        series = members.movedim(-2, 0).contiguous()  # time first
        before, after = (Ensemble(v[..., 1:, :].transpose(-3, -2)) for v in (E, members))
        moments = (after.mean, after.std, before.mean, before.std)
        return of_ensemble(series, Analyses(*moments, first_nan(after.mean)), kept)

    def _trajectories(
        self, prior: Gaussian | Ensemble, y: Tensor, at_steps: list[int], generator: Generator
    ) -> Tensor:
        """(..., member, time + 1, state), of members that run freely."""
        leading = y.shape[:-2]
        trailing = {"mean": 1, "cov": 2, "members": 2}
        prior = type(prior)(
            *(v.expand(*leading, *v.shape[-trailing[k] :]) for k, v in prior._asdict().items())
        )
        states = [draw_members(prior, self.members, generator)]
        for _ in range(at_steps[-1]):
            states.append(self.step(states[-1].clone()))
        return torch.stack([states[k] for k in (0, *at_steps)], -2)

    def _noise(self, E: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., 1 + member, time obs): of perturbed observations, centred; none for the mean."""
        seen = (~y.isnan()).flatten(-2)[..., None, :]
        noise = normal((*E.shape[:-2], seen.shape[-1]), generator).to(E.device)
        noise = noise - noise.mean(-2, keepdim=True)
        return torch.where(seen, torch.cat([torch.zeros_like(noise[..., :1, :]), noise], -2), 0.0)

    def _increments(self, E: Tensor) -> tuple[Callable[[Tensor], Tensor], int]:
        """δ (..., 1 + member, time + 1, state) of controls (..., 1 + member, n), and n."""
        N, size = E.shape[-3], E.shape[-1]
        X = (E - E.mean(-3, keepdim=True)).double() * math.sqrt(self.weight / (N - 1))
        C = self._root(E)
        sizes = [N * C.shape[-1], size if self.weight < 1 else 0]
        L = None
        if self.weight < 1:
            L = torch.linalg.cholesky(shared(self.background.cov).to(E).double())
            L = L * math.sqrt(1 - self.weight)

        def increments(u: Tensor) -> Tensor:
            a, v = u.split(sizes, -1)
            shares = a.unflatten(-1, (N, -1)) @ C.mT  # (..., 1 + member, N, state or 1)
            δ = (shares[..., None, :] * X[..., None, :, :, :]).sum(-3)
            return δ if L is None else δ + apply(L, v)[..., None, :]

        return increments, sum(sizes)

    def _root(self, E: Tensor) -> Tensor:
        """C (state, rank) with C Cᵀ = ρ, or (1, 1) without localisation."""
        if self.localisation is None:
            return torch.ones(1, 1, dtype=torch.float64, device=E.device)
        eigenvalues, V = torch.linalg.eigh(self.localisation.taper().to(E.device).double())
        large = eigenvalues > 1e-10 * eigenvalues.amax()
        return V[:, large] * eigenvalues[large].sqrt()
