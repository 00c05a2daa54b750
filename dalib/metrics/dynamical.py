"""What a trajectory does in time."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib import limits
from dalib.metrics.base import Evaluation, Metric


def lobe_changes(x: xr.DataArray, threshold: float, dim: str = "time") -> xr.DataArray:
    """Passages from below -threshold to above threshold or back, per 1000 steps along `dim`.

        1000 · #{ t : the lobe entered last changes at t } / #{ steps }

    For the first component of Lorenz-63 and a threshold of 1 this is the rate at which the lobes
    change. The values between the thresholds count for the lobe before them (hysteresis): mere
    changes of sign would be counted several times at each passage where x is noisy, 1.3 times as
    many with noise of standard deviation 0.3. Steps from or to a NaN are not counted.

    Diverged: the steps that are not there are dropped; NaN if none is left.
    Range: 0 to 1000; that of the truth is right.
    """
    x = x.drop_vars(dim, errors="ignore")
    changes, steps = xr.apply_ufunc(
        _passages, x, threshold, input_core_dims=[[dim], []], output_core_dims=[[], []]
    )
    return 1000 * changes / steps.where(steps > 0)


def _passages(x: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(..., time) -> twice (...,): how often the lobe that was entered last changes; in how many
    steps.
    """
    lobe = np.where(np.abs(np.nan_to_num(x)) > threshold, np.sign(x), 0.0)
    entered = np.maximum.accumulate(np.where(lobe != 0, np.arange(x.shape[-1]), 0), -1)
    last = np.take_along_axis(lobe, entered, -1)  # 0 before the first
    there = np.isfinite(x[..., 1:]) & np.isfinite(x[..., :-1])
    return ((last[..., 1:] * last[..., :-1] < 0) & there).sum(-1), there.sum(-1)


def lag_correlation(x: xr.DataArray, dim: str = "time", lag: int = 1) -> xr.DataArray:
    """Autocorrelation of x at `lag` steps along `dim`, between about -1 and 1.

        Σ_t (x_t - m)(x_{t+lag} - m) / Σ_t (x_t - m)²,   m the mean along `dim`

    White noise of length n gives about N(0, 1/n) (Bartlett 1946). Other dimensions are kept.

    Diverged: NaN.
    Range: -1 to 1; that of the truth is right.
    Source: Bartlett 1946.
    """
    if not 0 < lag < x.sizes[dim]:
        raise ValueError(f"lag must lie between 1 and {x.sizes[dim] - 1}, got {lag}")
    anomaly = (x - x.mean(dim, skipna=False)).drop_vars(dim, errors="ignore")
    here, after = anomaly.isel({dim: slice(None, -lag)}), anomaly.isel({dim: slice(lag, None)})
    return (here * after).sum(dim, skipna=False) / (anomaly**2).sum(dim, skipna=False)


def mean_period(x: xr.DataArray, interval: float, dim: str = "time") -> float:
    """Mean period of a series (..., time, state), in model time: one over the mean frequency.

        Σ_f P(f) / Σ_f f P(f)

    P the periodograms of the standardised variables, summed over variables and all else.

    Source: Rosenstein et al. 1993, sec. 3.
    """
    states = x.transpose(..., "state", dim).values
    anomaly = states - states.mean(-1, keepdims=True)
    std = anomaly.std(-1, keepdims=True)
    power = abs(np.fft.rfft(anomaly / np.where(std > 0, std, 1.0), axis=-1)) ** 2
    power = power.reshape(-1, power.shape[-1]).sum(0)
    frequency = np.fft.rfftfreq(states.shape[-1], interval)
    return float(power.sum() / (frequency * power).sum())


def lyapunov_error(exponent: xr.DataArray, true: float | xr.DataArray) -> xr.DataArray:
    """Relative error of the largest Lyapunov exponent of a method's own one-step map.

        |λ̂₁ - λ₁| / |λ₁|

    λ̂₁ by QR on the Jacobians of the map along its own orbit (`dalib.lyapunov.leading_exponent`),
    never from the logarithm of a series: such estimates are unreliable in size.

    Diverged: NaN, as for a method without a one-step map.
    Range: 0 to infinity; 0 is perfect.
    Source: Benettin et al. 1980.
    """
    return abs(exponent - true) / abs(true)


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class LyapunovError(Metric):
    """`lyapunov_error` of every run whose method is a one-step map, else NaN."""

    asks = frozenset({"exponent", "lyapunov"})
    worst = np.nan
    function = staticmethod(lyapunov_error)
    long_name = "relative error of the largest Lyapunov exponent"
    scored = "exponent"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return lyapunov_error(evaluation.exponent, evaluation.lyapunov)


@dataclass(frozen=True)
class LobeChanges(Metric):
    """`lobe_changes` of one component of free runs.

    Attributes:
        component: whose sign tells the lobes apart, counted from 0.
        threshold: beyond which a sign counts, in state units.
    """

    component: int = 0
    threshold: float = 1.0

    asks = frozenset({"free_run"})
    worst = np.nan
    function = staticmethod(lobe_changes)
    long_name = "changes of lobe per 1000 steps"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(0, component=self.component, threshold=self.threshold)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        x = evaluation.free_run.isel(state=self.component, drop=True)
        return lobe_changes(x, self.threshold)


@dataclass(frozen=True)
class LagCorrelation(Metric):
    """Mean over the components of `lag_correlation` of free runs.

    Attributes:
        lag: in samples.
    """

    lag: int = 1

    asks = frozenset({"free_run"})
    worst = np.nan
    function = staticmethod(lag_correlation)
    long_name = "autocorrelation at a lag, mean over the components"
    scored = "free_run"
    over = ("time", "state")

    def __post_init__(self) -> None:
        limits.at_least(1, lag=self.lag)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return lag_correlation(evaluation.free_run, lag=self.lag).mean("state", skipna=False)
