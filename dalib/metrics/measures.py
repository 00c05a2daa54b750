"""Small measures from scores to one number with its spread: what a claim is judged by.

Each is a frozen dataclass called with named arrays. Every measure takes the median over whatever
dimensions are left (seeds, repeats, components), and the range of the single values as its spread.
"""

from dataclasses import dataclass
from typing import NamedTuple

import xarray as xr


class Measured(NamedTuple):
    """A number and the lowest and highest of the single values behind it."""

    value: float
    low: float
    high: float


def _measured(value: float, single: xr.DataArray) -> Measured:
    return Measured(float(value), float(single.min(skipna=False)), float(single.max(skipna=False)))


def _median(values: xr.DataArray) -> float:
    return float(values.median(skipna=False))


@dataclass(frozen=True)
class Median:
    """Median of all values."""

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(_median(values), values)


@dataclass(frozen=True)
class Largest:
    """Largest of all values: the claim must hold for each."""

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(values.max(skipna=False), values)


@dataclass(frozen=True)
class Smallest:
    """Smallest of all values: the claim must hold for each."""

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(values.min(skipna=False), values)


@dataclass(frozen=True)
class Ratio:
    """median(numerator) / median(denominator); the spread is that of the paired single ratios."""

    def __call__(self, numerator: xr.DataArray, denominator: xr.DataArray) -> Measured:
        return _measured(_median(numerator) / _median(denominator), numerator / denominator)


@dataclass(frozen=True)
class Difference:
    """median(minuend) - median(subtrahend); the spread is that of the paired differences."""

    def __call__(self, minuend: xr.DataArray, subtrahend: xr.DataArray) -> Measured:
        return _measured(_median(minuend) - _median(subtrahend), minuend - subtrahend)


@dataclass(frozen=True)
class Growth:
    """Smallest step of the medians along `dim`: positive when they grow throughout."""

    dim: str = "point"

    def __call__(self, values: xr.DataArray) -> Measured:
        others = [d for d in values.dims if d != self.dim]
        medians = values.median(others, skipna=False)
        steps = medians.diff(self.dim)
        return _measured(steps.min(skipna=False), steps)


@dataclass(frozen=True)
class Factor:
    """Largest over smallest of all values: how far they lie apart."""

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(values.max(skipna=False) / values.min(skipna=False), values)


@dataclass(frozen=True)
class ShareWithin:
    """Share of the values from `low` to `high`."""

    low: float
    high: float

    def __call__(self, values: xr.DataArray) -> Measured:
        inside = (values >= self.low) & (values <= self.high)
        return _measured(inside.mean(), values)


@dataclass(frozen=True)
class LargestDeviation:
    """Largest |value / reference - 1|, each value against the reference at its own coordinates.

    The first `skip` points of `dim` are left out (of a noise that starts at 0).
    """

    dim: str = "point"
    skip: int = 0

    def __call__(self, values: xr.DataArray, reference: xr.DataArray) -> Measured:
        deviation = abs(values / reference - 1)
        if self.skip:
            deviation = deviation.isel({self.dim: slice(self.skip, None)})
        return _measured(deviation.max(skipna=False), deviation)
