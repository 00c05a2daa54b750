"""Localisation: distances between places and the weights that fall off with them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dalib import limits

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


@dataclass(frozen=True, eq=False)
class Localisation:
    """Where components of a state and observations are, and how far they reach each other.

        ρ = g(|a - b| / c)        c = 1.82 radius

    with g of Gaspari and Cohn: about exp(-1/2) at distance `radius`, 0 from 2c on. Distances are
    Euclidean: along a line, round a ring, on a map of points, or as chords through the globe
    (`Line`, `Ring`, `Grid` and `Sphere` make them). Closed axes are summed over as in `weights`.

    Attributes:
        places: (state, axis), coordinates of components; those at the same place are a column.
        radius: in the same units; None where who uses it says so, as a filter that is tuned.
        period: the length of a closed axis, None for one with ends; for each axis, or for all.
        obs_places: where observations stand: points (obs, axis) like `places`, or (obs,) the
            components whose places they are; None for what the operator looks at (see
            `filters.places`).
        matrix: ρ (..., state, state) itself in the place of places and radius, as one that is
            learned; leading axes as those of the filter's other parameters.
    """

    places: Tensor | None = None
    radius: float | None = None
    period: Sequence[float | None] | float | None = None
    obs_places: Tensor | None = None
    matrix: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.places is None) == (self.matrix is None):
            raise ValueError(
                "localisation needs places (state, axis), or the matrix (..., state, state) of its "
                "weights; Ring(4.0).on(40), Grid((150, 150), 8.0).on(3 * 150 * 150) make one"
            )
        if self.matrix is not None:
            return
        if not (isinstance(self.places, Tensor) and self.places.ndim == 2) or (
            not self.places.isfinite().all()
        ):
            raise ValueError(
                f"localisation needs places (state, axis), a finite tensor, got "
                f"{_shape(self.places)}; on_map((3, 150, 150)) gives those of three variables on a "
                "map"
            )
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"localisation needs a radius above 0, got {self.radius}")

    def within(self, radius: float | None) -> "Localisation":
        """The same with another radius, where one is given."""
        return self if radius is None else replace(self, radius=radius)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Localisation":
        """On a device; a matrix also in another precision. Distances are always in float64."""
        moved = {
            name: value.to(device)
            for name in ("places", "obs_places")
            if isinstance(value := getattr(self, name), Tensor)
        }
        matrix = None if self.matrix is None else self.matrix.to(device, dtype)
        return replace(self, **moved, matrix=matrix)

    @property
    def half_support(self) -> float:
        """c, in the units of places."""
        if self.radius is None:
            raise ValueError("the localisation has no radius; give it one, or the filter")
        return 1.82 * self.radius

    @property
    def size(self) -> int:
        """Number of components."""
        return len(self.places) if self.matrix is None else self.matrix.shape[-1]

    @property
    def periods(self) -> list[float | None]:
        """Of each axis."""
        axes = self.places.shape[1]
        one = self.period is None or isinstance(self.period, int | float)
        periods = [self.period] * axes if one else list(self.period)
        if len(periods) != axes or any(length is not None and length <= 0 for length in periods):
            raise ValueError(
                f"the period is {self.period}, of places with {axes} axes; give a positive length, "
                "or None for an axis with ends, for all axes or for each"
            )
        return periods

    def weights(self, points: Tensor, others: Tensor) -> Tensor:
        """ρ (..., n, m) between points (..., n, axis) and (..., m, axis)."""
        apart = points[..., :, None, :].double() - others[..., None, :, :].double()
        return weights(apart, self.half_support, self.periods)

    def taper(self) -> Tensor:
        """ρ (..., state, state) between components."""
        if self.matrix is not None:
            return self.matrix
        key = (self.places._version, self.radius, self.period)
        if self.__dict__.get("_taper", (None,))[0] != key:
            self.__dict__["_taper"] = (key, self.weights(self.places, self.places))
        return self.__dict__["_taper"][1]


def on_map(shape: Sequence[int]) -> Tensor:
    """(state, axis), places in points of a flat state (variable, x, y), or (variable, x)."""
    sides = [torch.arange(n, dtype=torch.float64) for n in shape[1:]]
    points = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)
    return points.reshape(-1, len(sides)).repeat(shape[0], 1)


@dataclass(frozen=True)
class Line:
    """Equidistant sites in a row, with ends; `radius` in sites.

    Attributes:
        radius: distance in sites at which the taper is about exp(-1/2).
    """

    radius: float

    def __post_init__(self) -> None:
        limits.more_than(0, radius=self.radius)

    def on(self, size: int) -> Localisation:
        """Of a state with `size` components."""
        return Localisation(on_map((1, size)), self.radius)

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Sites (n,) and (m,) of `size` -> weights (n, m)."""
        return _between(self.on(size), places, seen)


@dataclass(frozen=True)
class Ring:
    """A ring of equidistant sites; `radius` in sites, who knows c gives radius = c / 1.82.

    On a ring of fewer than 4c sites all ways round count (see `weights`), so that as the taper of a
    covariance it is positive semi-definite on any.

    Attributes:
        radius: distance in sites at which the taper is about exp(-1/2).
    """

    radius: float

    def __post_init__(self) -> None:
        limits.more_than(0, radius=self.radius)

    def on(self, size: int) -> Localisation:
        """Of a state with `size` components."""
        return Localisation(on_map((1, size)), self.radius, float(size))

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Sites (n,) and (m,) of a ring of `size` -> weights (n, m)."""
        return self.on(size).weights(places[:, None], seen[:, None])


@dataclass(frozen=True)
class Grid:
    """A flat map of `shape` (x, y) with Euclidean distances, `radius` in points.

    For a map of the globe see `Sphere`. The state is flat, (variable, x, y), of any number of
    variables on the same points: all variables at a point are at distance 0.

    Attributes:
        periodic: whether the map closes along x, and along y.
        shape: points of the map along x and y.
        radius: distance in points at which the taper is about exp(-1/2).
    """

    shape: tuple[int, int]
    radius: float
    periodic: tuple[bool, bool] = (False, False)

    def __post_init__(self) -> None:
        limits.at_least(1, shape=self.shape)
        limits.more_than(0, radius=self.radius)

    def on(self, size: int) -> Localisation:
        """Of a flat state (variable, x, y) with `size` components."""
        variables = _variables(size, self.shape)
        closed = zip(self.shape, self.periodic, strict=True)
        periods = tuple(float(n) if periodic else None for n, periodic in closed)
        return Localisation(on_map((variables, *self.shape)), self.radius, periods)

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Components (n,) and (m,) of a flat state of `size` -> weights (n, m)."""
        return _between(self.on(size), places, seen)


@dataclass(frozen=True)
class Sphere:
    """A map of latitudes and longitudes of the globe, by `on_sphere`.

    Attributes:
        lat, lon: of the map, degrees.
        radius: in km, as a chord.
        earth: radius of the sphere, km.
    """

    lat: Sequence[float]
    lon: Sequence[float]
    radius: float
    earth: float = 6371.0

    def __post_init__(self) -> None:
        limits.more_than(0, radius=self.radius, earth=self.earth)

    def on(self, size: int) -> Localisation:
        """Of a flat state (variable, lat, lon) with `size` components."""
        variables = _variables(size, (len(self.lat), len(self.lon)))
        lat, lon = torch.tensor(self.lat), torch.tensor(self.lon)
        return Localisation(on_sphere(lat, lon, variables, self.earth), self.radius)

    def __call__(self, places: Tensor, seen: Tensor, size: int) -> Tensor:
        """Components (n,) and (m,) of a flat state of `size` -> weights (n, m)."""
        return _between(self.on(size), places, seen)


def _between(localisation: Localisation, here: Tensor, there: Tensor) -> Tensor:
    """Weights (n, m) between components (n,) and (m,)."""
    return localisation.weights(localisation.places[here], localisation.places[there])


def _variables(size: int, shape: Sequence[int]) -> int:
    """How many variables a state of `size` has on a map."""
    points = shape[0] * shape[1]
    if size % points:
        raise ValueError(
            f"a state on a map of {shape[0]} x {shape[1]} points has a multiple of "
            f"{points} components, got {size}"
        )
    return size // points


def _shape(given: Any) -> str:
    if not hasattr(given, "shape"):
        return repr(given)
    return f"a {type(given).__name__} of shape {tuple(given.shape)}"
