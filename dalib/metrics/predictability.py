"""For how long a forecast follows the truth, and whether it stays finite."""

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from dalib import limits
from dalib.metrics.base import Evaluation, Metric
from dalib.metrics.dynamical import mean_period
from dalib.metrics.pointwise import nrmse

NORM = "root mean square over the variables, each in its standard deviations on the training truth"


def vpt(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    std: xr.DataArray,
    interval: float,
    *,
    lyapunov: float | xr.DataArray = 1.0,
    threshold: float | xr.DataArray = 0.4,
    dim: str = "lead",
) -> xr.DataArray:
    """Valid prediction time: for how long the normalised error stays below a threshold.

        λ Δ min { t ≥ 0 : e_{t+1} > θ },   e the NRMSE of the t-th forecast step, t = 1, 2, ...

    (..., lead, state), (..., lead, state), (state,) -> (...). In Lyapunov times where λ is the
    largest exponent, in model time where λ is 1. A NaN counts as above the threshold. Where the
    error never exceeds it, the value is the horizon λ Δ h, a lower bound (`vpt_censored`).

    Range: 0 to the horizon; more is better.
    Source: Vlachas et al. 2020; θ = 0.4 as in Platt et al. 2022.
    """
    steps = _steps_below(nrmse(estimate, truth, std), threshold, dim)
    return lyapunov * interval * steps


def vpt_censored(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    std: xr.DataArray,
    *,
    threshold: float | xr.DataArray = 0.4,
    dim: str = "lead",
) -> xr.DataArray:
    """Whether a valid prediction time is but a lower bound, the horizon having come first.

        1 where e_t ≤ θ for all steps t = 1 ... h, else 0

    Range: 0 or 1.
    """
    return (nrmse(estimate, truth, std) <= threshold).all(dim).astype(float)


def _steps_below(error: xr.DataArray, threshold: float | xr.DataArray, dim: str) -> xr.DataArray:
    """Steps before the first error above the threshold, or all."""
    above = ~(error <= threshold)  # a NaN too
    return xr.where(above.any(dim), above.argmax(dim), above.sizes[dim])


def diverged(
    estimate: xr.DataArray, mean: xr.DataArray, std: xr.DataArray, bound: float = 10.0
) -> xr.DataArray:
    """Share of cases whose forecast is not finite or leaves the surroundings of the attractor.

        mean_case [ any_{t,i} not |x̂_{t,i} - m_i| ≤ 10 σ_i ]

    (case, lead or time, state) -> () for every other dimension; m and σ of the training truth.

    Range: 0 to 1; 0 is perfect.
    """
    series = [d for d in estimate.dims if d in ("time", "lead", "state")]
    inside = abs(estimate - mean) <= bound * std
    cases = [d for d in estimate.dims if d == "case"]
    return 1 - inside.all(series).mean(cases)


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class VPT(Metric):
    """`vpt` of every case, in Lyapunov times; in periods where the exponent is not positive.

    With several thresholds the values have a dimension `threshold`. Its attributes say what a
    caption must: the threshold, the norm, and how many of these times are in a unit of model time.

    Attributes:
        threshold: of the error in standard deviations of the training truth, one or several.
    """

    threshold: float | Sequence[float] = 0.4

    asks = frozenset({"estimate", "truth", "training", "interval", "lyapunov"})
    takes = frozenset({"period"})
    worst = 0.0
    function = staticmethod(vpt)
    long_name = "valid prediction time in Lyapunov times (periods where none is positive)"
    over = ("time", "lead", "state")

    def __post_init__(self) -> None:
        limits.more_than(0, threshold=self.threshold)

    @property
    def adds(self) -> tuple[str, ...]:
        return ("threshold",) if isinstance(self.threshold, Sequence) else ()

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        per_time = rate(evaluation)
        time = vpt(
            evaluation.estimate,
            evaluation.truth,
            evaluation.std,
            evaluation.interval,
            lyapunov=per_time,
            threshold=_thresholds(self.threshold),
            dim=evaluation.along,
        )
        return time.assign_attrs(
            threshold=self.threshold, norm=NORM, per_time=per_time.values.tolist()
        )


@dataclass(frozen=True)
class VPTCensored(Metric):
    """`vpt_censored` of every case, for the thresholds of `VPT`.

    Attributes:
        threshold: of the error in standard deviations of the training truth, one or several.
    """

    threshold: float | Sequence[float] = 0.4

    asks = frozenset({"estimate", "truth", "training"})
    worst = 0.0
    function = staticmethod(vpt_censored)
    long_name = "1 where the horizon came before the threshold"
    over = ("time", "lead", "state")

    def __post_init__(self) -> None:
        limits.more_than(0, threshold=self.threshold)

    @property
    def adds(self) -> tuple[str, ...]:
        return ("threshold",) if isinstance(self.threshold, Sequence) else ()

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return vpt_censored(
            evaluation.estimate,
            evaluation.truth,
            evaluation.std,
            threshold=_thresholds(self.threshold),
            dim=evaluation.along,
        )


@dataclass(frozen=True)
class Diverged(Metric):
    """`diverged` over all cases.

    Attributes:
        bound: standard deviations of the training truth beyond which a forecast has diverged.
    """

    bound: float = 10.0

    asks = frozenset({"estimate", "training"})
    worst = 1.0
    function = staticmethod(diverged)
    long_name = "share of cases that diverged"
    over = ("case", "time", "lead", "state")

    def __post_init__(self) -> None:
        limits.at_least(0, bound=self.bound)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return diverged(evaluation.estimate, evaluation.mean, evaluation.std, self.bound)


def rate(evaluation: Evaluation) -> xr.DataArray:
    """([run,]) Lyapunov times in a unit of model time, or periods where λ ≤ 0."""
    exponent = xr.DataArray(evaluation.lyapunov)
    if (exponent > 0).all():
        return exponent
    period = evaluation.period or mean_period(evaluation.training, evaluation.interval)
    return exponent.where(exponent > 0, 1 / period)


def _thresholds(threshold: float | Sequence[float]) -> float | xr.DataArray:
    if not isinstance(threshold, Sequence):
        return threshold
    return xr.DataArray(list(threshold), dims="threshold", coords={"threshold": list(threshold)})
