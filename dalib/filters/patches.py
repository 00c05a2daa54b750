"""Which observations reach which part of a field, and with which weights.

Variables at the same place are a column, updated together. Columns near each other are a patch,
whose observations are few more than those of one column: so no array has both the size of the
state and that of the observations.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dalib.localise import Localisation, gaspari_cohn

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


def patches(localisation: Localisation, seen: Tensor, most: int | None, x: Tensor) -> list[Patch]:
    """All columns of a state, with weights of the type and on the device of x.

    Args:
        seen: (obs, axis), where observations stand.
        most: how many observations a column has at most, the nearest; None for no bound.
    """
    box = np.array([length or 0.0 for length in localisation.periods])
    points, components = _columns(_wrapped(localisation.places, box))
    observations = _tree(_wrapped(seen, box), box)
    order = _tree(points, box).indices  # what is near in space is near in this order
    chunks = np.split(order, range(COLUMNS, len(order), COLUMNS))
    return [
        _patch(localisation, points[columns], components[:, columns], observations, most, x)
        for columns in chunks
    ]


def _patch(
    localisation: Localisation,
    points: np.ndarray,
    components: np.ndarray,
    tree: cKDTree,
    most: int | None,
    x: Tensor,
) -> Patch:
    c = localisation.half_support
    if most is None:
        most = tree.query_ball_point(points, 2 * c, return_length=True).max()
    nearest = range(1, 1 + max(1, min(most, tree.n)))
    distance, index = tree.query(points, k=nearest, distance_upper_bound=2 * c)
    column, nth = np.nonzero(distance < np.inf)
    seen, row = np.unique(index[column, nth], return_inverse=True)
    rho = torch.zeros(len(seen), len(points), dtype=torch.float64)
    taper = gaspari_cohn(torch.from_numpy(distance[column, nth] / c))
    row, column = torch.from_numpy(row), torch.from_numpy(column)
    if ((box := tree.boxsize) is not None) and (box[box > 0] < 4 * c).any():
        there = torch.from_numpy(tree.data[seen])  # more than the shorter way round counts
        taper = localisation.weights(there, torch.from_numpy(points))[row, column]
    rho[row, column] = taper
    components, seen = (torch.from_numpy(value).to(x.device) for value in (components, seen))
    return Patch(components, seen, rho.to(x))


def _tree(points: np.ndarray, box: np.ndarray) -> cKDTree:
    return cKDTree(points, leafsize=COLUMNS // 4, boxsize=box if box.any() else None)


def _wrapped(places: Tensor, box: np.ndarray) -> np.ndarray:
    """(state, axis), closed axes in [0, period)."""
    places = places.detach().cpu().double().numpy()
    length = np.where(box > 0, box, np.inf)
    places = np.where(box > 0, places % length, places)
    return np.where(places < length, places, 0.0)  # the remainder of -1e-20


def _columns(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct places (column, axis) and the components at each (variable, column)."""
    points, column = np.unique(places, axis=0, return_inverse=True)
    count = np.bincount(column.ravel())
    first = np.cumsum(count) - count
    nth = np.minimum(np.arange(count.max())[:, None], count - 1)
    return points, np.argsort(column.ravel(), kind="stable")[first + nth]
