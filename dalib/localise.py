"""Localisation: distances between places and the weights that fall off with them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IMAGES = 40  # periods of a closed axis that a taper may reach over


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


def weights(apart: Tensor, half_support: Tensor | float, periods: Sequence[float | None]) -> Tensor:
    """ρ (...) of Gaspari and Cohn at differences `apart` (..., axis) between places.

    A closed axis brings everything back at every period L. All that reaches is summed,

        ρ = Σ_k g(|apart + k L| / c) / Σ_k g(|k L| / c)

    whose spectrum is positive as that of g: a covariance for any L. From L = 4c on it is g of the
    shorter way round alone, which is no covariance of a shorter ring.

    Args:
        half_support: c, a number or (...).
        periods: L of each axis, None for one with ends.
    """
    shortest, reach = [], 2 * float(torch.as_tensor(half_support).detach().max())
    images: list[Sequence[float]] = []
    for difference, period in zip(apart.unbind(-1), periods, strict=True):
        if period is None:
            shortest.append(difference.abs())
            images.append([0.0])
            continue
        around = difference.abs() % period
        shortest.append(torch.minimum(around, period - around))
        if reach > IMAGES * period and len(periods) == 1:
            return torch.ones_like(apart[..., 0] / half_support)  # to 1e-8
        if reach > IMAGES * period:
            raise ValueError(
                f"a half-support of {reach / 2:g} goes {reach / period:.0f} times round a closed "
                f"axis of length {period:g}; give at most {IMAGES // 2} lengths"
            )
        count = int(reach / period + 0.5) if 2 * reach > period else 0
        images.append([k * period for k in range(-count, count + 1)])

    def g(shift: tuple[float, ...]) -> Tensor:
        moved = [a + s if s else a for a, s in zip(shortest, shift, strict=True)]
        distance = (
            moved[0].abs()
            if len(moved) == 1
            else torch.linalg.vector_norm(torch.stack(moved, -1), dim=-1)
        )
        return gaspari_cohn(distance / half_support)

    shifts = list(itertools.product(*images))
    if len(shifts) == 1:
        return g(shifts[0])
    lengths = torch.tensor(shifts, dtype=apart.dtype, device=apart.device).norm(dim=-1)
    at_zero = sum(gaspari_cohn(length / half_support) for length in lengths)
    return sum(map(g, shifts)) / at_zero


def on_sphere(lat: Tensor, lon: Tensor, variables: int = 1, radius: float = 6371.0) -> Tensor:
    """(state, 3), places of a flat state (variable, lat, lon) on a sphere, in units of its radius.

    Distances between them are chords, which know neither the seam of the map nor its poles, and of
    which the Gaspari-Cohn function is a covariance. A chord c is 2 radius asin(c / 2 radius) on the
    sphere: 3 % less than that at 45 degrees.

    Args:
        lat, lon: (lat,) and (lon,), degrees.
        radius: that of the Earth in km by default.
    """
    φ, λ = torch.meshgrid(lat.double().deg2rad(), lon.double().deg2rad(), indexing="ij")
    points = torch.stack([φ.cos() * λ.cos(), φ.cos() * λ.sin(), φ.sin()], -1)
    return radius * points.reshape(-1, 3).repeat(variables, 1)


@dataclass(frozen=True)
class Ring:
    """Weights on a ring of equidistant sites, about exp(-1/2) at distance `radius`, 0 at 2c.

    The half-support parameter of the Gaspari-Cohn function is c = 1.82 radius; who knows c gives
    radius = c / 1.82. On a ring of fewer than 4c sites all ways round count (see `weights`), so
    that as the taper of a covariance it is positive semi-definite on any.
    """

    radius: float

    @property
    def half_support(self) -> float:
        """c, in sites."""
        return 1.82 * self.radius

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Sites (n,) and (m,) of a ring of `size` -> weights (n, m)."""
        apart = places[:, None].double() - seen.double()
        return weights(apart[..., None], self.half_support, [size])


@dataclass(frozen=True)
class Grid:
    """Weights on a flat map of `shape` (x, y), about exp(-1/2) at distance `radius`.

    Distances are Euclidean, in points; for a map of the globe see `Sphere`. Places are indices of a
    flat state (variable, x, y), of any number of variables on the same points: all variables at a
    point are at distance 0. `radius` and the half-support 1.82 radius are those of `Ring`.

    Attributes:
        periodic: whether the map closes along x, and along y.
    """

    shape: tuple[int, int]
    radius: float
    periodic: tuple[bool, bool] = (False, False)

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
        here, there = (self._at(p % points) for p in (places, seen))
        closed = zip(self.shape, self.periodic, strict=True)
        periods = [float(n) if periodic else None for n, periodic in closed]
        return weights(here[:, None] - there, self.half_support, periods)

    def _at(self, point: Tensor) -> Tensor:
        """(n, 2), in points."""
        return torch.stack([point // self.shape[1], point % self.shape[1]], -1).double()


@dataclass(frozen=True)
class Sphere:
    """Weights on a map of latitudes and longitudes of the globe, by `on_sphere`.

    Attributes:
        lat, lon: of the map, degrees.
        radius: distance at which the weight is about exp(-1/2), in km, as a chord; the half-support
            1.82 radius is that of `Ring`.
        earth: radius of the sphere, km.
    """

    lat: Sequence[float]
    lon: Sequence[float]
    radius: float
    earth: float = 6371.0

    @property
    def half_support(self) -> float:
        """c, in km."""
        return 1.82 * self.radius

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Places (n,) and (m,) of a flat state (variable, lat, lon) of `size` -> weights (n, m)."""
        points = len(self.lat) * len(self.lon)
        if size % points:
            raise ValueError(
                f"a state on a map of {len(self.lat)} x {len(self.lon)} points has a multiple of "
                f"{points} components, got {size}"
            )
        at = on_sphere(torch.tensor(self.lat), torch.tensor(self.lon), radius=self.earth)
        apart = at[places % points][:, None] - at[seen % points]
        return weights(apart, self.half_support, [None] * 3)
