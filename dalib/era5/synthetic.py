"""A stand-in for reanalysis: travelling waves in the files and under the names of ERA5.

It exercises all that reads, scales, learns from and filters such files, and says nothing about
skill on weather. With colatitudinal shapes S_mn = cos^m φ P_n(sin φ), time t in days,

    ψ   = Σ_{m=1..8} Σ_{n=1..3} A_mn(t) S_mn(φ) cos(m λ - c_mn t + θ_mn)      stream function
    c_mn = m (U - β' / (m² + n²))                                             angular speed
    z500 = g (5500 - 400 sin² φ) + f ψ
    u500 = -∂ψ/∂y + 20 cos φ,      v500 = ∂ψ/∂x
    t850 = 285 - 45 sin² φ + 0.004 f ψ(t - 1 day)
    t2m  = t850 + 10 - 12 sin φ cos(2π (day of the year - 20) / 365.25)

A_mn are Ornstein-Uhlenbeck processes with standard deviation AMPLITUDE / m and memory MEMORY, and
f = 2 Ω sin φ.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.polynomial import Polynomial

from dalib import io

CHANNELS = ("z500", "u500", "v500", "t850", "t2m")
ORDERS, DEGREES = np.arange(1, 9), np.arange(1, 4)  # m and n
LEGENDRE = (Polynomial([0, 1]), Polynomial([-0.5, 0, 1.5]), Polynomial([0, -1.5, 0, 2.5]))
RADIUS, GRAVITY, ROTATION = 6.371e6, 9.81, 7.292e-5  # m, m s-2, s-1
AMPLITUDE = 1.5e7  # m2 s-1, so that z500 varies by about 100 g
MEMORY = 5.0  # days
# U and β', radians a day: waves with m² + n² < 10 go west; so fast that in a day a forecast is
# worth much more than persistence, though the memory is short
EASTWARD, BETA = 0.5, 5.0
LEVELS = (500, 850)  # hPa


def write(
    folder: str | Path,
    years: Sequence[int],
    *,
    seed: int = 0,
    hours: int = 6,
    grid: tuple[int, int] = (32, 64),
) -> list[Path]:
    """Files `era5_YYYY.nc` for successive years, each of which continues the last; their paths.

    Args:
        seed: of the amplitudes and phases; the numbers depend on it and on the first year.
        hours: between two times.
        grid: (lat, lon) points, without the poles.
    """
    paths = []
    for year, dataset in zip(years, datasets(years, seed, hours, grid), strict=True):
        path = Path(folder) / f"era5_{year}.nc"
        title = f"travelling waves in place of ERA5, {year}"
        # a level holds only what is defined there
        io.write(dataset, path, title=title, missing=[n for n in "zuvt" if n in dataset])
        paths.append(path)
    return paths


def datasets(
    years: Sequence[int], seed: int = 0, hours: int = 6, grid: tuple[int, int] = (32, 64)
) -> Iterator[xr.Dataset]:
    """One dataset for each year: z, u, v, t (time, level, latitude, longitude), t2m without level.

    z, u and v are given at 500 hPa, t at 850 hPa; elsewhere they are NaN.
    """
    if list(years) != list(range(years[0], years[0] + len(years))):
        raise ValueError(f"each year continues the last: expected successive years, got {years}")
    step, lag = np.timedelta64(hours, "h"), 24 // hours
    times = [
        np.arange(f"{year}-01-01", f"{year + 1}-01-01", step, dtype="datetime64[ns]")
        for year in years
    ]
    starts = np.cumsum([0, *map(len, times)])
    waves = _waves(starts[-1], hours, seed)
    for time, start, stop in zip(times, starts[:-1], starts[1:], strict=True):
        yield _year(time, waves[start : stop + lag], lag, grid)


def t2m(times: np.ndarray, lat: np.ndarray, lon: np.ndarray, seed: int = 0) -> xr.DataArray:
    """(time, lat, lon) in K of a region, in degrees; times a divisor of a day apart."""
    hours = int((times[1] - times[0]) / np.timedelta64(1, "h"))
    day = (times - times[0].astype("datetime64[Y]")) / np.timedelta64(1, "D")
    values = _fields(day, _waves(len(times), hours, seed), 24 // hours, lat, lon)["t2m", None]
    coords = {"time": times, "lat": lat, "lon": lon}
    return xr.DataArray(values, coords, ("time", "lat", "lon"), attrs={"units": "K"})


def _waves(count: int, hours: int, seed: int) -> np.ndarray:
    """(time, m, n) complex, A exp(i (θ - c t)), from a day before the first of `count` times."""
    lag = 24 // hours
    generator = np.random.default_rng(seed)
    phases = generator.uniform(0, 2 * np.pi, (len(ORDERS), len(DEGREES)))
    amplitudes = ornstein_uhlenbeck(count + lag, hours / 24, generator)
    days = (np.arange(count + lag) - lag) * hours / 24
    m, n = ORDERS[:, None], DEGREES
    speeds = m * (EASTWARD - BETA / (m**2 + n**2))
    return amplitudes * np.exp(1j * (phases - speeds * days[:, None, None]))


def ornstein_uhlenbeck(count: int, step: float, generator: np.random.Generator) -> np.ndarray:
    """(count, m, n): stationary, with standard deviation AMPLITUDE / m; step in days.

    A' = a A + √(1 - a²) s ξ,   a = exp(-step / MEMORY)
    """
    std = AMPLITUDE / ORDERS[:, None]
    noise = std * generator.standard_normal((count, len(ORDERS), len(DEGREES)))
    a = np.exp(-step / MEMORY)
    A = np.empty_like(noise)
    A[0] = noise[0]
    for k in range(1, count):
        A[k] = a * A[k - 1] + np.sqrt(1 - a * a) * noise[k]
    return A


def stream_function(waves: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, ...]:
    """ψ in m² s⁻¹, ∂ψ/∂x and ∂ψ/∂y in m s⁻¹, each (time, lat, lon).

    waves: (time, m, n) complex, A exp(i (θ - c t)); lat and lon in radians.
    """
    sin, cos = np.sin(lat), np.cos(lat)
    m = ORDERS[:, None, None]
    P = np.stack([p(sin) for p in LEGENDRE])
    slope = np.stack([p.deriv()(sin) for p in LEGENDRE])
    shape = cos**m * P  # (m, n, lat)
    over_cos = cos ** (m - 1) * P
    northward = cos ** (m - 1) * (cos**2 * slope - m * sin * P)  # ∂/∂φ
    around = np.exp(1j * ORDERS[:, None] * lon)  # (m, lon)

    def total(shapes: np.ndarray, factor: np.ndarray | float = 1.0) -> np.ndarray:
        coefficients = np.einsum("tmn,mnp->tpm", waves, shapes) * factor
        return (coefficients @ around).real

    return total(shape), total(over_cos, 1j * ORDERS) / RADIUS, total(northward) / RADIUS


def _fields(
    day: np.ndarray, waves: np.ndarray, lag: int, lat: np.ndarray, lon: np.ndarray
) -> dict[tuple[str, int | None], np.ndarray]:
    """{(name, level): (time, lat, lon)}; day of the year of each time, lat and lon in degrees.

    waves: from `lag` steps before the first time to the last.
    """
    psi, dx, dy = stream_function(waves, np.radians(lat), np.radians(lon))
    sin, cos = np.sin(np.radians(lat))[:, None], np.cos(np.radians(lat))[:, None]
    f = 2 * ROTATION * sin
    season = np.cos(2 * np.pi * (day - 20) / 365.25)[:, None, None]
    t850 = 285 - 45 * sin**2 + 0.004 * f * psi[:-lag]
    return {
        ("z", 500): GRAVITY * (5500 - 400 * sin**2) + f * psi[lag:],
        ("u", 500): -dy[lag:] + 20 * cos,
        ("v", 500): dx[lag:],
        ("t", 850): t850,
        ("t2m", None): t850 + 10 - 12 * sin * season,
    }


def _year(time: np.ndarray, waves: np.ndarray, lag: int, grid: tuple[int, int]) -> xr.Dataset:
    """waves: from `lag` steps before the first time to the last."""
    rows, columns = grid
    lat = 90 - (np.arange(rows) + 0.5) * 180 / rows
    lon = np.arange(columns) * 360 / columns
    fields = _fields((time - time[0]) / np.timedelta64(1, "D"), waves, lag, lat, lon)
    units = {"z": "m**2 s**-2", "u": "m s**-1", "v": "m s**-1", "t": "K", "t2m": "K"}
    names = {"z": "Geopotential", "u": "U component of wind", "v": "V component of wind"}
    names |= {"t": "Temperature", "t2m": "2 metre temperature"}
    variables = {}
    for (name, level), values in fields.items():
        attrs = {"units": units[name], "long_name": names[name]}
        dims = ("time", "latitude", "longitude")
        if level is not None:
            dims = ("time", "level", "latitude", "longitude")
            own = np.array(LEVELS)[:, None, None] == level
            values = np.where(own, values[:, None], np.nan)
        variables[name] = (dims, values.astype(np.float32), attrs)
    return xr.Dataset(
        variables,
        {
            "time": time,
            "level": ("level", list(LEVELS), {"units": "hPa", "long_name": "pressure level"}),
            "latitude": ("latitude", lat, {"units": "degrees_north", "long_name": "latitude"}),
            "longitude": ("longitude", lon, {"units": "degrees_east", "long_name": "longitude"}),
        },
    )
