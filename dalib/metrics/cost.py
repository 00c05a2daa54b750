"""What a method costs: numbers fitted and time; the device stands in the provenance."""

from dataclasses import dataclass

import xarray as xr

from dalib.metrics.base import Evaluation, Metric


def parameters(counted: xr.DataArray) -> xr.DataArray:
    """How many numbers a fit determined.

        sum of the sizes of all fitted arrays

    Range: 0 (nothing is fitted) to infinity.
    """
    return counted


def fit_time(seconds: xr.DataArray) -> xr.DataArray:
    """Wall time of a fit, in seconds. It is measured: no two runs agree.

        t_end - t_start

    Range: 0 to infinity.
    """
    return seconds


def forecast_time(seconds: xr.DataArray) -> xr.DataArray:
    """Wall time of one step of one forecast, in microseconds. It is measured: no two runs agree.

        10⁶ (t_end - t_start) / (cases × horizon)

    Range: 0 to infinity.
    """
    return 1e6 * seconds


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class Parameters(Metric):
    """`parameters` of every run."""

    asks = frozenset({"parameters"})
    worst = None
    function = staticmethod(parameters)
    long_name = "fitted parameters"
    scored = "parameters"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return parameters(evaluation.parameters)


@dataclass(frozen=True)
class FitTime(Metric):
    """`fit_time` of every run."""

    asks = frozenset({"fit_seconds"})
    worst = None
    function = staticmethod(fit_time)
    units = "s"
    long_name = "wall time of the fit"
    scored = "fit_seconds"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return fit_time(evaluation.fit_seconds)


@dataclass(frozen=True)
class ForecastTime(Metric):
    """`forecast_time` of every run."""

    asks = frozenset({"forecast_seconds"})
    worst = None
    function = staticmethod(forecast_time)
    units = "us"
    long_name = "wall time of one step of one forecast"
    scored = "forecast_seconds"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return forecast_time(evaluation.forecast_seconds)
