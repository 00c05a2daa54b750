"""How far a number could lie elsewhere had other seeds or repeats been drawn: the bootstrap.

The replicates of a score (seeds, repeats of a training, pairs of trajectories, ...) are drawn again
with replacement, and the number is computed anew from each of these resamples (Efron & Tibshirani
1993, ch. 13). Resamples stand along one more dimension, so that a measure handles all at once.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

# Dimensions whose entries are exchangeable: draws from one distribution, rather than conditions
# such as methods, noise levels or sizes. A prefix makes no difference: taper_repeat is a repeat.
REPLICATES = (
    *("repeat", "replicate", "seed", "repetition", "trajectory", "pair", "set", "draw", "chain"),
    "case",
)
RESAMPLE = "resample"  # the dimension of resamples
RESAMPLES = 1000
LEVEL = 0.95


def replicates(values: xr.DataArray) -> list[str]:
    """The dimensions of `values` along which its replicates lie."""
    return [dim for dim in map(str, values.dims) if dim.rpartition("_")[2] in REPLICATES]


def interval(
    measure: Callable[..., xr.DataArray], value: float, inputs: Mapping[str, xr.DataArray]
) -> tuple[float, float]:
    """Ends of the 95 % percentile interval of `measure` of the inputs, widened to hold `value`.

        low = min(q_0.025, value),    high = max(q_0.975, value)

    A largest of several noisy numbers is larger still in the resamples (the noise enters twice),
    so that all of these can lie on one side of the value; without the widening the interval would
    then exclude what it is about. A resample without a value (infinite over infinite) counts as
    whatever widens the interval.

    Args:
        measure: called with inputs that have the further dimension `resample`; keeps that alone.
        inputs: those with equal labels along a dimension are drawn together, as pairs.

    Returns:
        NaN, NaN where no input has two replicates, or where the value itself is NaN.
    """
    if np.isnan(value) or not any(
        values.sizes[dim] > 1 for values in inputs.values() for dim in replicates(values)
    ):
        return np.nan, np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = measure(**{name: resampled(values) for name, values in inputs.items()}).values
    missing = np.isnan(drawn)
    rest = (1 - LEVEL) / 2
    low = np.quantile(np.where(missing, -np.inf, drawn), rest, method="lower")
    high = np.quantile(np.where(missing, np.inf, drawn), 1 - rest, method="higher")
    return float(min(low, value)), float(max(high, value))


def resampled(values: xr.DataArray) -> xr.DataArray:
    """Values at replicates drawn with replacement, along each of their dimensions by itself.

    The dimension `resample` is the first; without replicates there is none, and nothing changes.
    """
    draws = {
        dim: xr.DataArray(_draws(dim, _labels(values, dim)), dims=(RESAMPLE, dim))
        for dim in replicates(values)
    }
    if not draws:
        return values
    return values.drop_vars(draws, errors="ignore").isel(draws).transpose(RESAMPLE, ...)


def _labels(values: xr.DataArray, dim: str) -> tuple[str, ...]:
    """What stands along a dimension: its labels, or 0, 1, ... where it has none."""
    return tuple(str(label) for label in values[dim].values)


@functools.cache
def _draws(dim: str, labels: tuple[str, ...]) -> np.ndarray:
    """(resample, replicate): positions, the same wherever the same labels are drawn from."""
    digest = hashlib.sha256("\0".join(["bootstrap", dim, *labels]).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest))
    return generator.integers(len(labels), size=(RESAMPLES, len(labels)))
