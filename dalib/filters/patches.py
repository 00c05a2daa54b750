"""Which observations reach which part of a field, and with which weights.

Variables at the same place are a column, updated together. Columns near each other are a patch,
whose observations are few more than those of one column: so no array has both the size of the
state and that of the observations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dalib.localise import gaspari_cohn, weights

COLUMNS = 64


class Patch(NamedTuple):
    """Columns near each other and the observations that reach any of them.

    components: (variable, column), indices of the state; where a column has fewer variables than
        others, its last one again.
    seen: (near,), indices of observations.
    taper: (near, column), ρ.
    """

    components: Tensor
    seen: Tensor
    taper: Tensor


def on_map(shape: Sequence[int]) -> Tensor:
    """(state, axis), places in points of a flat state (variable, x, y), or (variable, x)."""
    sides = [torch.arange(n, dtype=torch.float64) for n in shape[1:]]
    points = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)
    return points.reshape(-1, len(sides)).repeat(shape[0], 1)


@dataclass(frozen=True)
class Reach:
    """How far an observation reaches: ρ of Gaspari and Cohn, as `localise.Ring` and `Grid`.

    With `localise.on_sphere` for places, that is over the globe.

    Attributes:
        radius: in the units of places; ρ is about exp(-1/2) there and 0 at twice the half-support
            1.82 radius.
        period: the length of a closed axis, None for one with ends; for each axis, or for all.
    """

    radius: float
    period: Sequence[float | None] | float | None = None

    @property
    def half_support(self) -> float:
        """c, in the units of places."""
        return 1.82 * self.radius

    def taper(self, places: Tensor, others: Tensor) -> Tensor:
        """ρ (..., n, m) between places (..., n, axis) and (..., m, axis)."""
        apart = places[..., :, None, :].double() - others[..., None, :, :].double()
        periods = [length or None for length in self._box(places.shape[-1]).tolist()]
        return weights(apart, self.half_support, periods)

    def patches(self, places: Tensor, seen: Tensor, most: int | None, x: Tensor) -> list[Patch]:
        """All columns of a state, with weights of the type and on the device of x.

        Args:
            places: (state, axis).
            seen: (obs, axis), where observations stand.
            most: how many observations a column has at most, the nearest; None for no bound.
        """
        points, components = _columns(self._wrapped(places))
        observations = self._tree(self._wrapped(seen))
        order = self._tree(points).indices  # what is near in space is near in this order
        chunks = np.split(order, range(COLUMNS, len(order), COLUMNS))
        return [
            self._patch(points[columns], components[:, columns], observations, most, x)
            for columns in chunks
        ]

    def _patch(
        self, points: np.ndarray, components: np.ndarray, tree: cKDTree, most: int | None, x: Tensor
    ) -> Patch:
        reach = 2 * self.half_support
        if most is None:
            most = tree.query_ball_point(points, reach, return_length=True).max()
        nearest = range(1, 1 + max(1, min(most, tree.n)))
        distance, index = tree.query(points, k=nearest, distance_upper_bound=reach)
        column, nth = np.nonzero(distance < np.inf)
        seen, row = np.unique(index[column, nth], return_inverse=True)
        rho = torch.zeros(len(seen), len(points), dtype=torch.float64)
        taper = gaspari_cohn(torch.from_numpy(distance[column, nth] / self.half_support))
        row, column = torch.from_numpy(row), torch.from_numpy(column)
        if ((box := tree.boxsize) is not None) and (box[box > 0] < 4 * self.half_support).any():
            there = torch.from_numpy(tree.data[seen])  # more than the shorter way round counts
            taper = self.taper(there, torch.from_numpy(points))[row, column]
        rho[row, column] = taper
        components, seen = (torch.from_numpy(value).to(x.device) for value in (components, seen))
        return Patch(components, seen, rho.to(x))

    def _tree(self, points: np.ndarray) -> cKDTree:
        box = self._box(points.shape[1])
        return cKDTree(points, leafsize=COLUMNS // 4, boxsize=box if box.any() else None)

    def _wrapped(self, places: Tensor) -> np.ndarray:
        """(state, axis), closed axes in [0, period)."""
        places = places.detach().cpu().double().numpy()
        box = self._box(places.shape[1])
        length = np.where(box > 0, box, np.inf)
        places = np.where(box > 0, places % length, places)
        return np.where(places < length, places, 0.0)  # the remainder of -1e-20

    def _box(self, axes: int) -> np.ndarray:
        """(axis,), the period of each axis, 0 for none."""
        period = self.period
        periods = [period] * axes if period is None or np.isscalar(period) else list(period)
        if len(periods) != axes or any(length is not None and length <= 0 for length in periods):
            raise ValueError(
                f"the period is {period}, of places with {axes} axes; give a positive length, or "
                "None for an axis with ends, for all axes or for each"
            )
        return np.array([length or 0.0 for length in periods])


def _columns(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct places (column, axis) and the components at each (variable, column)."""
    points, column = np.unique(places, axis=0, return_inverse=True)
    count = np.bincount(column.ravel())
    first = np.cumsum(count) - count
    nth = np.minimum(np.arange(count.max())[:, None], count - 1)
    return points, np.argsort(column.ravel(), kind="stable")[first + nth]
