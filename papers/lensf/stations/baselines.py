"""Sparse stations in a field of one variable, and what can be known of it without a model.

Three estimates of the field at places where nothing is measured: the last field known, the usual
one for the hour of the day, and the best linear correction of that by what the stations report.
Places are (lat, lon) points of the grid, counted row by row.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr


def every(grid: tuple[int, int], k: int, offset: int | None = None) -> np.ndarray:
    """(station,): every k-th point in both directions, from `offset` (None: k // 2)."""
    first = k // 2 if offset is None else offset
    rows, columns = (np.arange(first, size, k) for size in grid)
    if not len(rows) or not len(columns):
        raise ValueError(f"a grid of {grid[0]} x {grid[1]} has no point {first} + {k} i both ways")
    return (rows[:, None] * grid[1] + columns).ravel()


def observed(
    fields: xr.DataArray, stations: np.ndarray, error_std: float, seed: int
) -> xr.DataArray:
    """(time, station): fields (time, lat, lon) at the stations, with independent normal errors."""
    seen = _flat(fields)[:, stations]
    errors = np.random.default_rng(seed).standard_normal(seen.shape)
    attrs = {"units": fields.attrs.get("units", "1"), "long_name": "observed"}
    coords = {"time": fields["time"], "station": stations}
    return xr.DataArray(seen + error_std * errors, coords, ("time", "station"), attrs=attrs)


@dataclass(frozen=True)
class Diurnal:
    """The mean of each hour of the day, and how the field varies about it.

    mean: (hour, place) of the training data; hours of the day in `hours`.
    anomalies: (time, place), training data less the mean of their hour.
    """

    hours: np.ndarray
    mean: np.ndarray
    anomalies: np.ndarray

    @classmethod
    def fit(cls, train: xr.DataArray) -> "Diurnal":
        """From fields (time, lat, lon) of whole days."""
        values, hour = _flat(train), train["time"].dt.hour.values
        hours, which = np.unique(hour, return_inverse=True)
        mean = np.stack([values[which == k].mean(0) for k in range(len(hours))])
        return cls(hours, mean, values - mean[which])

    def at(self, times: xr.DataArray) -> np.ndarray:
        """(time, place): the mean of the hour of each time."""
        hour = times.dt.hour.values
        unknown = np.setdiff1d(hour, self.hours)
        if len(unknown):
            raise ValueError(f"the training data have no field at hour {unknown[0]} of the day")
        return self.mean[np.searchsorted(self.hours, hour)]

    def covariance(self, stations: np.ndarray) -> np.ndarray:
        """(place, station): B Hᵀ, sample covariance with the mean of each hour removed."""
        count = len(self.anomalies) - len(self.hours)
        return self.anomalies.T @ self.anomalies[:, stations] / count


def persistence(train: xr.DataArray, times: xr.DataArray, period: int = 1) -> np.ndarray:
    """(time, place): the last `period` training fields over and over; 1 is the last field."""
    last = _flat(train)[-period:]
    return last[np.arange(len(times)) % period]


def interpolated(
    background: Diurnal, y: xr.DataArray, stations: np.ndarray, error_std: float
) -> np.ndarray:
    """(time, place): optimal interpolation of y (time, station) (Gandin 1963), for each time alone.

    x = m + B Hᵀ (H B Hᵀ + R)⁻¹ (y - H m),   m the mean of the hour, R = error_std² I
    """
    m = background.at(y["time"])
    BHt = background.covariance(stations)
    S = BHt[stations] + error_std**2 * np.eye(len(stations))
    weights = np.linalg.solve(S, BHt.T)  # (station, place)
    return m + (y.values - m[:, stations]) @ weights


def _flat(fields: xr.DataArray) -> np.ndarray:
    """(time, lat, lon) -> (time, place) in float64."""
    return (
        fields.transpose("time", "lat", "lon")
        .values.reshape(fields.sizes["time"], -1)
        .astype(float)
    )
