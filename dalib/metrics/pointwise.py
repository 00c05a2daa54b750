"""Errors of a single best estimate."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib import limits
from dalib.metrics.base import STATE, Evaluation, Metric, infinite, present

Dims = Hashable | Sequence[Hashable]
SERIES = ("time", "lead", "state")  # what an error is averaged over if nothing else is said


def rmse(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = ("time", "state")):
    """Root mean square error over `dim`, in the units of `truth`; all other dimensions are kept.

        √ mean_dim (estimate - truth)²

    The root is taken once, after the mean over all of `dim`. One NaN makes the result NaN: a filter
    that left to infinity is not excused. Coordinates must agree exactly.

    Range: 0 to infinity; 0 is perfect.
    """
    with xr.set_options(arithmetic_join="exact"):
        return np.sqrt(((estimate - truth) ** 2).mean(dim, skipna=False))


def mae(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = ("time", "state")):
    """Mean absolute error over `dim`, in the units of `truth`; the CRPS of a point forecast.

        mean_dim |estimate - truth|

    Range: 0 to infinity; 0 is perfect.
    """
    with xr.set_options(arithmetic_join="exact"):
        return abs(estimate - truth).mean(dim, skipna=False)


def mse_db(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = ("case", "time", "state")):
    """Mean square error over `dim` in decibels, per component.

        10 log₁₀ mean_dim (estimate - truth)²

    Range: -infinity to infinity; less is better.
    Source: Revach et al. 2022 (KalmanNet), sec. IV.
    """
    with np.errstate(divide="ignore"):
        return 20 * np.log10(rmse(estimate, truth, dim))


def nrmse(
    estimate: xr.DataArray, truth: xr.DataArray, std: xr.DataArray, dim: Dims = "state"
) -> xr.DataArray:
    """Error of a state with each variable in units of its standard deviation.

        e_t = [ (1/d) Σ_i ((x̂_{t,i} - x_{t,i}) / σ_i)² ]^½

    (..., state), (..., state), (state,) -> (...). σ is that of the training truth. Two independent
    states on the attractor are √2 apart (root mean square), the mean is 1 from the truth.

    Range: 0 to infinity; 0 is perfect.
    Source: Pathak et al. 2018; Hess et al. 2023.
    """
    return rmse(estimate / std, truth / std, dim)


def smape(
    estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = ("lead", "state")
) -> xr.DataArray:
    """Symmetric mean absolute percentage error over `dim`, in raw units.

        (200 / (h d)) Σ_t Σ_i |x̂ - x| / (|x̂| + |x|)

    It depends on the offset of the data: only to be compared with the literature on the same data.
    A term 0/0 is 0; a term with a non-finite estimate is 200.

    Range: 0 to 200; 0 is perfect.
    Source: Makridakis 1993; Gilpin 2021.
    """
    size = abs(estimate) + abs(truth)
    term = (abs(estimate - truth) / size.where(size > 0)).where(size > 0, 0.0)
    term = term.where(np.isfinite(estimate), 1.0).where(truth.notnull())
    return 200 * term.mean(dim, skipna=False)


def mase(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    training: xr.DataArray,
    dim: Dims = ("lead", "state"),
) -> xr.DataArray:
    """Mean absolute error over `dim` in units of that of persistence over one training step.

        mean_dim [ |x̂ - x|_i / mean_t |x_{t,i} - x_{t-1,i}| ]

    The step error is taken for each variable by itself (as for univariate series), so that units do
    not matter. training ([case,] time, state); steps from or to a missing value are left out.

    Range: 0 to infinity; 1 is persistence over one step of the training series.
    Source: Hyndman & Koehler 2006.
    """
    over = [d for d in training.dims if d not in ("run", "state")]
    step = abs(training.diff("time")).mean(over)
    return mae(estimate / step, truth / step, dim)


def spread(std: xr.DataArray, dim: Dims = ("time", "state")) -> xr.DataArray:
    """Root mean variance over `dim`, in the units of `std`; equals the RMSE of a calibrated filter.

        √ mean_dim std²

    Range: 0 to infinity; the RMSE is right.
    """
    return np.sqrt((std**2).mean(dim, skipna=False))


def error_norm(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = "state") -> xr.DataArray:
    """Euclidean length of the error, in the units of `truth`.

        ‖estimate - truth‖₂ over dim

    Range: 0 to infinity; 0 is perfect.
    """
    with xr.set_options(arithmetic_join="exact"):
        error = np.sqrt(((estimate - truth) ** 2).sum(dim, skipna=False))
    return error.assign_attrs(units=truth.attrs.get("units", "1"), long_name="error norm")


def climatological_std(truth: xr.DataArray, dim: Dims = ("seed", "time")) -> xr.DataArray:
    """Error of the best constant forecast, in the units of `truth`.

        √ mean_state var_dim(truth)

    Range: 0 to infinity; what an error is compared with.
    """
    return np.sqrt(truth.var(dim, skipna=False).mean("state", skipna=False))


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class RMSE(Metric):
    """`rmse` over some dimensions, e.g. (case, state) for a curve in lead time.

    Attributes:
        over: dimensions over which the mean is taken.
    """

    over: Sequence[str] = SERIES

    asks = frozenset({"estimate", "truth"})
    function = staticmethod(rmse)
    units = STATE
    long_name = "root mean square error"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        estimate = infinite(evaluation.estimate)
        return rmse(estimate, evaluation.truth, present(self.over, estimate))


@dataclass(frozen=True)
class MAE(Metric):
    """`mae` over some dimensions.

    Attributes:
        over: dimensions over which the mean is taken.
    """

    over: Sequence[str] = SERIES

    asks = frozenset({"estimate", "truth"})
    function = staticmethod(mae)
    units = STATE
    long_name = "mean absolute error"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        estimate = infinite(evaluation.estimate)
        return mae(estimate, evaluation.truth, present(self.over, estimate))


@dataclass(frozen=True)
class MSEdB(Metric):
    """`mse_db` over some dimensions.

    Attributes:
        over: dimensions over which the mean is taken.
    """

    over: Sequence[str] = ("case", *SERIES)

    asks = frozenset({"estimate", "truth"})
    function = staticmethod(mse_db)
    units = "dB"
    long_name = "mean square error"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        estimate = infinite(evaluation.estimate)
        return mse_db(estimate, evaluation.truth, present(self.over, estimate))


@dataclass(frozen=True)
class NRMSE(Metric):
    """`nrmse` of every state; the root after the mean over further dimensions if told so.

    Attributes:
        over: dimensions over which the mean is taken.
    """

    over: Sequence[str] = ("state",)

    asks = frozenset({"estimate", "truth", "training"})
    function = staticmethod(nrmse)
    long_name = "root mean square error in standard deviations"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        estimate = infinite(evaluation.estimate)
        return nrmse(estimate, evaluation.truth, evaluation.std, present(self.over, estimate))


@dataclass(frozen=True)
class SMAPE(Metric):
    """`smape` of the first `horizon` samples of a forecast, or of all.

    Attributes:
        over: dimensions over which the mean is taken.
        horizon: samples of the forecast that count; null for all.
    """

    horizon: int | None = None
    over: Sequence[str] = SERIES

    asks = frozenset({"estimate", "truth"})
    worst = 200.0
    function = staticmethod(smape)
    units = "%"
    long_name = "symmetric mean absolute percentage error"

    def __post_init__(self) -> None:
        limits.at_least(1, horizon=self.horizon)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        first = {evaluation.along: slice(self.horizon)}
        estimate, truth = evaluation.estimate.isel(first), evaluation.truth.isel(first)
        return smape(estimate, truth, present(self.over, estimate))


@dataclass(frozen=True)
class MASE(Metric):
    """`mase` of the first `horizon` samples of a forecast, or of all.

    Attributes:
        over: dimensions over which the mean is taken.
        horizon: samples of the forecast that count; null for all.
    """

    horizon: int | None = None
    over: Sequence[str] = SERIES

    asks = frozenset({"estimate", "truth", "training"})
    function = staticmethod(mase)
    long_name = "mean absolute error in mean steps of the training series"

    def __post_init__(self) -> None:
        limits.at_least(1, horizon=self.horizon)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        first = {evaluation.along: slice(self.horizon)}
        estimate, truth = infinite(evaluation.estimate).isel(first), evaluation.truth.isel(first)
        return mase(estimate, truth, evaluation.training, present(self.over, estimate))


@dataclass(frozen=True)
class Spread(Metric):
    """`spread` over some dimensions.

    Attributes:
        over: dimensions over which the mean is taken.
    """

    over: Sequence[str] = SERIES

    asks = frozenset({"spread"})
    function = staticmethod(spread)
    units = STATE
    long_name = "root mean variance"
    scored = "spread"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        std = infinite(evaluation.spread)
        return spread(std, present(self.over, std))


@dataclass(frozen=True)
class ErrorNorm(Metric):
    """`error_norm` of every state."""

    asks = frozenset({"estimate", "truth"})
    function = staticmethod(error_norm)
    units = STATE
    long_name = "error norm"
    over = ("state",)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return error_norm(infinite(evaluation.estimate), evaluation.truth)


@dataclass(frozen=True)
class ClimatologicalStd(Metric):
    """`climatological_std` of the truth."""

    asks = frozenset({"truth"})
    worst = None
    function = staticmethod(climatological_std)
    units = STATE
    long_name = "root mean variance of the truth"
    scored = "truth"
    over = ("case", *SERIES)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        truth = evaluation.truth
        return climatological_std(truth, present(("case", "time", "lead"), truth))
