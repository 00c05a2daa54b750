"""Arrays in, arrays out; a metric keeps every named dimension over which it does not average."""

from dalib.metrics.base import Evaluation, Metric
from dalib.metrics.climate import correlation_dimension, d_h, d_stsp, d_stsp_mixture
from dalib.metrics.distributions import nearest_distance, sliced_wasserstein, wasserstein
from dalib.metrics.dynamical import lag_correlation, lobe_changes, lyapunov_error, mean_period
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
    "correlation_dimension",
    "coverage",
    "crps",
    "d_h",
    "d_stsp",
    "d_stsp_mixture",
    "diverged",
    "error_norm",
    "lag_correlation",
    "lobe_changes",
    "lyapunov_error",
    "mae",
    "mase",
    "mean_period",
    "mse_db",
    "nearest_distance",
    "nrmse",
    "rmse",
    "sliced_wasserstein",
    "smape",
    "spread",
    "vpt",
    "vpt_censored",
    "wasserstein",
]
