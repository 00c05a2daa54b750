"""Localisation: distances between places and the weights that fall off with them."""

from dataclasses import dataclass

import torch
from torch import Tensor


def gaspari_cohn(z: Tensor) -> Tensor:
    """Compactly supported correlation of z = distance / c >= 0 (Gaspari and Cohn 1999, eq. 4.10).

    0 <= z < 1:  1 - 5/3 z² + 5/8 z³ + 1/2 z⁴ - 1/4 z⁵
    1 <= z < 2:  4 - 5 z + 5/3 z² + 5/8 z³ - 1/2 z⁴ + 1/12 z⁵ - 2/(3 z)
    2 <= z:      0
    """
    near = 1 + z**2 * (-5 / 3 + z * (5 / 8 + z * (1 / 2 - z / 4)))
    far_z = z.clamp(min=1)  # 1/z only where it is used
    far = 4 - 2 / (3 * far_z)
    far = far + far_z * (-5 + far_z * (5 / 3 + far_z * (5 / 8 + far_z * (-1 / 2 + far_z / 12))))
    return torch.where(z < 1, near, torch.where(z < 2, far, 0.0))


def ring_distance(a: Tensor, b: Tensor, size: float) -> Tensor:
    """Shorter way round a ring of circumference `size`; a and b broadcast."""
    apart = (a - b).abs() % size
    return torch.minimum(apart, size - apart)


@dataclass(frozen=True)
class Ring:
    """Weights on a ring of equidistant sites, about exp(-1/2) at distance `radius`, 0 at 2c.

    The half-support parameter of the Gaspari-Cohn function is c = 1.82 radius; who knows c gives
    radius = c / 1.82. As the taper of a covariance it is positive semi-definite on any ring of at
    least 4c sites.
    """

    radius: float

    @property
    def half_support(self) -> float:
        """c, in sites."""
        return 1.82 * self.radius

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Sites (n,) and (m,) of a ring of `size` -> weights (n, m)."""
        distance = ring_distance(places[:, None].double(), seen.double(), size)
        return gaspari_cohn(distance / self.half_support)


@dataclass(frozen=True)
class Grid:
    """Weights on a map of `shape` (x, y), not periodic, about exp(-1/2) at distance `radius`.

    Distances are Euclidean, in points. Places are indices of a flat state (variable, x, y), of any
    number of variables on the same points: all variables at a point are at distance 0. `radius` and
    the half-support 1.82 radius are those of `Ring`.
    """

    shape: tuple[int, int]
    radius: float

    @property
    def half_support(self) -> float:
        """c, in points."""
        return 1.82 * self.radius

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Places (n,) and (m,) of a flat state of `size` components -> weights (n, m)."""
        points = self.shape[0] * self.shape[1]
        if size % points:
            raise ValueError(
                f"a state on a map of {self.shape[0]} x {self.shape[1]} points has a multiple of "
                f"{points} components, got {size}"
            )
        (x, y), (x_seen, y_seen) = (self._at(p % points) for p in (places, seen))
        distance = torch.hypot(x[:, None] - x_seen, y[:, None] - y_seen)
        return gaspari_cohn(distance / self.half_support)

    def _at(self, point: Tensor) -> tuple[Tensor, Tensor]:
        return (point // self.shape[1]).double(), (point % self.shape[1]).double()
