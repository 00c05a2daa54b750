"""Optimal transport by network simplex (POT), which is imported only when it is needed."""

import os
import warnings

import numpy as np
from scipy.spatial.distance import cdist

MOST_PIVOTS = 10_000_000


def transport_cost(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> float:
    """min_T Σ_ij T_ij C_ij, T ≥ 0 with row sums a (n,) and column sums b (m,); C (n, m).

    Exact. Empty `a` and `b` stand for equal weights that sum to 1.
    """
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")  # or POT would import torch
    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of stands in the log too
        value, log = ot.emd2(a, b, cost, numItermax=MOST_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"the optimal transport between {cost.shape[0]} and {cost.shape[1]} points was not "
            f"found: {log['warning']}"
        )
    return float(value)


def wasserstein_cells(a: np.ndarray, b: np.ndarray, centres: np.ndarray) -> float:
    """First Wasserstein distance between two distributions on the same cells, in state units.

        W₁ = min_T Σ_ij T_ij ‖c_i - c_j‖₂,   rows of T summing to a/Σa, columns to b/Σb

    Mass that both have in a cell stays there at no cost, and only (a - b)⁺ is carried to (b - a)⁺:
    what goes i → j → k may as well go i → k, by the triangle inequality at no more cost. So the
    result is exact.

    Args:
        a, b: (cell,), visits, or probabilities times any constant.
        centres: (cell, state).

    Range: 0 to infinity; the value between two true runs is the floor.
    """
    require_distribution(a, "first")
    require_distribution(b, "second")
    difference = a * b.sum() - b * a.sum()  # of whole numbers: equal shares cancel exactly
    surplus, lack = difference > 0, difference < 0
    if not (surplus.any() and lack.any()):
        return 0.0
    supply, demand = difference[surplus], -difference[lack]
    moved = supply.sum() / a.sum() / b.sum()
    cost = cdist(centres[surplus], centres[lack])
    return float(moved * transport_cost(supply / supply.sum(), demand / demand.sum(), cost))


def require_distribution(weights: np.ndarray, which: str) -> None:
    """Refuse what is not finite, negative, or 0 everywhere."""
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            f"the {which} distribution needs finite weights that are not negative, one of them "
            f"positive; got {len(weights)} that sum to {weights.sum():g}"
        )


def counts(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """(...) tokens -> (vocabulary,), how often each occurs."""
    return np.bincount(tokens.ravel(), minlength=vocabulary)
