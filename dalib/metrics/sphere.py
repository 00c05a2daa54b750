"""Errors of fields on the sphere, each row of a grid counting by its share of the area."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib.metrics.base import STATE, Evaluation, Metric, infinite
from dalib.metrics.pointwise import Dims

PLACE = ("lat", "lon")


def latitude_weights(lat: xr.DataArray) -> xr.DataArray:
    """cos φ / mean cos φ, (lat,); `lat` in degrees (Rasp et al. 2020, eq. 2)."""
    cos = np.cos(np.deg2rad(lat))
    return (cos / cos.mean()).assign_attrs(units="1", long_name="share of the area")


def weighted_rmse(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = PLACE) -> xr.DataArray:
    """Root of the weighted mean square error over `dim`, in the units of `truth`.

        √ mean_dim w (estimate - truth)²,      w = cos φ / mean cos φ

    All other dimensions, such as `channel` and `time`, are kept.

    Range: 0 to infinity; 0 is perfect.
    Source: Rasp et al. 2020, eq. 1.
    """
    with xr.set_options(arithmetic_join="exact"):
        return np.sqrt(_mean((estimate - truth) ** 2, dim))


def relative_rmse(estimate: xr.DataArray, truth: xr.DataArray, dim: Dims = PLACE) -> xr.DataArray:
    """`weighted_rmse` as a share of the size of the truth; 1 is the error of the estimate 0.

        √ (mean_dim w (estimate - truth)² / mean_dim w truth²)

    Of fields from which the mean of their channel has been taken: geopotential is so far from 0
    that its own size says nothing.

    Range: 0 to infinity; 0 is perfect, 1 the estimate 0.
    """
    size = np.sqrt(_mean(truth**2, dim))
    return (weighted_rmse(estimate, truth, dim) / size).assign_attrs(units="1")


def anomaly_correlation(
    estimate: xr.DataArray, truth: xr.DataArray, climatology: xr.DataArray, dim: Dims = PLACE
) -> xr.DataArray:
    """Weighted correlation of the departures a, b from a climatology (Rasp et al. 2020, eq. 3).

        mean_dim w a b / √ (mean_dim w a² mean_dim w b²)

    Range: -1 to 1; 1 is perfect.
    Source: Rasp et al. 2020, eq. 3.
    """
    with xr.set_options(arithmetic_join="exact"):
        a, b = estimate - climatology, truth - climatology
        size = np.sqrt(_mean(a**2, dim) * _mean(b**2, dim))
        return (_mean(a * b, dim) / size).assign_attrs(units="1")


def _mean(values: xr.DataArray, dim: Dims) -> xr.DataArray:
    return (latitude_weights(values["lat"]) * values).mean(dim, skipna=False)


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class WeightedRMSE(Metric):
    """`weighted_rmse` of every map of gridded states (..., lat, lon)."""

    asks = frozenset({"estimate", "truth"})
    function = staticmethod(weighted_rmse)
    units = STATE
    long_name = "root mean square error, weighted by area"
    over = PLACE

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return weighted_rmse(infinite(evaluation.estimate), evaluation.truth)


@dataclass(frozen=True)
class RelativeRMSE(Metric):
    """`relative_rmse` of every map of gridded states (..., lat, lon)."""

    asks = frozenset({"estimate", "truth"})
    function = staticmethod(relative_rmse)
    long_name = "root mean square error as a share of the size of the truth"
    over = PLACE

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        return relative_rmse(infinite(evaluation.estimate), evaluation.truth)


@dataclass(frozen=True)
class AnomalyCorrelation(Metric):
    """`anomaly_correlation` of every map of gridded states (..., lat, lon)."""

    asks = frozenset({"estimate", "truth", "climatology"})
    function = staticmethod(anomaly_correlation)
    worst = -1.0
    long_name = "anomaly correlation"
    over = PLACE

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        estimate, truth = evaluation.estimate, evaluation.truth
        lost = ~np.isfinite(estimate).all(PLACE)
        correlation = anomaly_correlation(estimate, truth, evaluation.climatology)
        return correlation.where(~lost, -1.0).where(truth.notnull().all(PLACE))
