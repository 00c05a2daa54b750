"""What scores of tokens share: groups of true trajectories, laws of pairs, growth, agreement.

Values in, values out. Distances are between visits of cells, in state units. The trajectories and
times that chance picks are picked once for a case, so that all codecs and methods meet the same.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from dalib.metrics.distributions import wasserstein
from papers.gpt.metrics import divergence, growth

LAGS = (1, 10)  # samples between the states of a pair
LEVELS = (0.01, 0.1)  # of the independent distance, between which a growth rate is taken
FITS = (1, 3)  # first number of steps in the extrapolation of growth rates

Tokens = Mapping[str, np.ndarray]  # by split ("train", "test"): (seed, time)
Jacobian = Callable[[np.ndarray], np.ndarray]  # (..., state) -> (..., state, state)
Variables = dict[str, Any]  # of a dataset


def labels(dim: str, values: Iterable, long_name: str) -> xr.Variable:
    return xr.Variable(dim, list(values), {"units": "1", "long_name": long_name})


def without_transients(tokens: Tokens, discard: int) -> Tokens:
    """The splits without the first `discard` samples of every trajectory."""
    shortest = min(part.shape[1] for part in tokens.values())
    if not 0 <= discard < shortest:
        raise ValueError(
            f"discard must be less than the {shortest} samples of a trajectory, got {discard}"
        )
    return {split: part[:, discard:] for split, part in tokens.items()}


def group(trajectories: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """(size,), indices of different trajectories, drawn at random."""
    if trajectories < size:
        raise ValueError(
            f"a group as large as the test part needs {size} trajectories for training, there are "
            f"{trajectories}; give truth.train more seeds, or truth.test fewer"
        )
    return generator.permutation(trajectories)[:size]


def disjoint_groups(
    trajectories: int, size: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two groups of `size` trajectories, none in both, drawn at random."""
    if trajectories < 2 * size:
        raise ValueError(
            f"two groups of {size} trajectories need {2 * size} for training, there are "
            f"{trajectories}; give truth.train more seeds, or truth.test fewer"
        )
    both = group(trajectories, 2 * size, generator)
    return both[:size], both[size:]


def places(points: int, generator: np.random.Generator) -> np.ndarray:
    """(lag, 2, point, 2), for each lag and each of two sets: where its pairs of states lie.

    Uniform on [0, 1): shares of the way through the trajectories and through their times.
    """
    return generator.random((len(LAGS), 2, points, 2))


def pair_distances(
    a: np.ndarray, b: np.ndarray, centres: np.ndarray, where: np.ndarray
) -> list[float]:
    """W₁ between the laws of (x_t, x_{t+lag}) of two sets of series (case, time), for each lag."""
    return [
        float(wasserstein(*(_pairs(s, lag, centres, u) for s, u in zip((a, b), at, strict=True))))
        for lag, at in zip(LAGS, where, strict=True)
    ]


def _pairs(tokens: np.ndarray, lag: int, centres: np.ndarray, where: np.ndarray) -> xr.DataArray:
    """(point, 2) -> (sample, state), two states after one another."""
    cases, times = tokens.shape
    if times <= lag:
        raise ValueError(f"pairs {lag} samples apart need series of more, got {times} samples")
    case, time = (where * (cases, times - lag)).astype(int).T
    pair = centres[tokens[case, time]], centres[tokens[case, time + lag]]
    return xr.DataArray(np.concatenate(pair, axis=-1), dims=("sample", "state"))


def growth_rates(
    states: np.ndarray, jacobian: Jacobian, longest: int, prefix: str = ""
) -> Variables:
    """Growth rates along (case, time, state) over 1 ... `longest` steps, and their limits."""
    rates = growth.mean_growth(jacobian(states), longest)
    fits = [growth.extrapolated(rates, first) for first in FITS]
    return {
        f"{prefix}growth": (("steps",), rates),
        f"{prefix}lyapunov_fit": (("first",), fits),
        "steps": labels("steps", range(1, longest + 1), "steps of the map"),
        "first": labels("first", FITS, "first number of steps in the fit"),
    }


def agreement(made: np.ndarray, shadows: np.ndarray, interval: float) -> Variables:
    """(seed, lead), (seed, draw, lead): how long each draw agrees, and what a table says of it.

    Trajectories without any accepted draw have NaN; the table speaks of the others.
    """
    times = divergence.match_times(made, shadows, interval)
    known = times[~np.isnan(times).all(1)]
    return {
        "divergence": (("seed", "draw"), times),
        "match_median": ((), np.nanmedian(known) if len(known) else np.nan),
        "match_longest": ((), np.nanmax(known, 1).mean() if len(known) else np.nan),
    }


def parting(
    tokens: np.ndarray,
    others: np.ndarray,
    centres: np.ndarray,
    interval: float,
    independent: float,
    prefix: str = "",
) -> Variables:
    """How continuations (seed, start, lead) part from others, up to an `independent` distance.

    (lead,), the mean distance; how late it reaches a tenth of the independent one, how fast its
    logarithm grows from a tenth of that (the same levels for all), and where it is in the end.
    """
    windows = (part.reshape(-1, part.shape[-1]) for part in (tokens, others))
    apart = divergence.mean_distance(*windows, centres)
    low, high = (share * independent for share in LEVELS)
    return {
        f"{prefix}difference": (("lead",), apart),
        f"{prefix}late_difference": ((), divergence.late(apart)),
        f"{prefix}parting_time": ((), divergence.time_to(apart, high, interval)),
        f"{prefix}growth_rate": ((), divergence.growth_rate(apart, low, high, interval)),
    }
