"""What is seen of the state, and with which errors.

An operator is called on states (..., state) and gives (..., obs); `tangent(x)` is its derivative
(..., obs, state). One that only selects components has `selected(size)`, the index of those it
sees in a state of `size` components. One that sees each through a function h has `sites(size)`
instead, `response(x)` with h and its derivative, and `steepest`, a bound on the latter. One that
samples a map has `interpolated(y)`, what it saw on the whole map, and `everywhere`, the operator
that would have seen that. A missing value is NaN.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dalib import limits
from dalib.streams import Generator, normal_like, uniform


@dataclass(frozen=True)
class Identity:
    """Every component of the state: y = x.

    Attributes:
        size: components of the state.
    """

    size: int

    def __call__(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        return x

    def seen(self, names: list[str]) -> list[str]:
        """Names of the components that are observed."""
        return names

    def tangent(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size, size)."""
        return _selection(x, range(self.size))

    def selected(self, size: int) -> Tensor:
        """(obs,), the index of all components."""
        return torch.arange(size)


@dataclass(frozen=True)
class Linear:
    """Linear combinations of the state: y = H x, with `matrix` H (obs, state).

    Attributes:
        matrix: H (obs, state), a list of rows.
    """

    matrix: Tensor | tuple[tuple[float, ...], ...]

    def __post_init__(self):
        object.__setattr__(self, "matrix", torch.as_tensor(self.matrix, dtype=torch.float64))
        if self.matrix.ndim != 2:
            raise ValueError(
                f"the matrix of a linear operator is (obs, state), got {tuple(self.matrix.shape)}"
            )

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs)."""
        return x @ self.matrix.T.to(x)

    def tangent(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs, state)."""
        return self.matrix.to(x).expand(*x.shape[:-1], *self.matrix.shape)


@dataclass(frozen=True)
class Subset:
    """Some components of the state: y = x[index].

    Attributes:
        index: the components that are observed, counted from 0.
    """

    index: tuple[int, ...]

    def seen(self, names: list[str]) -> list[str]:
        """Names of the components that are observed."""
        return [names[i] for i in self.index]

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs)."""
        return x.index_select(-1, self.selected(x.shape[-1]).to(x.device))

    def tangent(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs, state)."""
        return _selection(x, self.index)

    def selected(self, size: int) -> Tensor:
        """(obs,), the index of what is seen of a state with `size` components."""
        if not all(0 <= i < size for i in self.index):
            raise ValueError(
                f"the operator observes the components {list(self.index)}, but the state has "
                f"{size}: use 0 to {size - 1}"
            )
        return torch.tensor(self.index)


@dataclass(frozen=True)
class MovingSubset:
    """Some components of the state, others at each time: `index` is (time, obs).

    `at(k)` is the operator of the k-th observation, counted from 0; the whole is called on
    trajectories with as many times.

    Attributes:
        index: for each time the components that are observed, counted from 0.
    """

    index: tuple[tuple[int, ...], ...]

    def at(self, k: int) -> Subset:
        return Subset(tuple(self.index[k]))

    def __call__(self, x: Tensor) -> Tensor:
        """(..., time, state) -> (..., time, obs)."""
        index = torch.tensor(self.index, device=x.device)
        if x.ndim < 2 or x.shape[-2] != len(index):
            raise ValueError(
                f"a moving subset of {len(index)} times needs states (..., {len(index)}, state), "
                f"got {tuple(x.shape)}; for one time use at(k)"
            )
        return x.gather(-1, index.expand(*x.shape[:-1], index.shape[1]))


@dataclass(frozen=True)
class Arctan:
    """A saturating instrument: y = arctan(scale x), on the components of `index` (None: all).

    Attributes:
        scale: factor on the state inside the arctangent, per state unit.
        index: the components that are observed, counted from 0; null for all.
    """

    scale: float = 1.0
    index: tuple[int, ...] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs)."""
        return torch.arctan(self.scale * self._seen(x))

    def tangent(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs, state), with slopes scale / (1 + (scale x)^2)."""
        slope = self.scale / (1 + (self.scale * self._seen(x)) ** 2)
        index = range(x.shape[-1]) if self.index is None else self.index
        return slope[..., None] * _selection(x, index)

    @property
    def steepest(self) -> float:
        """The largest slope, at 0."""
        return abs(self.scale)

    def sites(self, size: int) -> Tensor:
        """(obs,), the index of what is seen of a state with `size` components."""
        return torch.arange(size) if self.index is None else Subset(self.index).selected(size)

    def response(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """arctan(scale x) and scale / (1 + (scale x)^2) of each component, both like x."""
        x = self.scale * x
        return x.arctan(), x.square().add_(1).reciprocal_().mul_(self.scale)

    def _seen(self, x: Tensor) -> Tensor:
        return x if self.index is None else Subset(self.index)(x)


@dataclass(frozen=True)
class EveryKth:
    """Every k-th point, in both directions, of the map of each variable: y = x[:, o::k, o::k].

    The state is the flat map (variable, x, y) of `shape`, the observation likewise that of the
    sensors. By default the offset o is k // 2, which keeps sensors off the edges.

    Attributes:
        shape: (variable, x, y) of a state.
        k: distance of the sensors, in points along either side.
        offset: o, the first observed point along either side, 0 to k - 1; null for k // 2.
    """

    shape: tuple[int, ...]
    k: int
    offset: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(self.shape))
        if len(self.shape) != 3:
            raise ValueError(f"the shape of a state is (variable, x, y), got {self.shape}")
        if self.k < 1 or not 0 <= self.first < min(self.k, *self.shape[1:]):
            raise ValueError(
                f"every {self.k}th point from {self.first} on, of maps {self.shape[1:]}: give k of "
                "at least 1 and an offset from 0 to k - 1 that lies on the map"
            )

    @property
    def first(self) -> int:
        """The offset o."""
        return self.k // 2 if self.offset is None else self.offset

    @property
    def sensors(self) -> tuple[int, int, int]:
        """(variable, x, y), the shape of the map of an observation."""
        variables, *sides = self.shape
        return (variables, *(len(range(self.first, side, self.k)) for side in sides))

    @property
    def everywhere(self) -> Identity:
        """Sees all points."""
        return Identity(math.prod(self.shape))

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs)."""
        self._check(x.shape[-1])
        seen = x.unflatten(-1, self.shape)[..., self.first :: self.k, self.first :: self.k]
        return seen.flatten(-3)

    def seen(self, names: list[str]) -> list[str]:
        """Names of the components that are observed."""
        return [names[i] for i in self.selected(len(names)).tolist()]

    def tangent(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs, state)."""
        return _selection(x, self.selected(x.shape[-1]).tolist())

    def selected(self, size: int) -> Tensor:
        """(obs,), the index of what is seen of a state with `size` components."""
        self._check(size)
        return self(torch.arange(size))

    def interpolated(self, y: Tensor) -> Tensor:
        """(..., obs) -> (..., state), bicubic between sensors, constant from the last to the edge.

        Where one of the sixteen sensors around is missing, so is the value.
        """
        maps = y.reshape(-1, *self.sensors)
        last = [1 + self.k * (count - 1) for count in self.sensors[1:]]
        inner = functional.interpolate(maps, last, mode="bicubic", align_corners=True)
        after = [n - self.first - m for n, m in zip(self.shape[1:], last, strict=True)]
        edges = (self.first, after[1], self.first, after[0])
        return functional.pad(inner, edges, mode="replicate").reshape(*y.shape[:-1], -1)

    def _check(self, size: int) -> None:
        if size != math.prod(self.shape):
            raise ValueError(
                f"the operator sees maps {self.shape} of {math.prod(self.shape)} values, but the "
                f"state has {size}"
            )


@dataclass(frozen=True)
class ArctanEveryKth:
    """The points of `EveryKth` through a saturating instrument: y = arctan(scale x[:, o::k, o::k]).

    `interpolated` is what it saw, saturated as it is: `everywhere` saturates too.

    Attributes:
        shape: (variable, x, y) of a state.
        k: distance of the sensors, in points along either side.
        offset: o, the first observed point along either side, 0 to k - 1; null for k // 2.
        scale: factor on the state inside the arctangent, per state unit.
    """

    shape: tuple[int, ...]
    k: int
    offset: int | None = None
    scale: float = 1.0

    def __post_init__(self):
        limits.at_least(1, k=self.k)
        object.__setattr__(self, "shape", self.points.shape)

    @property
    def points(self) -> EveryKth:
        """The points alone."""
        return EveryKth(self.shape, self.k, self.offset)

    @property
    def everywhere(self) -> Arctan:
        """Sees all points."""
        return Arctan(self.scale)

    @property
    def steepest(self) -> float:
        """The largest slope, at 0."""
        return self.everywhere.steepest

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs)."""
        return self.everywhere(self.points(x))

    def tangent(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs, state)."""
        return Arctan(self.scale, tuple(self.sites(x.shape[-1]).tolist())).tangent(x)

    def sites(self, size: int) -> Tensor:
        """(obs,), the index of what is seen of a state with `size` components."""
        return self.points.selected(size)

    def response(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """arctan(scale x) and its derivative, of each component, both like x."""
        return self.everywhere.response(x)

    def interpolated(self, y: Tensor) -> Tensor:
        """(..., obs) -> (..., state), as `EveryKth.interpolated`."""
        return self.points.interpolated(y)


def sensors(whole: Any, shape: tuple[int, int, int], k: int) -> Any:
    """The operator that observes every k-th point as `whole` observes all of them."""
    if isinstance(whole, Identity):
        return EveryKth(shape, k)
    if isinstance(whole, Arctan) and whole.index is None:
        return ArctanEveryKth(shape, k, scale=whole.scale)
    raise ValueError(
        "gridded states are observed by identity or arctan of all components, not "
        f"{type(whole).__name__}"
    )


def evenly(size: int, share: float) -> Subset:
    """`share` of `size` components, spread evenly: floor(k / share) for k = 0, 1, ..."""
    count = _count(size, share)
    return Subset(tuple(int(k / share + 1e-9) for k in range(count)))


def randomly(size: int, share: float, times: int, generator: Generator) -> MovingSubset:
    """`share` of `size` components, drawn without replacement at each of `times`, in order."""
    count = _count(size, share)
    order = uniform((times, size), generator).argsort(-1)[:, :count].sort(-1).values
    return MovingSubset(tuple(map(tuple, order.tolist())))


def _count(size: int, share: float) -> int:
    count = round(share * size)
    if not 0 < share <= 1 or not count:
        raise ValueError(
            f"a share of {share:g} of {size} components is {count}; observe at least one and at "
            "most all"
        )
    return count


def noisy(operator, x: Tensor, error_std: float | Tensor, generator: Generator) -> Tensor:
    """(..., state) -> (..., obs): y = h(x) + error_std N(0, I).

    `error_std`, a number or (obs,), is in the units of y; it may be 0. With Streams the first axis
    of x is the seed.
    """
    y = operator(x)
    return y + error_std * normal_like(y, generator)


def with_gaps(y: Tensor, share: float, generator: Generator) -> Tensor:
    """`y` with each value missing (NaN) with probability `share`, independently."""
    gone = uniform(tuple(y.shape), generator, y.dtype) < share
    return y.masked_fill(gone, torch.nan)


def _selection(x: Tensor, index) -> Tensor:
    """(..., state) -> (..., len(index), state), rows of the identity."""
    rows = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)[list(index)]
    return rows.expand(*x.shape[:-1], *rows.shape)
