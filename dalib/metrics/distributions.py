"""Distances between sets of states, whatever their order."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from dalib import limits
from dalib.metrics.base import STATE, Evaluation, Metric
from dalib.metrics.transport import transport_cost


def wasserstein(
    samples: xr.DataArray, truth: xr.DataArray, dim: str = "sample", state: str = "state"
) -> xr.DataArray:
    """First Wasserstein distance between two sets of states, exact, in the units of `truth`.

        W₁ = min_T Σ_ij T_ij ‖a_i - b_j‖,   T ≥ 0 with rows summing to 1/n and columns to 1/m

    (..., dim, state), (..., dim, state) -> (...); the sets may differ in size. It is not 0 for two
    finite samples of one law: quote beside it the value between two true sets of the same size.
    A set that holds a NaN or an infinity has no distance: NaN.

    Range: 0 to infinity; the value between two true sets is the floor.
    Source: Villani 2009; network simplex of POT (Flamary et al. 2021).
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


def sliced_wasserstein(
    samples: xr.DataArray,
    truth: xr.DataArray,
    *,
    directions: int = 200,
    seed: int = 0,
    dim: str = "sample",
    state: str = "state",
) -> xr.DataArray:
    """Sliced 2-Wasserstein distance of two sets of states, each variable in true deviations.

        SW₂ = [ mean_θ W₂²(θ·a, θ·b) ]^½,   W₂² = ∫₀¹ (F_a⁻¹(u) - F_b⁻¹(u))² du

    over unit vectors θ drawn uniformly with the seed; exact in each direction, also of sets that
    differ in size. (..., dim, state), (..., dim, state) -> (...).

    Diverged: a set that holds a NaN or an infinity has no distance, NaN. The registered metric
    makes that infinity.
    Range: 0 to infinity; the value between two true sets is the floor.
    Source: Bonneel et al. 2015.
    """
    theta = np.random.default_rng(seed).normal(size=(truth.sizes[state], directions))
    theta /= np.linalg.norm(theta, axis=0)
    return xr.apply_ufunc(
        _sw2,
        samples,
        truth,
        input_core_dims=[[dim, state], [dim, state]],
        exclude_dims={dim},
        vectorize=True,
        kwargs={"theta": theta},
    )


def _sw2(a: np.ndarray, b: np.ndarray, theta: np.ndarray) -> float:
    """(n, state), (m, state) -> SW₂ over the directions (state, direction)."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.nan
    std = b.std(0)
    std = np.where(std > 0, std, 1.0)
    along_a, along_b = (np.sort(x / std @ theta, axis=0) for x in (a, b))
    levels = np.union1d(np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b))
    width = np.diff(levels, prepend=0.0)
    middle = levels - width / 2
    i, j = (np.minimum((middle * len(x)).astype(int), len(x) - 1) for x in (a, b))
    squares = width @ (along_a[i] - along_b[j]) ** 2
    return float(np.sqrt(squares.mean()))


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

        min_j ‖a - b_j‖₂

    (..., state), (any dims, state) -> (...). Samples that are not finite have no distance: NaN.

    Range: 0 to infinity; the value of other true samples is the floor.
    """
    tree = cKDTree(truth.transpose(..., state).values.reshape(-1, truth.sizes[state]))

    def query(points: np.ndarray) -> np.ndarray:
        finite = np.isfinite(points).all(-1)
        distance = np.full(points.shape[:-1], np.nan)
        distance[finite] = tree.query(points[finite])[0]
        return distance

    return xr.apply_ufunc(query, samples, input_core_dims=[[state]])


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class Wasserstein(Metric):
    """`wasserstein` of free runs, of at most `points` of their states; infinite if they diverged.

    The time grows with the square of the number of states, or more.

    Attributes:
        points: states at most, of each of the two.
    """

    points: int = 1000

    asks = frozenset({"free_run", "climate"})
    function = staticmethod(wasserstein)
    units = STATE
    long_name = "first Wasserstein distance to the true states"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(1, points=self.points)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        run, truth = evaluation.free_run, evaluation.climate
        lost = ~np.isfinite(run).all(("time", "state"))  # of all states, not of the few alone
        few, true = evenly(run, self.points), evenly(truth, self.points)
        return wasserstein(few, true, "time").where(~lost, np.inf)


@dataclass(frozen=True)
class SlicedWasserstein(Metric):
    """`sliced_wasserstein` of free runs; infinite if they diverged.

    Attributes:
        directions: random directions onto which states are projected.
        seed: of the directions.
    """

    directions: int = 200
    seed: int = 0

    asks = frozenset({"free_run", "climate"})
    function = staticmethod(sliced_wasserstein)
    long_name = "sliced 2-Wasserstein distance to the true states"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(1, directions=self.directions)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        run, truth = evaluation.free_run, evaluation.climate
        options = {"directions": self.directions, "seed": self.seed}
        return sliced_wasserstein(run, truth, dim="time", **options).fillna(np.inf)


@dataclass(frozen=True)
class NearestDistance(Metric):
    """Median over a free run of `nearest_distance` to the true states of all cases."""

    asks = frozenset({"free_run", "climate"})
    function = staticmethod(nearest_distance)
    units = STATE
    long_name = "median distance to the nearest true state"
    scored = "free_run"
    over = ("time", "state")

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        run, truth = evaluation.free_run, evaluation.climate
        if "run" in truth.dims:
            pairs = [(run.isel(run=[i]), truth.isel(run=i)) for i in range(run.sizes["run"])]
            distance = xr.concat([nearest_distance(*pair) for pair in pairs], "run")
        else:
            distance = nearest_distance(run, truth)
        return distance.fillna(np.inf).median("time")


def evenly(states: xr.DataArray, count: int, dim: str = "time") -> xr.DataArray:
    """At most `count` states, evenly spaced along `dim`."""
    return states.isel({dim: slice(None, None, -(-states.sizes[dim] // count))})
