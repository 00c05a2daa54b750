"""How far forecasts follow the truth; the true equations and persistence from the same start.

What the deep Kalman filter is worse or better by than the equations from its own analyses is its
forecasting alone. (From the truth with random errors of the same size the equations would seem
better by half: analyses err along the unstable directions.)
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib.metrics.base import STATE, Evaluation, Metric, infinite

NORMS = {  # of errors over all forecasts, or over those of a trajectory
    "rmse": "root mean square error of the forecast",
    "rms": "root mean square of the error norm of the forecast",
    "median": "median of the error norm of the forecast",
}


@dataclass(frozen=True)
class Error(Metric):
    """An error at each lead: of the method, or of another forecast from where it starts.

    Args:
        norm: rmse (also over components), rms or median of the length of the error.
        by: whose forecast, of method, equations and persistence.
        each: for each test trajectory by itself.
    """

    norm: str = "median"
    by: str = "method"
    each: bool = False

    asks = frozenset({"estimate", "truth"})
    takes = frozenset({"start", "step"})
    units = STATE

    @property
    def long_name(self) -> str:
        return f"{NORMS[self.norm]}, by {self.by}"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        error = infinite(_forecast(evaluation, self.by)) - evaluation.truth
        squares = (error**2).sum("state", skipna=False)
        if self.norm == "rmse":
            return np.sqrt(self._over(squares).mean("case") / error.sizes["state"])
        if self.norm == "rms":
            return np.sqrt(self._over(squares).mean("case"))
        return self._over(np.sqrt(squares)).median("case")

    def _over(self, values: xr.DataArray):
        return values.groupby("trajectory") if self.each else values

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("run", *(["trajectory"] if self.each else []), "lead")


def _forecast(evaluation: Evaluation, by: str) -> xr.DataArray:
    """(run, case, lead, state), from what the method starts from."""
    like = evaluation.estimate
    if by == "method":
        return like
    x = evaluation.start.transpose("run", "case", "state").astype(float)
    if by == "persistence":
        return x.expand_dims(lead=like.lead).transpose(*like.dims)
    states, ahead = x.values, []
    for _ in range(like.sizes["lead"]):
        states = evaluation.step(states)
        ahead.append(states)
    return like.copy(data=np.stack(ahead, -2)).transpose(*like.dims)
