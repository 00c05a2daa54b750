"""How well filters follow the truth while it is observed, and what they are compared with."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib.metrics import pointwise
from dalib.metrics.base import STATE, Evaluation, Metric, infinite


@dataclass(frozen=True)
class ForecastRMSE(Metric):
    """√ mean over time and components of (forecast - truth)², the forecast one step ahead."""

    asks = frozenset({"background", "truth"})
    units = STATE
    long_name = "root mean square error of the one-step forecast"
    scored = "background"
    over = ("time", "state")

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return pointwise.rmse(infinite(evaluation.background), evaluation.truth)


@dataclass(frozen=True)
class Diverged(Metric):
    """1 where the RMSE exceeds half the climatological deviation, or is not finite."""

    asks = frozenset({"estimate", "truth"})
    worst = 1.0
    long_name = "1 where the RMSE exceeds half the climatological deviation"
    over = ("time", "state")

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        climatological = pointwise.climatological_std(evaluation.truth, ("case", "time"))
        error = pointwise.rmse(infinite(evaluation.estimate), evaluation.truth)
        return (~(error < climatological / 2)).astype(float)


@dataclass(frozen=True)
class ObservationRMSE(Metric):
    """√ mean over time and components of (y - x)², of the components that are observed."""

    asks = frozenset({"observations", "truth"})
    worst = None
    units = STATE
    long_name = "root mean square error of the observations"
    scored = "observations"
    over = ("time", "obs")
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        y = evaluation.observations
        x = evaluation.truth.sel(state=y.obs.values).rename(state="obs")
        return np.sqrt(((y - x.assign_coords(obs=y.obs)) ** 2).mean(("time", "obs")))

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("case",)


@dataclass(frozen=True)
class ObservationError(Metric):
    """The standard deviation of the observation errors, as it was given."""

    asks = frozenset({"obs_std"})
    worst = None
    units = STATE
    long_name = "standard deviation of the observation error"
    of_truth = True

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return evaluation.obs_std

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("obs",)


@dataclass(frozen=True)
class Estimated(Metric):
    """1 for each component of the state that a method estimates, 0 for others."""

    asks = frozenset({"estimate", "training"})
    worst = None
    long_name = "1 where the method estimates the component"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        found = evaluation.training.state.isin(evaluation.estimate.state).astype(float)
        return found.expand_dims("run")

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("run", "state")
