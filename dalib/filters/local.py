"""Ensemble Kalman filters of large fields, where covariances reach only so far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Likelihood
from dalib.filters.ensemble import EnsembleFilter, anomalies, centred_noise, whiten
from dalib.filters.kalman import observation_matrix
from dalib.filters.letkf import letkf_analysis
from dalib.filters.linalg import kept, like, solution
from dalib.filters.local_transform import local_transform
from dalib.filters.patches import COLUMNS, Patch, Reach
from dalib.streams import Generator

BLOCK = 768  # columns transformed together: their arrays stay in cache


@dataclass(frozen=True, kw_only=True)
class LocalFilter(EnsembleFilter):
    """What local filters share: where things are, and how far observations reach.

    An observation stands where its operator looks: at the component it selects or responds to, else
    at that of the largest |dh_j/dx_i| in the first state that is seen. Neighbours are searched once
    for each filter.

    Attributes:
        places: (state, axis), coordinates of components; those at the same place are a column.
            `patches.on_map` gives them of a flat map, in points.
        radius: in the same units, as that of `localise.Ring` and `Grid`: the Gaspari-Cohn function
            has the half-support 1.82 radius, and nothing reaches farther than twice that.
        period: the length of a closed axis, None for one with ends; for each axis, or for all. A
            ring of d sites has the period d.
    """

    places: Tensor | None = None
    radius: float | None = None
    period: Sequence[float | None] | float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.places is None or self.places.ndim != 2:
            found = None if self.places is None else tuple(self.places.shape)
            raise ValueError(
                f"a local filter needs places (state, axis), got {found}; on_map((3, 150, 150)) "
                "gives those of three variables on a map"
            )
        if self.radius is None or not self.radius > 0:
            raise ValueError(f"a local filter needs a radius above 0, got {self.radius}")

    @property
    def reach(self) -> Reach:
        """Of observations."""
        return Reach(self.radius, self.period)

    def _at(self, E: Tensor) -> Tensor:
        """(obs,), the component at whose place each observation stands."""
        size = E.shape[-1]
        if len(self.places) != size:
            raise ValueError(
                f"there are places for {len(self.places)} components, but the state has {size}"
            )
        for index_of in ("selected", "sites"):
            if hasattr(self.observe, index_of):
                return getattr(self.observe, index_of)(size)
        one_state = E.detach().reshape(-1, size)[0]
        return observation_matrix(self.observe, one_state).abs().argmax(-1)


@dataclass(frozen=True, kw_only=True)
class LocalLETKF(LocalFilter):
    """Local ensemble transform Kalman filter (Hunt et al. 2007): `letkf_analysis` by columns.

    Attributes:
        most: how many observations a column has at most, the nearest, missing ones among them; of
            those equally far, which is left open. None for all that reach it.
    """

    most: int | None = 61

    def __post_init__(self):
        super().__post_init__()
        if self.most is not None and self.most < 1:
            raise ValueError(f"most is {self.most}; a column needs at least 1 observation, or None")

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        patches = [patch for patch in self._patches(E) if len(patch.seen)]
        S, d = whiten(predicted, y, self.obs_std)
        if E.requires_grad or S.requires_grad or d.requires_grad:
            return self._differentiable(E, predicted, y, patches)
        leading = torch.broadcast_shapes(E.shape[:-2], y.shape[:-1])
        flat = (
            value.expand(*leading, -1, -1).reshape(-1, *value.shape[-2:]) for value in (E, S, d)
        )
        parts = zip(*(value.split(BLOCK // COLUMNS) for value in flat), strict=True)
        updated = torch.cat([_transformed(*part, patches) for part in parts])
        return updated.reshape(*leading, *E.shape[-2:])

    def _differentiable(
        self, E: Tensor, predicted: Tensor, y: Tensor, patches: list[Patch]
    ) -> Tensor:
        """By eigenvalues, whose derivative is known."""
        updated, obs_std = E.clone(), like(self.obs_std, y).expand_as(y)
        for components, seen, taper in patches:
            some = (predicted[..., seen], y[..., seen], obs_std[..., seen])
            taper = taper.mT.repeat(len(components), 1)
            index = components.flatten()
            updated[..., index] = letkf_analysis(E[..., index], *some, taper)
        return updated

    @kept
    def _patches(self, E: Tensor) -> list[Patch]:
        return self.reach.patches(self.places, self._at(E), self.most, E)


@dataclass(frozen=True, kw_only=True)
class LocalEnKF(LocalFilter):
    """Stochastic ensemble Kalman filter with tapered covariances of and with observations.

        C = I + ρ ∘ SᵀS / (N-1)
        E <- E + (d - S + ε) C⁻¹ (ρ ∘ SᵀX) / (N-1)        ε ~ N(0, I), centred over the members

    with X, S, d of `filters.ensemble`: (Houtekamer and Mitchell 2001, eq. 6) for errors that are
    independent. Of the second covariance, only what is not zero is formed. The likelihood is that
    of y in N(mean h(E), σ C σ). For observations in their thousands C is large; use `LocalLETKF`.
    """

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        """Members given y (..., obs)."""
        return self.scored(belief, y, generator)[0]

    def scored(
        self, forecast: Ensemble, y: Tensor, generator: Generator
    ) -> tuple[Ensemble, Likelihood]:
        """Members given y (..., obs), and how well they foretold it: one factor of C for both."""
        E = forecast.members
        S, d = whiten(self.observe(E), y, self.obs_std)
        noise = centred_noise(S, generator)
        W, likelihood = self._solved(E, S, d - S + noise, d, y)
        W = W / (E.shape[-2] - 1)
        mean, X = anomalies(E)
        updated = E.clone()
        for components, seen, taper in self._patches(E):
            index = components.flatten()
            covariance = S[..., seen].mT @ X[..., index] * taper.repeat(1, len(components))
            updated[..., index] = E[..., index] + W[..., seen] @ covariance
        return Ensemble(self.inflated(updated, y)), likelihood

    def likelihood(self, forecast: Ensemble, y: Tensor) -> Likelihood:
        """Of y (..., obs) in N(mean h(E), σ C σ)."""
        E = forecast.members
        S, d = whiten(self.observe(E), y, self.obs_std)
        return self._solved(E, S, S[..., :0, :], d, y)[1]

    def _solved(
        self, E: Tensor, S: Tensor, D: Tensor, d: Tensor, y: Tensor
    ) -> tuple[Tensor, Likelihood]:
        """D C⁻¹ and the likelihood of y. A missing y has unit variance and deviates by 0."""
        C = self._taper(E) * (S.mT @ S) / (S.shape[-2] - 1)
        C.diagonal(dim1=-2, dim2=-1).add_(1)
        W, misfit, log_det = solution(C, D, d)
        seen, obs_std = ~y.isnan(), like(self.obs_std, y).expand_as(y)
        log_det = log_det + torch.where(seen, 2 * obs_std.log(), 0.0).sum(-1)
        return W, Likelihood(log_det, misfit, seen.sum(-1))

    @kept
    def _patches(self, E: Tensor) -> list[Patch]:
        return self.reach.patches(self.places, self._at(E), None, E)

    @kept
    def _taper(self, E: Tensor) -> Tensor:
        """ρ (obs, obs)."""
        stand = self.places[self._at(E).to(self.places.device)]
        return self.reach.taper(stand, stand).to(E)


def _transformed(E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """(seed, member, state) from E, S (seed, member, obs) and d (seed, 1, obs)."""
    updated, mean = E.clone(), E.mean(-2, keepdim=True)
    seeds, N, p = S.shape
    pairs = _pairs(N, E.device)
    S, Sd = S.transpose(0, 1).contiguous(), (S * d).transpose(0, 1).contiguous()
    for block in _blocks(patches, seeds):
        products = torch.cat([_products(S, Sd, patch, pairs) for patch in block], -1)
        components = torch.cat([patch.components for patch in block], -1)
        here = mean[..., components]
        X = (E[..., components] - here).permute(2, 1, 0, 3)
        rows = torch.cat([products[pairs.place], X]).flatten(2)
        X = local_transform(rows).unflatten(-1, X.shape[2:])
        updated[..., components] = here + X.permute(2, 1, 0, 3)
    return updated


class _Pairs(NamedTuple):
    """Members i <= j (pair,), and where the rows of A and b are among the products (N + 1, N)."""

    i: Tensor
    j: Tensor
    place: Tensor


@lru_cache(maxsize=8)
def _pairs(N: int, device: torch.device) -> _Pairs:
    i, j = torch.triu_indices(N, N, device=device)
    place = torch.arange(len(i), len(i) + N, device=device).repeat(N + 1, 1)
    place[i, j] = place[j, i] = torch.arange(len(i), device=device)
    return _Pairs(i, j, place)


def _products(S: Tensor, Sd: Tensor, patch: Patch, pairs: _Pairs) -> Tensor:
    """(pair + N, seed, column): S ρ Sᵀ / (N-1) of each pair of members, and S ρ dᵀ of each.

    Both are linear in ρ: one product of matrices serves all columns of the patch.
    """
    S, Sd = S[..., patch.seen], Sd[..., patch.seen]
    squares = S[pairs.i] * (S / (len(S) - 1))[pairs.j]
    return torch.cat([squares, Sd]) @ patch.taper


def _blocks(patches: list[Patch], seeds: int) -> Iterator[list[Patch]]:
    together = max(1, BLOCK // (COLUMNS * seeds))
    for first in range(0, len(patches), together):
        yield patches[first : first + together]
