"""What training did, from what the network reported of windows of both parts.

Reports are of data held fixed at every check: train_<quantity> and valid_<quantity> (check, ...),
such as negative_elbo, -ELBO per step of a sequence in nats.
"""

from dataclasses import dataclass

import xarray as xr

from dalib.metrics.base import Evaluation, Metric


@dataclass(frozen=True)
class OfHistory(Metric):
    """A metric of the history of a fit."""

    asks = frozenset({"history"})
    worst = None

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("run",)


@dataclass(frozen=True)
class Curve(OfHistory):
    """A report at every check."""

    report: str = "train_negative_elbo"
    long_name = "report of the training"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return evaluation.history[self.report]

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("run", "check")


@dataclass(frozen=True)
class Last(OfHistory):
    """A report after training."""

    report: str = "train_prediction_rmse"
    long_name = "report after training"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return evaluation.history[self.report].isel(check=-1, drop=True)


@dataclass(frozen=True)
class Fall(OfHistory):
    """first - last of a report."""

    report: str = "train_negative_elbo"
    long_name = "fall of the report during training"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        curve = evaluation.history[self.report]
        return curve.isel(check=0, drop=True) - curve.isel(check=-1, drop=True)


@dataclass(frozen=True)
class Gap(OfHistory):
    """valid - train of a report, after training."""

    report: str = "negative_elbo"
    long_name = "validation minus training, after training"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        last = evaluation.history.isel(check=-1, drop=True)
        return last[f"valid_{self.report}"] - last[f"train_{self.report}"]


@dataclass(frozen=True)
class LearnedError(OfHistory):
    """The standard deviation of the observation errors that the network has learned."""

    asks = frozenset({"history", "obs_std"})
    long_name = "learned standard deviation of the observation error"

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        last = evaluation.history["train_error_std"].isel(check=-1, drop=True)
        obs = evaluation.obs_std.obs
        return last.rename(state="obs").assign_coords(obs=obs)

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        return ("run", "obs")
