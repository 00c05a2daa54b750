"""Ensemble Kalman filters of large fields, where covariances reach only so far."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Likelihood
from dalib.filters.ensemble import EnsembleFilter, anomalies, centred_noise, whiten
from dalib.filters.linalg import like, solution
from dalib.filters.patches import Patch, patches
from dalib.filters.places import check_count, places_of
from dalib.localise import Localisation
from dalib.streams import Generator

KNOWN = 8  # arrangements of observations whose neighbours are remembered


@dataclass(frozen=True, kw_only=True)
class LocalFilter(EnsembleFilter):
    """What local filters share: where things are, and how far observations reach.

    Neighbours are searched once for each filter as long as observations stand where they stood.

    Attributes:
        localisation: places, distances and weights.
        radius: in place of that of the localisation, so that it can be tuned; None to leave it.
    """

    axes: ClassVar[dict] = {"taper": ("state", "state")}

    localisation: Localisation | None = None
    radius: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.localisation, Localisation):
            raise ValueError(
                f"{type(self).__name__} needs a localisation, such as Ring(4.0).on(40), got "
                f"{type(self.localisation).__name__}; in a configuration "
                "localisation: {kind: ring, radius: 4.0}"
            )
        if self.localisation.matrix is None and self.localisation.radius is None:
            if self.radius is None:
                raise ValueError("localisation needs a radius above 0, got None")
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"localisation needs a radius above 0, got {self.radius}")

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., state), min(1, Σ_j ρ_ij) over the y_j that are not missing."""
        if self.reach.matrix is not None:
            taper = self._taper_seen(forecast)
            return (taper * ~y.isnan()[..., None, :]).sum(-1).clamp(max=1)
        leading = torch.broadcast_shapes(forecast.shape[:-2], y.shape[:-1])
        rows = ~y.isnan().expand(*leading, -1).reshape(math.prod(leading), -1)
        share = forecast.new_zeros(len(rows), forecast.shape[-1])
        for series, found in self._alike(forecast, y):
            for components, seen, taper in found:
                sums = rows[series][:, seen].to(taper) @ taper
                share[series[:, None, None], components] = sums.clamp(max=1)[:, None]
        return share.reshape(*leading, -1)

    @property
    def taper(self) -> Tensor | None:
        """The weights between components where they are given as a matrix."""
        return self.localisation.matrix

    @property
    def reach(self) -> Localisation:
        """Of observations."""
        return self.localisation.within(self.radius)

    def _taper_seen(self, E: Tensor) -> Tensor:
        """ρ (..., state, obs), of a matrix."""
        return taper_seen(self.localisation, self.observe, E)

    def _stand(self, E: Tensor) -> Tensor:
        """Components (obs,) or (..., obs), or points (obs, axis), at which observations stand."""
        size, places = E.shape[-1], self.localisation.places
        if len(places) != size:
            raise ValueError(
                f"there are places for {len(places)} components, but the state has {size}"
            )
        stand = places_of(self.observe, self.localisation.obs_places, E)
        if stand.is_floating_point() and stand.shape[-1] != places.shape[-1]:
            raise ValueError(
                f"obs_places are points with {stand.shape[-1]} coordinates, places of components "
                f"have {places.shape[-1]}"
            )
        return stand

    def _points(self, stand: Tensor) -> Tensor:
        """(..., obs, axis)."""
        places = self.localisation.places
        return stand if stand.is_floating_point() else places[stand.to(places.device)]

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
        found = self._patches_of(points, E)
        return any(((taper > 0).sum(0) >= self._most).any() for _, _, taper in found)

    def _patches(self, E: Tensor) -> list[Patch]:
        """Of observations that stand at the same places in all series."""
        return self._patches_of(self._points(self._stand(E)), E)

    def _patches_of(self, points: Tensor, E: Tensor) -> list[Patch]:
        """Of observations at `points` (obs, axis), infinite where one is left out."""

        def search() -> list[Patch]:
            present = points.isfinite().all(-1)
            found = patches(self.reach, points[present], self._most, E)
            if present.all():
                return found
            index = present.nonzero().flatten().to(E.device)
            return [patch._replace(seen=index[patch.seen]) for patch in found]

        return self._known("patches", points, E, search)

    def _known(self, what: str, points: Tensor, E: Tensor, make: Callable[[], Any]) -> Any:
        """What was made for the same points before, of the last few, or `make()`."""
        key = (what, E.dtype, E.device, self.localisation.places._version)
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
        for series, found in self._alike(E, y):
            own = slice(None) if len(series) == len(X) else series
            S_own, X_own, W_own = S[own], X[own], W[own]
            for components, seen, taper in found:
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
            "taper", points, E, lambda: self.reach.weights(points, points).to(E.device)
        )


def taper_seen(localisation: Localisation, observe: Any, E: Tensor) -> Tensor:
    """ρ (..., state, obs) between components of E (..., member, state) and what is observed."""
    place = places_of(observe, localisation.obs_places, E)
    if place.is_floating_point() and localisation.matrix is not None:
        raise ValueError(
            "obs_places are points; weights that are given as a matrix between components take the "
            "components at which observations stand"
        )
    if place.is_floating_point():
        return like(localisation.weights(localisation.places, place), E)
    taper = like(taper_between(localisation, E), E)
    if place.ndim == 1:
        return taper[..., place]
    place = place[..., None, :].expand(*place.shape[:-1], taper.shape[-1], -1)
    leading = torch.broadcast_shapes(taper.shape[:-2], place.shape[:-2])  # each series its own
    return taper.expand(*leading, -1, -1).gather(-1, place.expand(*leading, -1, -1))


def taper_between(localisation: Localisation, E: Tensor) -> Tensor:
    """ρ (..., state, state) between components of E (..., member, state)."""
    taper, size = localisation.taper(), E.shape[-1]
    if taper.shape[-2:] != (size, size):
        raise ValueError(
            f"the taper is between state components, ({size}, {size}); got {tuple(taper.shape)}"
        )
    return like(taper, E)
