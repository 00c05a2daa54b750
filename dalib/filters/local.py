"""Ensemble Kalman filters of large fields, where covariances reach only so far."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Likelihood
from dalib.filters.ensemble import EnsembleFilter, anomalies, centred_noise, whiten
from dalib.filters.letkf import localised
from dalib.filters.linalg import PRECISE, like, solution
from dalib.filters.local_transform import local_transform, trace
from dalib.filters.patches import COLUMNS, Patch, Reach
from dalib.filters.places import check_count, places_of
from dalib.streams import Generator

BLOCK = 768  # columns transformed together: their arrays stay in cache
LIMIT = {torch.float32: PRECISE, torch.float64: 1e-5}  # as PRECISE, of what is fast
KNOWN = 8  # arrangements of observations whose neighbours are remembered


@dataclass(frozen=True, kw_only=True)
class LocalFilter(EnsembleFilter):
    """What local filters share: where things are, and how far observations reach.

    Neighbours are searched once for each filter as long as observations stand where they stood.

    Attributes:
        places: (state, axis), coordinates of components; those at the same place are a column.
            `patches.on_map` gives them of a flat map, in points, `localise.on_sphere` of one of
            latitudes and longitudes.
        radius: in the same units, as that of `localise.Ring` and `Grid`: the Gaspari-Cohn function
            has the half-support 1.82 radius, and nothing reaches farther than twice that.
        period: the length of a closed axis, None for one with ends; for each axis, or for all. A
            ring of d sites has the period d.
        obs_places: where observations stand: points (obs, axis) like `places`, or (obs,) the
            components whose places they are; None for what the operator looks at (see
            `filters.places`).
    """

    places: Tensor | None = None
    radius: float | None = None
    period: Sequence[float | None] | float | None = None
    obs_places: Tensor | None = None

    def __post_init__(self):
        super().__post_init__()
        places = self.places if isinstance(self.places, Tensor) else None
        if places is None or places.ndim != 2 or not places.isfinite().all():
            raise ValueError(
                "a local filter needs places (state, axis), a finite tensor, got "
                f"{_shape(self.places)}; on_map((3, 150, 150)) gives those of three variables on a "
                "map"
            )
        if self.radius is None or not self.radius > 0:
            raise ValueError(f"a local filter needs a radius above 0, got {self.radius}")

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., state), min(1, Σ_j ρ_ij) over the y_j that are not missing."""
        leading = torch.broadcast_shapes(forecast.shape[:-2], y.shape[:-1])
        rows = ~y.isnan().expand(*leading, -1).reshape(math.prod(leading), -1)
        share = forecast.new_zeros(len(rows), forecast.shape[-1])
        for series, patches in self._alike(forecast, y):
            for components, seen, taper in patches:
                sums = rows[series][:, seen].to(taper) @ taper
                share[series[:, None, None], components] = sums.clamp(max=1)[:, None]
        return share.reshape(*leading, -1)

    @property
    def reach(self) -> Reach:
        """Of observations."""
        return Reach(self.radius, self.period)

    def _stand(self, E: Tensor) -> Tensor:
        """Components (obs,) or (..., obs), or points (obs, axis), at which observations stand."""
        size = E.shape[-1]
        if len(self.places) != size:
            raise ValueError(
                f"there are places for {len(self.places)} components, but the state has {size}"
            )
        stand = places_of(self.observe, self.obs_places, E)
        if stand.is_floating_point() and stand.shape[-1] != self.places.shape[-1]:
            raise ValueError(
                f"obs_places are points with {stand.shape[-1]} coordinates, places of components "
                f"have {self.places.shape[-1]}"
            )
        return stand

    def _points(self, stand: Tensor) -> Tensor:
        """(..., obs, axis)."""
        return stand if stand.is_floating_point() else self.places[stand.to(self.places.device)]

    def _alike(self, E: Tensor, y: Tensor) -> Iterator[tuple[Tensor, list[Patch]]]:
        """Series (flat index) with observations at the same places, and their patches.

        What is missing counts only where columns take no more than the nearest few.
        """
        leading = torch.broadcast_shapes(E.shape[:-2], y.shape[:-1])
        series = torch.arange(math.prod(leading), device=E.device)
        points, gone = self._points(self._stand(E)), y.isnan()
        check_count(points.shape[-2], y)
        gone = (gone & ~gone.all(-1, keepdim=True)).to(points.device)
        if points.ndim == 2 and not (gone.any() and self._crowded(points, E)):
            yield series, self._patches_of(points, E)
            return
        points = torch.where(gone[..., None], torch.inf, points.double())
        points = points.expand(*leading, -1, -1).reshape(len(series), *points.shape[-2:])
        kinds, kind = points.unique(dim=0, return_inverse=True)
        for i, own in enumerate(kinds):
            yield series[(kind == i).to(E.device)], self._patches_of(own, E)

    def _crowded(self, points: Tensor, E: Tensor) -> bool:
        """Whether more observations may reach a column than it takes."""
        if self._most is None:
            return False
        patches = self._patches_of(points, E)
        return any(((taper > 0).sum(0) >= self._most).any() for _, _, taper in patches)

    def _patches(self, E: Tensor) -> list[Patch]:
        """Of observations that stand at the same places in all series."""
        return self._patches_of(self._points(self._stand(E)), E)

    def _patches_of(self, points: Tensor, E: Tensor) -> list[Patch]:
        """Of observations at `points` (obs, axis), infinite where one is left out."""

        def search() -> list[Patch]:
            present = points.isfinite().all(-1)
            patches = self.reach.patches(self.places, points[present], self._most, E)
            if present.all():
                return patches
            index = present.nonzero().flatten().to(E.device)
            return [patch._replace(seen=index[patch.seen]) for patch in patches]

        return self._known("patches", points, E, search)

    def _known(self, what: str, points: Tensor, E: Tensor, make: Callable[[], Any]) -> Any:
        """What was made for the same points before, of the last few, or `make()`."""
        key = (what, E.dtype, E.device, self.places._version)
        known = self.__dict__.setdefault("_made", [])
        for of, at, made in known:
            if of == key and torch.equal(at, points):
                return made
        made = make()
        known[:] = [*known[1 - KNOWN :], (key, points.clone(), made)]  # given ones may change
        return made

    @property
    def _most(self) -> int | None:
        return None


@dataclass(frozen=True, kw_only=True)
class LocalLETKF(LocalFilter):
    """Local ensemble transform Kalman filter (Hunt et al. 2007): `letkf_analysis` by columns.

    Attributes:
        most: how many observations a column has at most, the nearest that are not missing; of those
            equally far, which is left open. None for all that reach it.
    """

    most: int | None = 61

    def __post_init__(self):
        super().__post_init__()
        if self.most is not None and self.most < 1:
            raise ValueError(f"most is {self.most}; a column needs at least 1 observation, or None")

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state), by eigenvalues where derivatives are asked for."""
        if y.isnan().all():
            return E
        S, d = whiten(predicted, y, self.obs_std)
        leading = torch.broadcast_shapes(E.shape[:-2], y.shape[:-1])
        slopes = E.requires_grad or S.requires_grad or d.requires_grad
        update = _by_eigenvalues if slopes else _transformed
        flat = [
            value.expand(*leading, -1, -1).reshape(-1, *value.shape[-2:]) for value in (E, S, d)
        ]
        alike = list(self._alike(E, y))
        if len(alike) == 1:
            return _in_parts(update, *flat, alike[0][1]).reshape(*leading, *E.shape[-2:])
        updated = torch.cat([_in_parts(update, *(v[i] for v in flat), own) for i, own in alike])
        back = torch.cat([series for series, _ in alike]).argsort()
        return updated[back].reshape(*leading, *E.shape[-2:])

    @property
    def _most(self) -> int | None:
        return self.most


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
        if not y.shape[-1]:
            return forecast, likelihood
        leading, X = torch.broadcast_shapes(E.shape[:-2], y.shape[:-1]), anomalies(E)[1]
        flat = (
            value.expand(*leading, -1, -1).reshape(-1, *value.shape[-2:]) for value in (S, X, W)
        )
        S, X, W = flat
        moves = X.new_zeros(X.shape)
        for series, patches in self._alike(E, y):
            own = slice(None) if len(series) == len(X) else series
            S_own, X_own, W_own = S[own], X[own], W[own]
            for components, seen, taper in patches:
                index = components.flatten()
                covariance = S_own[..., seen].mT @ X_own[..., index].to(S)
                covariance = covariance * taper.to(S).repeat(1, len(components))
                move = (W_own[..., seen] @ covariance).to(E)
                if isinstance(own, slice):
                    moves[..., index] = move
                else:
                    moves[own[:, None], :, index] = move.transpose(1, 2)
        updated = E + moves.reshape(*leading, *E.shape[-2:])
        return Ensemble(self.inflated(updated, E, y)), likelihood

    def likelihood(self, forecast: Ensemble, y: Tensor) -> Likelihood:
        """Of y (..., obs) in N(mean h(E), σ C σ)."""
        E = forecast.members
        S, d = whiten(self.observe(E), y, self.obs_std)
        return self._solved(E, S, S[..., :0, :], d, y)[1]

    def _solved(
        self, E: Tensor, S: Tensor, D: Tensor, d: Tensor, y: Tensor
    ) -> tuple[Tensor, Likelihood]:
        """D C⁻¹ and the likelihood of y. A missing y has unit variance and deviates by 0."""
        taper = self._taper(E)
        check_count(taper.shape[-1], y)
        C = taper * (S.mT @ S) / (S.shape[-2] - 1)
        C.diagonal(dim1=-2, dim2=-1).add_(1)
        W, misfit, log_det = solution(C, D, d)
        seen, obs_std = ~y.isnan(), like(self.obs_std, d).expand_as(y)
        log_det = log_det + torch.where(seen, 2 * obs_std.log(), 0.0).sum(-1)
        return W, Likelihood(log_det.to(y), misfit.to(y), seen.sum(-1))

    def _taper(self, E: Tensor) -> Tensor:
        """ρ (obs, obs), or (..., obs, obs) where series differ."""
        points = self._points(self._stand(E))
        return self._known(
            "taper", points, E, lambda: self.reach.taper(points, points).to(E.device)
        )


def _shape(given: Any) -> str:
    if not hasattr(given, "shape"):
        return repr(given)
    return f"a {type(given).__name__} of shape {tuple(given.shape)}"


def _in_parts(update: Callable, E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """(series, member, state), so many series at once as a block takes."""
    patches = [patch for patch in patches if len(patch.seen)]
    parts = zip(*(value.split(BLOCK // COLUMNS) for value in (E, S, d)), strict=True)
    return torch.cat([update(*part, patches) for part in parts])


def _by_eigenvalues(E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """`_transformed`, with derivatives, and whatever the condition."""
    updated = E.clone()
    for components, seen, taper in patches:
        index = components.flatten()
        taper = taper.mT.repeat(len(components), 1)
        updated[..., index] = localised(E[..., index], S[..., seen], d[..., seen], taper)
    return updated


def _transformed(E: Tensor, S: Tensor, d: Tensor, patches: list[Patch]) -> Tensor:
    """(series, member, state) from E, S (series, member, obs) and d (series, 1, obs).

    In the precision of E where its digits suffice for 1 + A, else in float64, else one column
    after the other.
    """
    updated, mean = E.clone(), E.mean(-2, keepdim=True)
    S, Sd = S.transpose(0, 1).contiguous(), (S * d).transpose(0, 1).contiguous()
    given = {E.dtype: (S.to(E), Sd.to(E)), torch.float64: (S, Sd)}
    for block in _blocks(patches, len(E)):
        components = torch.cat([patch.components for patch in block], -1)
        here = mean[..., components]
        for dtype, (S_own, Sd_own) in given.items():
            X = (E[..., components] - here).to(dtype).permute(2, 1, 0, 3)
            rows = _rows(S_own, Sd_own, X, block)
            largest = 1 + trace(rows)
            if largest * torch.finfo(dtype).eps < LIMIT[dtype]:
                X = local_transform(rows, largest).unflatten(-1, X.shape[2:])
                updated[..., components] = here + X.permute(2, 1, 0, 3).to(E)
                break
        else:
            updated = _by_eigenvalues(updated, S.transpose(0, 1), d, block)
    return updated


def _rows(S: Tensor, Sd: Tensor, X: Tensor, block: list[Patch]) -> Tensor:
    """(N + 1 + variable, N, column) for `local_transform`."""
    pairs = _pairs(len(S), S.device)
    products = torch.cat([_products(S, Sd, patch, pairs) for patch in block], -1)
    return torch.cat([products[pairs.place], X]).flatten(2)


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
    return torch.cat([squares, Sd]) @ patch.taper.to(S)


def _blocks(patches: list[Patch], seeds: int) -> Iterator[list[Patch]]:
    together = max(1, BLOCK // (COLUMNS * seeds))
    for first in range(0, len(patches), together):
        yield patches[first : first + together]
