"""Whether a long free run has the climate of the truth: its invariant density, spectrum, dimension.

Two finite runs of one system differ too: quote beside each number the floor, the same metric of
another true run. Neither density nor spectrum alone is a verdict: report the pair.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from dalib import limits
from dalib.metrics.base import Evaluation, Metric
from dalib.metrics.dynamical import mean_period

MOST_BINNED = 5  # dimensions
ROUND_OFF = 1e-12  # of a constant, relative to its size
BLOCK = 100  # rows of a matrix of distances at once


def d_stsp(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    bins: int = 30,
    alpha: float = 1e-5,
    dim: str = "time",
) -> xr.DataArray:
    """Divergence of the density of states from the true one, by histograms, up to 5 dimensions.

        KL(p ‖ q) = Σ_k p_k ln(p_k / q_k),   p_k = (n_k + α) / (Σ_k n_k + α m^d)

    p of the truth, q of the estimate, on m bins in each of the d directions from min - 0.1 σ to
    max + 0.1 σ of the truth. (..., time, state), (..., time, state) -> (...); lengths may differ.

    Diverged: states outside the box and states that are not finite are dropped; NaN if none is
    left. The registered metric makes that infinity.
    Range: 0 to infinity; the value between two true runs of that length is the floor.
    Source: Koppe et al. 2019; Hess et al. 2023.
    """
    if (size := truth.sizes["state"]) > MOST_BINNED:
        raise ValueError(
            f"{bins}^{size} bins cannot be filled: up to {MOST_BINNED} components are binned, "
            f"got {size}; take d_stsp_mixture"
        )
    return _between(_histogram_divergence, estimate, truth, dim, bins=bins, alpha=alpha)


def _histogram_divergence(y: np.ndarray, x: np.ndarray, bins: int, alpha: float) -> float:
    """(time, state) of an estimate, (time, state) of the truth -> KL."""
    low, high = x.min(0) - 0.1 * x.std(0), x.max(0) + 0.1 * x.std(0)
    true, found = (_cells(states, low, high, bins) for states in (x, y))
    if not len(found):
        return np.nan
    cells, index = np.unique(np.concatenate([true, found]), return_inverse=True)
    n, m = (np.bincount(i, minlength=len(cells)) for i in np.split(index, [len(true)]))
    every = bins ** x.shape[1]
    p, q = ((count + alpha) / (count.sum() + alpha * every) for count in (n, m))
    p_0, q_0 = (alpha / (count.sum() + alpha * every) for count in (n, m))  # where none is
    return float((p * np.log(p / q)).sum() + (every - len(cells)) * p_0 * np.log(p_0 / q_0))


def _cells(states: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int) -> np.ndarray:
    """(time, state) -> numbers of the cells of those states that lie in the box."""
    with np.errstate(invalid="ignore"):
        inside = ((states >= low) & (states <= high)).all(1)
    width = np.where(high > low, high - low, 1.0)
    index = np.minimum((bins * (states[inside] - low) / width).astype(np.int64), bins - 1)
    return index @ bins ** np.arange(len(low))


def d_stsp_mixture(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    variance: float = 1.0,
    draws: int = 1000,
    seed: int = 0,
    dim: str = "time",
) -> xr.DataArray:
    """Divergence of the density of states from the true one, by Gaussian mixtures; any dimension.

        KL(p ‖ q) ≈ (1/n) Σ_j ln [ p(y_j) / q(y_j) ],   y_j ~ p,   p(y) = mean_t N(y; x_t, s² I)

    p of the truth, q of the estimate, both in standard deviations of the truth; n draws from the
    seed. (..., time, state), (..., time, state) -> (...); lengths may differ.

    Diverged: states that are not finite are dropped; NaN if none is left. The registered metric
    makes that infinity.
    Range: 0 to infinity, by chance slightly below; the value between two true runs is the floor.
    Source: Brenner et al. 2022; Hess et al. 2023.
    """
    options = {"variance": variance, "draws": draws, "seed": seed}
    return _between(_mixture_divergence, estimate, truth, dim, **options)


def _mixture_divergence(
    y: np.ndarray, x: np.ndarray, variance: float, draws: int, seed: int
) -> float:
    """(time, state) of an estimate, (time, state) of the truth -> KL."""
    y = y[np.isfinite(y).all(1)]
    if not len(y):
        return np.nan
    mean, std = x.mean(0), x.std(0)
    x, y = (x - mean) / std, (y - mean) / std
    rng = np.random.default_rng(seed)
    at = x[rng.integers(len(x), size=draws)] + np.sqrt(variance) * rng.normal(
        size=(draws, len(std))
    )
    return float(np.mean(_log_mixture(at, x, variance) - _log_mixture(at, y, variance)))


def _log_mixture(at: np.ndarray, centres: np.ndarray, variance: float) -> np.ndarray:
    """(n, state), (time, state) -> (n,), log of the mean of exp(-‖y - x_t‖² / 2s²)."""
    blocks = np.array_split(at, -(-len(at) // BLOCK))
    logs = [logsumexp(-cdist(b, centres, "sqeuclidean") / (2 * variance), axis=1) for b in blocks]
    return np.concatenate(logs) - np.log(len(centres))


def d_h(
    estimate: xr.DataArray, truth: xr.DataArray, *, smoothing: float = 20.0, dim: str = "time"
) -> xr.DataArray:
    """Hellinger distance of the power spectra, mean over the variables.

        (1/d) Σ_i [ 1 - Σ_k (P_{i,k} Q_{i,k})^½ ]^½

    P, Q the periodograms of variable i, standardised by its own mean and deviation, smoothed by a
    Gaussian of 20 frequencies and normalised to the sum 1. Blind to a shift in time. It depends on
    the length, which must be equal, through these 20. The spectrum of a constant is that of its
    round-off: flat.

    (..., time, state), (..., time, state) -> (...).

    Diverged: a series with a value that is not finite has 1.
    Range: 0 to 1; the value between two true runs of that length is the floor.
    Source: Mikhaeil et al. 2022; Hess et al. 2023.
    """
    if estimate.sizes[dim] != truth.sizes[dim]:
        raise ValueError(
            f"spectra of series of equal lengths are compared, got {estimate.sizes[dim]} and "
            f"{truth.sizes[dim]} along {dim!r}"
        )
    P, Q = (_spectrum(x, smoothing, dim) for x in (truth, estimate))
    overlap = np.sqrt(P * Q).sum("frequency", skipna=False)
    distance = np.sqrt(np.maximum(1 - overlap, 0.0))  # round-off can leave -1e-16
    lost = ~np.isfinite(estimate).all((dim, "state"))
    return xr.where(lost, 1.0, distance.mean("state", skipna=False))


def _spectrum(x: xr.DataArray, smoothing: float, dim: str) -> xr.DataArray:
    """(..., time, state) -> (..., state, frequency), smoothed, with sum 1."""

    def spectrum(x: np.ndarray) -> np.ndarray:
        x = np.where(np.isfinite(x), x, 0.0)
        anomaly, size = x - x.mean(-1, keepdims=True), abs(x).max(-1, keepdims=True)
        power = abs(np.fft.rfft(anomaly, axis=-1)) ** 2
        constant = abs(anomaly).max(-1, keepdims=True) <= ROUND_OFF * size
        power = gaussian_filter1d(np.where(constant, 1.0, power), smoothing, axis=-1)
        return power / power.sum(-1, keepdims=True)

    return xr.apply_ufunc(spectrum, x, input_core_dims=[[dim]], output_core_dims=[["frequency"]])


def correlation_dimension(
    x: xr.DataArray,
    window: int,
    *,
    low: float = 10**-3.5,
    high: float = 10**-1.5,
    points: int = 5000,
    dim: str = "time",
) -> xr.DataArray:
    """Correlation dimension D₂ of the set on which a run lies.

        slope of log C(r) in log r,   C(r) = share of pairs |i - j| > w with ‖x_i - x_j‖ < r

    by least squares at radii where C(r) runs from `low` to `high` in equal factors. The window w of
    Theiler (one period) leaves out neighbours in time. Of a run longer than `points`, that many
    states evenly spaced. (..., time, state) -> (...), in the units of the state (scale it before).

    Diverged: NaN for a run with a value that is not finite.
    Range: 0 to the number of components; that of the truth is right.
    Source: Grassberger & Procaccia 1983; Theiler 1986.
    """
    stride = -(-x.sizes[dim] // points)
    thinned = x.isel({dim: slice(None, None, stride)})
    apart = window // stride + 1
    if apart >= thinned.sizes[dim] // 2:
        raise ValueError(
            f"{x.sizes[dim]} states are too few for a Theiler window of {window}: give a run of "
            f"more than {2 * window} samples"
        )
    return xr.apply_ufunc(
        _correlation_slope,
        thinned,
        input_core_dims=[[dim, "state"]],
        kwargs={"apart": apart, "shares": np.geomspace(low, high, 20)},
        vectorize=True,
    )


def _correlation_slope(x: np.ndarray, apart: int, shares: np.ndarray) -> float:
    """(time, state) -> slope; the radii are quantiles of the distances."""
    if not np.isfinite(x).all():
        return np.nan
    starts = range(0, len(x) - apart, BLOCK)
    pairs = []
    for i in starts:  # the upper triangle above the diagonal `apart`, in blocks of rows
        distance = cdist(x[i : i + BLOCK], x[i + apart :])
        pairs.append(distance[np.triu(np.ones(distance.shape, bool))])
    distance = np.concatenate(pairs)
    order = (shares * len(distance)).astype(int)
    radii = np.partition(distance, order)[order]
    if not radii[0] > 0 or radii[0] == radii[-1]:
        return 0.0  # a fixed point, or a cycle of few states
    return float(np.polyfit(np.log(radii), np.log(shares), 1)[0])


def _between(function, estimate: xr.DataArray, truth: xr.DataArray, dim: str, **options):
    """A distance of (time, state) arrays for all other dimensions."""
    return xr.apply_ufunc(
        function,
        estimate,
        truth,
        input_core_dims=[[dim, "state"], [dim, "state"]],
        exclude_dims={dim},
        vectorize=True,
        kwargs=options,
    )


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class DStsp(Metric):
    """`d_stsp` of free runs, `d_stsp_mixture` beyond 5 components; infinite if no state is left.

    Attributes:
        bins: along each component, where states are counted in bins.
        alpha: smoothing of the counts.
        variance: of the components of the mixture, which takes the place of bins beyond 5
            components.
        draws: samples of the mixture.
        seed: of these samples.
    """

    bins: int = 30
    alpha: float = 1e-5
    variance: float = 1.0
    draws: int = 1000
    seed: int = 0

    asks = frozenset({"free_run", "climate"})
    function = staticmethod(d_stsp)
    long_name = "Kullback-Leibler divergence of the density of states"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(2, bins=self.bins)
        limits.at_least(1, draws=self.draws)
        limits.more_than(0, alpha=self.alpha, variance=self.variance)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        run, truth = evaluation.free_run, evaluation.climate
        if truth.sizes["state"] <= MOST_BINNED:
            value = d_stsp(run, truth, bins=self.bins, alpha=self.alpha)
        else:
            options = {"variance": self.variance, "draws": self.draws, "seed": self.seed}
            value = d_stsp_mixture(run, truth, **options)
        return value.fillna(np.inf)


@dataclass(frozen=True)
class DH(Metric):
    """`d_h` of free runs.

    Attributes:
        smoothing: width of the Gaussian over the spectrum, in frequencies.
    """

    smoothing: float = 20.0

    asks = frozenset({"free_run", "climate"})
    worst = 1.0
    function = staticmethod(d_h)
    long_name = "Hellinger distance of the power spectra"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(0, smoothing=self.smoothing)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return d_h(evaluation.free_run, evaluation.climate, smoothing=self.smoothing)


@dataclass(frozen=True)
class CorrelationDimension(Metric):
    """`correlation_dimension` of free runs, variables in standard deviations of the true climate.

    The Theiler window is one period: of the system if known, else the mean period of the climate.

    Attributes:
        points: states at most, evenly spaced.
    """

    points: int = 5000

    asks = frozenset({"free_run", "climate", "interval"})
    takes = frozenset({"period"})
    worst = np.nan
    function = staticmethod(correlation_dimension)
    long_name = "correlation dimension"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(2, points=self.points)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        climate, interval = evaluation.climate, evaluation.interval
        period = evaluation.period or mean_period(climate, interval)
        std = climate.std([d for d in climate.dims if d not in ("run", "state")])
        window = int(np.ceil(period / interval))
        return correlation_dimension(evaluation.free_run / std, window, points=self.points)
