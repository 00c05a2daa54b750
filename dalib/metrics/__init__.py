"""Arrays in, arrays out; a metric keeps every named dimension over which it does not average."""

from dalib.metrics.base import Evaluation, Metric
from dalib.metrics.pointwise import (
    error_norm,
    mae,
    mase,
    mse_db,
    nrmse,
    rmse,
    smape,
    spread,
)
from dalib.metrics.predictability import diverged, vpt, vpt_censored
from dalib.metrics.probabilistic import calibrated_coverage, coverage, crps

__all__ = [
    "Evaluation",
    "Metric",
    "calibrated_coverage",
    "coverage",
    "crps",
    "diverged",
    "error_norm",
    "mae",
    "mase",
    "mse_db",
    "nrmse",
    "rmse",
    "smape",
    "spread",
    "vpt",
    "vpt_censored",
]
