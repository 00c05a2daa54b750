"""Small measures from scores to one number with its interval: what a claim is judged by.

Each is a frozen dataclass called with named arrays; `of` is its formula. Every measure takes the
median over whatever dimensions are left (seeds, repeats, components). The interval says how far the
number could lie elsewhere had other replicates been drawn (`bootstrap`).

Where a measure has `over`, medians over these dimensions (repeats) are taken first, at each point
of the others (the sweeps). A repeat without a value is lost there: it counts as infinitely large.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import xarray as xr

from dalib import limits
from dalib.metrics.bootstrap import RESAMPLE, interval


class Measured(NamedTuple):
    """A number and the ends of its 95 % bootstrap interval, NaN where there are no replicates."""

    value: float
    low: float
    high: float


class Measure:
    """A number made of named arrays by `of`, with its interval."""

    pairs: ClassVar[bool] = False  # whether values are set against each other one by one

    def __call__(self, *arrays: xr.DataArray, **named: xr.DataArray) -> Measured:
        inputs = inspect.signature(self.of).bind(*arrays, **named).arguments
        if self.pairs:
            inputs = dict(zip(inputs, xr.align(*inputs.values(), join="inner"), strict=True))
        value = float(self.of(**inputs))
        return Measured(value, *interval(self.of, value, inputs))

    def of(self, **inputs: xr.DataArray) -> xr.DataArray:
        """One number: of all dimensions `resample` alone is kept, where there is one."""
        raise NotImplementedError


def _all(values: xr.DataArray) -> list[str]:
    """All dimensions but that of the resamples of a bootstrap."""
    return [dim for dim in map(str, values.dims) if dim != RESAMPLE]


def _median(values: xr.DataArray) -> xr.DataArray:
    return values.median(_all(values), skipna=False)


def _largest(values: xr.DataArray) -> xr.DataArray:
    """NaN where nothing is left."""
    return values.max(_all(values), skipna=False) if values.size else xr.DataArray(np.nan)


def _smallest(values: xr.DataArray) -> xr.DataArray:
    return values.min(_all(values), skipna=False) if values.size else xr.DataArray(np.nan)


def _medians(values: xr.DataArray, over: Sequence[str]) -> xr.DataArray:
    return _quantile(values, 0.5, over) if over else values


def _quantile(values: xr.DataArray, share: float, over: Sequence[str]) -> xr.DataArray:
    """Over those of the dimensions that are there; what is missing counts as infinitely large."""
    dims = [dim for dim in over if dim in values.dims]
    values = values.fillna(np.inf)
    if not dims:
        return values
    return xr.apply_ufunc(
        _of_last, values, share, input_core_dims=[dims, []], kwargs={"axes": len(dims)}
    )


def _of_last(values: np.ndarray, share: float, axes: int) -> np.ndarray:
    """The quantile over the last axes, infinite next to infinity, NaN where there is nothing."""
    count = math.prod(values.shape[-axes:])
    ordered = np.sort(values.reshape(*values.shape[:-axes], count))
    if not count:
        return np.full(ordered.shape[:-1], np.nan)
    at = share * (count - 1)
    low, high = ordered[..., math.floor(at)], ordered[..., math.ceil(at)]
    with np.errstate(invalid="ignore"):  # of what is infinite, and not used
        between = low + (high - low) * (at - math.floor(at))
    return np.where((low == high) | np.isinf(high), high, between)


@dataclass(frozen=True)
class Median(Measure):
    """Median of all values."""

    def of(self, values: xr.DataArray) -> xr.DataArray:
        return _median(values)


@dataclass(frozen=True)
class Largest(Measure):
    """Largest of all values, or of the medians over `over`: the claim must hold for each.

    Attributes:
        over: dimensions over which medians are taken first.
    """

    over: tuple[str, ...] = ()

    def of(self, values: xr.DataArray) -> xr.DataArray:
        return _largest(_medians(values, self.over))


@dataclass(frozen=True)
class Smallest(Measure):
    """Smallest of all values, or of the medians over `over`: the claim must hold for each.

    Attributes:
        over: dimensions over which medians are taken first.
    """

    over: tuple[str, ...] = ()

    def of(self, values: xr.DataArray) -> xr.DataArray:
        return _smallest(_medians(values, self.over))


@dataclass(frozen=True)
class Ratio(Measure):
    """median(numerator) / median(denominator)."""

    def of(self, numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
        return _median(numerator) / _median(denominator)


@dataclass(frozen=True)
class MedianRatio(Measure):
    """median(numerator / denominator), of pairs: of two things measured in turn, for example."""

    pairs = True

    def of(self, numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
        return _median(numerator / denominator)


@dataclass(frozen=True)
class Difference(Measure):
    """median(minuend) - median(subtrahend)."""

    def of(self, minuend: xr.DataArray, subtrahend: xr.DataArray) -> xr.DataArray:
        return _median(minuend) - _median(subtrahend)


@dataclass(frozen=True)
class Growth(Measure):
    """Smallest step of the medians along `dim`: positive when they grow throughout.

    Attributes:
        dim: along which medians have to grow.
    """

    dim: str = "point"

    def of(self, values: xr.DataArray) -> xr.DataArray:
        others = [d for d in _all(values) if d != self.dim]
        return _smallest(values.median(others, skipna=False).diff(self.dim))


@dataclass(frozen=True)
class Factor(Measure):
    """How far all values, or the medians over `over`, lie apart: largest over smallest.

    Attributes:
        over: dimensions over which medians are taken first.
    """

    over: tuple[str, ...] = ()

    def of(self, values: xr.DataArray) -> xr.DataArray:
        medians = _medians(values, self.over)
        return _largest(medians) / _smallest(medians)


@dataclass(frozen=True)
class ShareWithin(Measure):
    """Share of the values from `low` to `high`.

    Attributes:
        low, high: ends of the range, both included.
    """

    low: float
    high: float

    def of(self, values: xr.DataArray) -> xr.DataArray:
        return ((values >= self.low) & (values <= self.high)).mean(_all(values))


@dataclass(frozen=True)
class LargestDeviation(Measure):
    """Largest |value / reference - 1|, each value against the reference at its own coordinates.

    The first `skip` points of `dim` are left out (of a noise that starts at 0). With `over`, of
    medians over these dimensions.

    Attributes:
        dim: along which points are left out.
        skip: how many, from the first.
        over: dimensions over which medians are taken first.
    """

    dim: str = "point"
    skip: int = 0
    over: tuple[str, ...] = ()
    pairs = True

    def __post_init__(self) -> None:
        limits.at_least(0, skip=self.skip)

    def of(self, values: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
        deviation = abs(_medians(values, self.over) / _medians(reference, self.over) - 1)
        if self.skip:
            deviation = deviation.isel({self.dim: slice(self.skip, None)})
        return _largest(deviation)


@dataclass(frozen=True)
class Count(Measure):
    """How many values there are: no estimate, so that it has no interval."""

    def __call__(self, values: xr.DataArray) -> Measured:
        return Measured(float(self.of(values)), np.nan, np.nan)

    def of(self, values: xr.DataArray) -> xr.DataArray:
        return values.notnull().sum()


@dataclass(frozen=True)
class LargestRatio(Measure):
    """Largest median(numerator) / quantile(denominator) among all points.

    Median and quantile are over `over`. Along `across` every numerator is set against every
    denominator: the largest against the smallest.

    Attributes:
        over: dimensions over which medians are taken first.
        across: dimensions along which each numerator is set against each denominator.
        quantile: of the denominator over `over`.
    """

    over: tuple[str, ...] = ("repeat",)
    across: tuple[str, ...] = ()
    quantile: float = 0.5

    def __post_init__(self) -> None:
        limits.at_least(0, quantile=self.quantile)
        limits.at_most(1, quantile=self.quantile)

    def of(self, numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
        above = _medians(numerator, self.over)
        below = _quantile(denominator, self.quantile, self.over)
        above = above.max([d for d in above.dims if d in self.across], skipna=False)
        below = below.min([d for d in below.dims if d in self.across], skipna=False)
        return _largest(above / below)


@dataclass(frozen=True)
class MeanRatio(Measure):
    """Mean of the medians of the numerator / that of the denominator; medians over `over`.

    Attributes:
        over: dimensions over which medians are taken first.
    """

    over: tuple[str, ...] = ("repeat",)

    def of(self, numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
        return self._mean(numerator) / self._mean(denominator)

    def _mean(self, values: xr.DataArray) -> xr.DataArray:
        medians = _medians(values, self.over)
        return medians.mean(_all(medians))


@dataclass(frozen=True)
class ShareOverlapping(Measure):
    """Share of the points at which the bands between two quantiles over `over` overlap.

    Attributes:
        low, high: quantiles that bound a band.
        over: dimensions of which the quantiles are taken.
    """

    low: float = 0.25
    high: float = 0.75
    over: tuple[str, ...] = ("repeat",)

    def __post_init__(self) -> None:
        limits.at_least(0, low=self.low, high=self.high)
        limits.at_most(1, low=self.low, high=self.high)

    def of(self, values: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
        bottom, top = (_quantile(values, q, self.over) for q in (self.low, self.high))
        floor, ceiling = (_quantile(reference, q, self.over) for q in (self.low, self.high))
        overlap = np.maximum(bottom, floor) <= np.minimum(top, ceiling)
        return overlap.mean(_all(overlap)) if overlap.size else xr.DataArray(np.nan)


@dataclass(frozen=True)
class HighestExceeding(Measure):
    """Largest coordinate along `dim` at which median(values) > factor x median(reference).

    `nowhere` if there is none. Medians are over `over`.

    Attributes:
        dim: along which the coordinate is sought.
        factor: on the median of the reference.
        nowhere: the result where no coordinate exceeds it.
        over: dimensions over which medians are taken first.
    """

    dim: str
    factor: float = 1.0
    nowhere: float = 0.0
    over: tuple[str, ...] = ("repeat",)

    def of(self, values: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
        exceeding = _medians(values, self.over) > self.factor * _medians(reference, self.over)
        highest = values[self.dim].where(exceeding).max(self.dim).fillna(self.nowhere)
        return _largest(highest)


@dataclass(frozen=True)
class SpreadRatio(Measure):
    """How many times as far the numerator's medians lie apart as the denominator's.

    Both are medians over `over`; apart means quantile(high) / quantile(low) along `along`; where
    points are left, the median over them.

    Attributes:
        along: dimensions along which medians lie apart.
        over: dimensions over which medians are taken first.
        low, high: quantiles that say how far.
    """

    along: tuple[str, ...]
    over: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        limits.at_least(0, low=self.low, high=self.high)
        limits.at_most(1, low=self.low, high=self.high)

    def of(self, numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
        return _median(self._apart(numerator)) / _median(self._apart(denominator))

    def _apart(self, values: xr.DataArray) -> xr.DataArray:
        medians = _medians(values, self.over)
        high = _quantile(medians, self.high, self.along)
        return high / _quantile(medians, self.low, self.along)


@dataclass(frozen=True)
class LinearDeviation(Measure):
    """Largest distance from the straight line that fits best along `dim`, in units of its rise.

    NaN with fewer than three points, which are always on a line.

    Attributes:
        dim: of the line.
    """

    dim: str

    def of(self, values: xr.DataArray) -> xr.DataArray:
        if values.sizes[self.dim] < 3:
            return xr.DataArray(np.nan)
        line = xr.polyval(values[self.dim], values.polyfit(self.dim, 1).polyfit_coefficients)
        return _largest(abs(values - line) / (line.max(self.dim) - line.min(self.dim)))
