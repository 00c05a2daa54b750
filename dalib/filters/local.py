"""Which observations reach which components, for filters whose covariances reach only so far."""

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib.filters.errors import Whitened
from dalib.filters.linalg import aside, known, like, plain
from dalib.filters.patches import Patch, patches
from dalib.filters.places import check_count, places_of
from dalib.localise import Localisation

NEAR = 0.5  # weight to the middle of its block that an observation needs: within about a radius
KNOWN = 8  # arrangements of observations whose neighbours are remembered


class Local:
    """What local filters share: where things are, and how far observations reach.

    Neighbours are searched once for each filter as long as observations stand where they stood. A
    filter has the fields

        localisation: places, distances and weights
        radius: in place of that of the localisation, so that it can be tuned; None to leave it
    """

    axes: ClassVar[dict] = {"taper": ("state", "state")}

    def _check_radius(self) -> None:
        """Refuse a localisation between places that has no radius."""
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"localisation needs a radius above 0, got {self.radius}")
        where = self.localisation
        if where is not None and where.matrix is None and where.radius is self.radius is None:
            raise ValueError("localisation needs a radius above 0, got None")

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., state), min(1, Σ_j ρ_ij) over the y_j that are not missing."""
        if self.localisation is None:
            return super().reached(forecast, y)
        if not self._between_places:
            observe = self.observe
            if isinstance(observe, Whitened):  # a tapered covariance takes any errors
                observe = observe.observe
            taper = taper_seen(self.localisation, observe, forecast)
            return (taper * ~y.isnan()[..., None, :]).sum(-1).clamp(max=1)
        leading = torch.broadcast_shapes(forecast.shape[:-2], y.shape[:-1])
        rows = ~y.isnan().expand(*leading, -1).reshape(math.prod(leading), -1)
        share = forecast.new_zeros(len(rows), forecast.shape[-1])
        if not plain():
            share = share + torch.zeros_like(rows[:, :1]).to(share)
        for series, found in self._alike(forecast, y):
            for components, seen, taper in found:
                sums = rows[series][:, seen].to(taper) @ taper
                share[series[:, None, None], components] = sums.clamp(max=1)[:, None]
        return share.reshape(*leading, -1)

    @property
    def taper(self) -> Tensor | None:
        """The weights between components where they are given as a matrix."""
        return None if self.localisation is None else self.localisation.matrix

    @property
    def _between_places(self) -> bool:
        """Whether weights come from distances, so that only what is near need be looked at."""
        return self.localisation is not None and self.localisation.matrix is None

    @property
    def reach(self) -> Localisation:
        """Of observations."""
        return self.localisation.within(self.radius)

    def _stand(self, E: Tensor) -> Tensor:
        """Components (obs,) or (..., obs), or points (obs, axis), at which observations stand."""
        size, places = E.shape[-1], self.localisation.places
        if len(places) != size:
            raise ValueError(
                f"there are places for {len(places)} components, but the state has {size}"
            )
        stand = stand_of(self.reach, self.observe, E)
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
        with aside():
            points = self._points(self._stand(E))
        gone = y.isnan()
        check_count(points.shape[-2], y)
        gone = (gone & ~gone.all(-1, keepdim=True)).to(points.device)
        few = self._most is None or y.shape[-1] <= self._most
        if not plain() and not few and not known(~gone.any()):
            raise ValueError(
                "which observations are nearest depends on which are missing, and torch.func.vmap "
                "does not show that; give most=None, or the series as a leading axis"
            )
        if points.ndim == 2 and (few or known(~gone.any()) or not self._crowded(points, E)):
            with aside():
                found = self._patches_of(points, E)
            yield series, found
            return
        if not plain():
            raise ValueError(
                "observations of each series stand elsewhere, which torch.func hides; give "
                "obs_places, or the series as a leading axis"
            )
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
        if torch._C._functorch.is_functorch_wrapped_tensor(points):
            return make()  # what a transform made is its own
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


def stand_of(localisation: Localisation, observe: Any, E: Tensor) -> Tensor:
    """Components (obs,) or (..., obs), or points (obs, axis), at which observations stand.

    Those of correlated errors act together, ρ R⁻¹ of a block of R, and stand at its middle: where
    the weights to the others of the block have the largest sum.

    Raises:
        ValueError: a block has observations far from its middle.
    """
    stand = places_of(observe, localisation.obs_places, E)
    if not isinstance(observe, Whitened):
        return stand
    if localisation.matrix is None:
        points = stand if stand.is_floating_point() else localisation.places[stand]
        rho = localisation.weights(points, points)
    else:
        rho = localisation.matrix[..., stand[..., :, None], stand[..., None, :]]
    block = observe.blocks().to(rho.device)
    same = block[:, None] == block[None, :]
    total = torch.where(same, rho, 0.0).sum(-1, keepdim=True).mT
    middle = torch.where(same, total, -1.0).argmax(-1)
    weight = rho.gather(-1, middle[..., None])
    if (weight < NEAR).any():
        raise ValueError(
            f"obs_cov links observations whose weight to the middle of their block is down to "
            f"{weight.min().item():.2g}; a local method takes errors that are independent, or "
            f"correlated in blocks of observations near each other (weights of at least {NEAR}): "
            "let covariances end, or take a larger radius, or a method without localisation"
        )
    middle = middle.to(stand.device)
    return (
        stand[middle]
        if stand.is_floating_point()
        else stand.expand(middle.shape).gather(-1, middle)
    )


def taper_seen(localisation: Localisation, observe: Any, E: Tensor) -> Tensor:
    """ρ (..., state, obs) between components of E (..., member, state) and what is observed."""
    place = stand_of(localisation, observe, E)
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
    size = E.shape[-1]
    with aside():  # it is kept
        taper = localisation.taper()
    if taper.shape[-2:] != (size, size):
        raise ValueError(
            f"the taper is between state components, ({size}, {size}); got {tuple(taper.shape)}"
        )
    return like(taper, E)
