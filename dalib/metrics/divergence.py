"""How long two continuations of one past agree, and how far they part."""

import numpy as np


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


def plateau(distance: np.ndarray) -> float:
    """Mean of the last quarter of a curve (lead,): where the past is forgotten."""
    return float(distance[-(len(distance) // 4 or 1) :].mean())


def growth_rate(distance: np.ndarray, interval: float) -> float:
    """Slope of log distance in time between a tenth of the plateau and the plateau.

    By least squares over the times from the first above a tenth to the first at the plateau; NaN
    where these are fewer than three.
    """
    level = plateau(distance)
    if not np.isfinite(level):
        return float("nan")
    above, reached = distance > 0.1 * level, distance >= level
    first = int(np.argmax(above)) if above.any() else len(distance)
    last = int(np.argmax(reached)) + 1 if reached.any() else len(distance)
    if last - first < 3:
        return float("nan")
    times = interval * np.arange(first, last)
    return float(np.polyfit(times, np.log(distance[first:last]), 1)[0])
