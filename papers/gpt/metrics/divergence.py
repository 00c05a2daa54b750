"""How long two continuations of one past agree, and how far they part."""

import numpy as np
from scipy.spatial.distance import cdist

ROWS = 256  # of a matrix of distances at once


def match_times(continuation: np.ndarray, others: np.ndarray, interval: float) -> np.ndarray:
    """Model time for which others agree token by token with a continuation from its start on.

    continuation (..., lead), others (..., draw, lead) -> (..., draw); NaN for a draw of -1, which
    is none.
    """
    equal = continuation[..., None, :] == others
    steps = np.where(equal.all(-1), equal.shape[-1], np.argmin(equal, -1))
    return np.where((others >= 0).all(-1), steps * interval, np.nan)


def mean_distance(tokens: np.ndarray, others: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """⟨‖c(k_t) - c(k'_t)‖₂⟩ over windows: (window, lead), (window, lead) -> (lead,).

    Windows where the other is -1 are left out; NaN if all are.
    """
    there = (others >= 0).all(-1)
    if not there.any():
        return np.full(tokens.shape[-1], np.nan)
    distance = np.linalg.norm(centres[tokens[there]] - centres[others[there]], axis=-1)
    return distance.mean(0)


def independent(visits: np.ndarray, centres: np.ndarray) -> float:
    """Σ_ij p_i p_j ‖c_i - c_j‖₂ of visits (token,) to centres (token, state).

    How far apart two states are that know nothing of each other: where distances end.
    """
    share = visits / visits.sum()
    blocks = np.array_split(np.arange(len(share)), len(share) // ROWS + 1)
    return float(sum(share[i] @ (cdist(centres[i], centres) @ share) for i in blocks))


def late(distance: np.ndarray) -> float:
    """Mean of the last quarter of a curve (lead,)."""
    return float(distance[-(len(distance) // 4 or 1) :].mean())


def time_to(distance: np.ndarray, level: float, interval: float) -> float:
    """Model time at which a curve (lead,) first reaches a level; NaN if it does not."""
    reached = distance >= level
    return interval * (int(np.argmax(reached)) + 1) if reached.any() else float("nan")


def growth_rate(distance: np.ndarray, low: float, high: float, interval: float) -> float:
    """Slope of log distance in time between two levels, by least squares.

    Over the times from the first above `low` to the first at `high`, or to the end; NaN where these
    are fewer than three.
    """
    above, reached = distance >= low, distance >= high
    first = int(np.argmax(above)) if above.any() else len(distance)
    last = int(np.argmax(reached)) + 1 if reached.any() else len(distance)
    if last - first < 3 or not (distance[first:last] > 0).all():
        return float("nan")
    times = interval * np.arange(first, last)
    return float(np.polyfit(times, np.log(distance[first:last]), 1)[0])
