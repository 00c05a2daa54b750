"""Sparse stations in a field of one variable, and what can be known of it without a model.

Three estimates of the field at places where nothing is measured: the last field known, the usual
one for the hour of the day, and the best linear correction of that by what the stations report.
Places are (lat, lon) points of the grid, counted row by row.
"""

import math
from collections.abc import Mapping
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


def spread_out(lat: np.ndarray, lon: np.ndarray, count: int) -> np.ndarray:
    """(station,), in increasing order: `count` points, each as far from those before as can be.

    Farthest-point sampling (Gonzalez 1985) by great-circle distance, from the point nearest to the
    middle of the grid; of points equally far, the first.
    """
    phi, lam = (np.radians(a).ravel() for a in np.meshgrid(lat, lon, indexing="ij"))
    if not 1 <= count <= len(phi):
        raise ValueError(f"{count} stations on a grid of {len(phi)} points")
    places = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], 1)
    middle = np.radians([(lat[0] + lat[-1]) / 2, (lon[0] + lon[-1]) / 2])
    chosen = [int(np.hypot(phi - middle[0], lam - middle[1]).argmin())]
    nearest = np.full(len(phi), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((places - places[chosen[-1]]) ** 2).sum(1).round(12))
        chosen.append(int(nearest.argmax()))
    return np.sort(np.array(chosen))


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


def baselines(
    fields: xr.DataArray,
    stations: np.ndarray,
    *,
    train: tuple,
    test: tuple,
    error_std: float,
    seed: int,
) -> Mapping[str, float]:
    """Root mean square error in the units of the fields, at the test times where no station is.

    Args:
        fields: (time, lat, lon), of one channel.
        stations: (station,), from `every` or `spread_out`.
        train, test: (first, last) dates, both included; the test follows the training data.
        error_std: of the stations, in the units of the fields.
        seed: of their errors.

    Returns:
        {"persistence", "persistence of the last day", "climatology", "interpolation"}: RMSE.
    """
    known, truth = (fields.sel(time=slice(*map(str, span))) for span in (train, test))
    if not truth["time"][0] > known["time"][-1]:
        raise ValueError(f"the test, from {test[0]}, has to follow the training, to {train[1]}")
    background = Diurnal.fit(known)
    y = observed(truth, stations, error_std, seed)
    day = len(background.hours)
    estimates = {
        "persistence": persistence(known, truth["time"]),
        "persistence of the last day": persistence(known, truth["time"], day),
        "climatology": background.at(truth["time"]),
        "interpolation": interpolated(background, y, stations, error_std),
    }
    unseen = np.setdiff1d(np.arange(background.mean.shape[1]), stations)
    x = _flat(truth)[:, unseen]
    return {
        name: math.sqrt(((estimate[:, unseen] - x) ** 2).mean())
        for name, estimate in estimates.items()
    }


def _flat(fields: xr.DataArray) -> np.ndarray:
    """(time, lat, lon) -> (time, place) in float64."""
    return (
        fields.transpose("time", "lat", "lon")
        .values.reshape(fields.sizes["time"], -1)
        .astype(float)
    )
