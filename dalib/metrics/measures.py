"""Small measures from scores to one number with its spread: what a claim is judged by.

Each is a frozen dataclass called with named arrays. Every measure takes the median over whatever
dimensions are left (seeds, repeats, components), and the range of the single values as its spread.

Where a measure has `over`, medians over these dimensions (repeats) are taken first, at each point
of the others (the sweeps). A repeat without a value is lost there: it counts as infinitely large.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr


class Measured(NamedTuple):
    """A number and the lowest and highest of the single values behind it."""

    value: float
    low: float
    high: float


def _measured(value: float, single: xr.DataArray) -> Measured:
    return Measured(float(value), _smallest(single), _largest(single))


def _median(values: xr.DataArray) -> float:
    return float(values.median(skipna=False))


def _largest(values: xr.DataArray) -> float:
    """NaN where nothing is left, such as pairs of repeats that have none in common."""
    return float(values.max(skipna=False)) if values.size else np.nan


def _smallest(values: xr.DataArray) -> float:
    return float(values.min(skipna=False)) if values.size else np.nan


def _medians(values: xr.DataArray, over: Sequence[str]) -> xr.DataArray:
    return _quantile(values, 0.5, over) if over else values


def _quantile(values: xr.DataArray, share: float, over: Sequence[str]) -> xr.DataArray:
    """Over those of the dimensions that are there; what is missing counts as infinitely large."""
    values = values.fillna(np.inf)
    dims = [dim for dim in over if dim in values.dims]
    if not dims:
        return values
    ends = [values.quantile(share, dims, method=end) for end in ("lower", "higher")]
    with np.errstate(invalid="ignore"):  # of what is infinite, and not used
        between = values.quantile(share, dims)
    return xr.where(ends[0] == ends[1], ends[0], between).drop_vars("quantile")


@dataclass(frozen=True)
class Median:
    """Median of all values."""

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(_median(values), values)


@dataclass(frozen=True)
class Largest:
    """Largest of all values, or of the medians over `over`: the claim must hold for each."""

    over: tuple[str, ...] = ()

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(_largest(_medians(values, self.over)), values)


@dataclass(frozen=True)
class Smallest:
    """Smallest of all values, or of the medians over `over`: the claim must hold for each."""

    over: tuple[str, ...] = ()

    def __call__(self, values: xr.DataArray) -> Measured:
        return _measured(_smallest(_medians(values, self.over)), values)


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
        return _measured(_smallest(steps), steps)


@dataclass(frozen=True)
class Factor:
    """How far all values, or the medians over `over`, lie apart: largest over smallest."""

    over: tuple[str, ...] = ()

    def __call__(self, values: xr.DataArray) -> Measured:
        medians = _medians(values, self.over)
        return _measured(_largest(medians) / _smallest(medians), values)


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

    The first `skip` points of `dim` are left out (of a noise that starts at 0). With `over`, of
    medians over these dimensions.
    """

    dim: str = "point"
    skip: int = 0
    over: tuple[str, ...] = ()

    def __call__(self, values: xr.DataArray, reference: xr.DataArray) -> Measured:
        deviation = abs(_medians(values, self.over) / _medians(reference, self.over) - 1)
        if self.skip:
            deviation = deviation.isel({self.dim: slice(self.skip, None)})
        return _measured(_largest(deviation), deviation)


@dataclass(frozen=True)
class Count:
    """How many values there are."""

    def __call__(self, values: xr.DataArray) -> Measured:
        count = float(values.notnull().sum())
        return Measured(count, count, count)


@dataclass(frozen=True)
class LargestRatio:
    """Largest median(numerator) / quantile(denominator) among all points.

    Median and quantile are over `over`. Along `across` every numerator is set against every
    denominator: the largest against the smallest. The spread is that of the points.
    """

    over: tuple[str, ...] = ("repeat",)
    across: tuple[str, ...] = ()
    quantile: float = 0.5

    def __call__(self, numerator: xr.DataArray, denominator: xr.DataArray) -> Measured:
        above = _medians(numerator, self.over)
        below = _quantile(denominator, self.quantile, self.over)
        above = above.max([d for d in above.dims if d in self.across], skipna=False)
        below = below.min([d for d in below.dims if d in self.across], skipna=False)
        ratios = above / below
        return _measured(_largest(ratios), ratios)


@dataclass(frozen=True)
class MeanRatio:
    """Mean of the medians of the numerator / that of the denominator; medians over `over`.

    The spread is that of the paired ratios of means, one for each repeat.
    """

    over: tuple[str, ...] = ("repeat",)

    def __call__(self, numerator: xr.DataArray, denominator: xr.DataArray) -> Measured:
        value = _medians(numerator, self.over).mean() / _medians(denominator, self.over).mean()
        return _measured(value, self._single(numerator) / self._single(denominator))

    def _single(self, values: xr.DataArray) -> xr.DataArray:
        return values.mean([d for d in values.dims if d not in self.over], skipna=False)


@dataclass(frozen=True)
class ShareOverlapping:
    """Share of the points at which the bands between two quantiles over `over` overlap.

    The spread is that of the gap between the bands, in units of the upper end of the lower one;
    negative where they overlap.
    """

    low: float = 0.25
    high: float = 0.75
    over: tuple[str, ...] = ("repeat",)

    def __call__(self, values: xr.DataArray, reference: xr.DataArray) -> Measured:
        bottom, top = (_quantile(values, q, self.over) for q in (self.low, self.high))
        floor, ceiling = (_quantile(reference, q, self.over) for q in (self.low, self.high))
        lower_top, higher_bottom = np.minimum(top, ceiling), np.maximum(bottom, floor)
        overlap = higher_bottom <= lower_top
        share = overlap.mean() if overlap.size else np.nan
        return _measured(share, higher_bottom / lower_top - 1)


@dataclass(frozen=True)
class HighestExceeding:
    """Largest coordinate along `dim` at which median(values) > factor x median(reference).

    `nowhere` if there is none. Medians are over `over`; the spread is that of single repeats.
    """

    dim: str
    factor: float = 1.0
    nowhere: float = 0.0
    over: tuple[str, ...] = ("repeat",)

    def __call__(self, values: xr.DataArray, reference: xr.DataArray) -> Measured:
        medians = self._highest(_medians(values, self.over), _medians(reference, self.over))
        return _measured(_largest(medians), self._highest(values.fillna(np.inf), reference))

    def _highest(self, values: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
        exceeding = values > self.factor * reference
        return values[self.dim].where(exceeding).max(self.dim).fillna(self.nowhere)


@dataclass(frozen=True)
class SpreadRatio:
    """How many times as far the numerator's medians lie apart as the denominator's.

    Both are medians over `over`; apart means quantile(high) / quantile(low) along `along`; where
    points are left, the median over them.
    """

    along: tuple[str, ...]
    over: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0

    def __call__(self, numerator: xr.DataArray, denominator: xr.DataArray) -> Measured:
        apart, reference = self._apart(numerator), self._apart(denominator)
        return _measured(_median(apart) / _median(reference), apart / reference)

    def _apart(self, values: xr.DataArray) -> xr.DataArray:
        medians = _medians(values, self.over)
        high = _quantile(medians, self.high, self.along)
        return high / _quantile(medians, self.low, self.along)


@dataclass(frozen=True)
class LinearDeviation:
    """Largest distance from the straight line that fits best along `dim`, in units of its rise.

    NaN with fewer than three points, which are always on a line.
    """

    dim: str

    def __call__(self, values: xr.DataArray) -> Measured:
        if values.sizes[self.dim] < 3:
            return Measured(np.nan, np.nan, np.nan)
        line = xr.polyval(values[self.dim], values.polyfit(self.dim, 1).polyfit_coefficients)
        deviation = abs(values - line) / (line.max(self.dim) - line.min(self.dim))
        return _measured(_largest(deviation), deviation)
