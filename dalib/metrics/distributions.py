"""Distances between sets of states, whatever their order."""

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from dalib.metrics.transport import transport_cost


def wasserstein(
    samples: xr.DataArray, truth: xr.DataArray, dim: str = "sample", state: str = "state"
) -> xr.DataArray:
    """First Wasserstein distance between two sets of states, exact, in the units of `truth`.

        W₁ = min_T Σ_ij T_ij ‖a_i - b_j‖,   T ≥ 0 with rows summing to 1/n and columns to 1/m

    (..., dim, state), (..., dim, state) -> (...); the sets may differ in size. It is not 0 for two
    finite samples of one law: quote beside it the value between two true sets of the same size.
    A set that holds a NaN or an infinity has no distance: NaN.
    """
    return xr.apply_ufunc(
        _w1,
        samples,
        truth,
        input_core_dims=[[dim, state], [dim, state]],
        exclude_dims={dim},
        vectorize=True,
    )


def _w1(a: np.ndarray, b: np.ndarray) -> float:
    """(n, state), (m, state) -> W₁, every state with the same weight."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.nan
    return transport_cost([], [], cdist(a, b))


def gaussian_like(
    truth: xr.DataArray, count: int, generator: np.random.Generator, dim: str = "sample"
) -> xr.DataArray:
    """(dim, state) -> (count, state): draws of the Gaussian with the moments of `truth`."""
    points = truth.transpose(dim, "state")
    draws = generator.multivariate_normal(
        points.mean(dim).values, np.cov(points.values, rowvar=False), size=count, method="cholesky"
    )
    return xr.DataArray(draws, dims=(dim, "state"), coords={"state": truth.state})


def nearest_distance(
    samples: xr.DataArray, truth: xr.DataArray, state: str = "state"
) -> xr.DataArray:
    """Euclidean distance of each sample to the nearest of the true states, in their units.

    (..., state), (any dims, state) -> (...). Samples that are not finite have no distance: NaN.
    """
    tree = cKDTree(truth.transpose(..., state).values.reshape(-1, truth.sizes[state]))

    def query(points: np.ndarray) -> np.ndarray:
        finite = np.isfinite(points).all(-1)
        distance = np.full(points.shape[:-1], np.nan)
        distance[finite] = tree.query(points[finite])[0]
        return distance

    return xr.apply_ufunc(query, samples, input_core_dims=[[state]])
