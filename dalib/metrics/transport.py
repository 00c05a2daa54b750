"""Optimal transport by network simplex (POT), which is imported only when it is needed."""

import os
import warnings

import numpy as np
from scipy.spatial.distance import cdist


def transport_cost(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> float:
    """min_T Σ_ij T_ij C_ij, T ≥ 0 with row sums a (n,) and column sums b (m,); C (n, m).

    Exact. Empty `a` and `b` stand for equal weights.
    """
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")  # or POT would import torch
    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not converged: POT only warns
        return float(ot.emd2(a, b, cost, numItermax=10_000_000))


def wasserstein_cells(a: np.ndarray, b: np.ndarray, centres: np.ndarray) -> float:
    """First Wasserstein distance between two distributions on the same cells, in state units.

        W₁ = min_T Σ_ij T_ij ‖c_i - c_j‖₂,   rows of T summing to a/Σa, columns to b/Σb

    Mass that both have in a cell stays there at no cost: by the triangle inequality nothing is
    gained by moving it, so only (a - b)⁺ is carried to (b - a)⁺. The result is exact.

    Args:
        a, b: (cell,), visits or probabilities.
        centres: (cell, state).
    """
    difference = a / a.sum() - b / b.sum()
    surplus, lack = difference > 0, difference < 0
    supply, demand = difference[surplus], -difference[lack]
    if not len(supply):
        return 0.0
    moved = supply.sum()
    cost = cdist(centres[surplus], centres[lack])
    return moved * transport_cost(supply / moved, demand / demand.sum(), cost)


def counts(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """(...) tokens -> (vocabulary,), how often each occurs."""
    return np.bincount(tokens.ravel(), minlength=vocabulary)
