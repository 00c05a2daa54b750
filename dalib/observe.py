"""What is seen of the state, and with which errors.

An operator is called on states (..., state) and gives (..., obs); `tangent(x)` is its derivative
(..., obs, state). One that only selects components has `selected(size)`, the index of those it
sees in a state of `size` components. A missing value is NaN.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.streams import Generator, normal_like, uniform


@dataclass(frozen=True)
class Identity:
    """Every component of the state: y = x."""

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
    """Linear combinations of the state: y = H x, with `matrix` H (obs, state)."""

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
    """Some components of the state: y = x[index]."""

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
    """A saturating instrument: y = arctan(scale x), on the components of `index` (None: all)."""

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

    def _seen(self, x: Tensor) -> Tensor:
        return x if self.index is None else Subset(self.index)(x)


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
