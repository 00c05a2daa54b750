"""ERA5 fields out of yearly NetCDF files or a Zarr store.

Whatever names, orders and signs a source has, what comes out is (time, channel, lat, lon) in
float32: latitude from north to south, longitude eastward (0 to 360 round the globe), one unit for
each channel, no gap and no NaN. What cannot be had so is refused, naming file and variable.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from dalib import io
from dalib.era5.names import DIMENSIONS, Channel, channel, meant, unit
from dalib.era5.sources import is_zarr

BUCKETS = {  # what a bucket needs: a package, and options for reading without an account
    "gs": ("gcsfs", {"token": "anon"}),
    "http": ("aiohttp", {}),
    "https": ("aiohttp", {}),
}
HOUR = np.timedelta64(1, "h")
BLOCK = 64 * 2**20  # bytes of one channel that are in memory as they lie in the file


class Part(NamedTuple):
    """A dataset, where it is, and which year of it is wanted (None: all it has)."""

    dataset: xr.Dataset
    where: str
    year: int | None


def read(
    source: str | Path,
    channels: Sequence[str],
    *,
    years: Sequence[int] | None = None,
    hours: int = 6,
    units: Mapping[str, str] | None = None,
) -> xr.DataArray:
    """(time, channel, lat, lon) float32, with units for each channel in `channel_units`.

    Of a file or store only the variables, levels and times wanted are read, some times at once.

    Args:
        source: a folder of files `era5_YYYY.nc`, one NetCDF file, or a Zarr store: a folder or the
            address of a public bucket, such as
            gs://weatherbench2/datasets/era5/1959-2022-6h-240x121_equiangular_with_poles_conservative.zarr
        channels: such as ("t2m", "z500"), in the order wanted.
        years: calendar years, each of which must be complete; None for all there is.
        hours: between two times; a source with more times is thinned.
        units: {name in the source: unit} where the source states none or a wrong one; WeatherBench
            2 has relative humidity as a fraction, {"relative_humidity": "1"}.

    Raises:
        io.DataError: the source lacks a year, an hour, a variable or a level; has a unit that is
            not known, a NaN or another grid than the years before. It names file and variable.
        ImportError: a Zarr store, but the packages for it are not installed.
    """
    wanted = [channel(name) for name in channels]
    fields: list[xr.DataArray] = []
    for part in _parts(str(source), years):
        fields.append(_fields(part, wanted, hours, units or {}))
        _check_grid(part.where, fields[0], fields[-1])
    alike = {"coords": "minimal", "compat": "override", "join": "override"}
    return xr.concat(fields, "time", **alike) if len(fields) > 1 else fields[0]


# --- sources -----------------------------------------------------------------------------------


def _parts(source: str, years: Sequence[int] | None) -> Iterator[Part]:
    path = Path(source)
    if is_zarr(source):
        store = named(open_zarr(source), source)
        yield from (Part(store, source, year) for year in years or [None])
    elif path.is_dir():
        for year in years if years is not None else _years(path):
            file = path / f"era5_{year}.nc"
            if not file.is_file():
                there = ", ".join(map(str, _years(path)))
                raise io.DataError(file, f"no such file; the folder has the years {there}")
            with io.opened(file) as ds:
                yield Part(named(ds, str(file)), str(file), year)
    else:
        with io.opened(path) as ds:
            file = named(ds, source)
            yield from (Part(file, source, year) for year in years or [None])


def _years(folder: Path) -> list[int]:
    found = sorted(int(path.stem[5:]) for path in folder.glob("era5_[0-9][0-9][0-9][0-9].nc"))
    if not found:
        raise io.DataError(folder, "expected files era5_YYYY.nc, one for each year, found none")
    return found


def open_zarr(store: str) -> xr.Dataset:
    """A Zarr store, local or in a public bucket; values are fetched when they are used."""
    bucket, _, there = store.partition("://")
    package, options = BUCKETS.get(bucket, ("fsspec", {})) if there else ("zarr", {})
    for name in ("zarr", package):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"{store}: reading it needs {name}; pip install 'dalib[era5]'")
    if not there and not Path(store).is_dir():
        raise io.DataError(store, "no such Zarr store")
    return xr.open_zarr(store, chunks=None, storage_options=options or None)


# --- names -------------------------------------------------------------------------------------


def named(ds: xr.Dataset, where: str) -> xr.Dataset:
    """The same with dimensions `time`, `level`, `lat`, `lon`, and no other coordinate but `expver`.

    That tells ERA5 and its preliminary form ERA5T (1 and 5) where a file has both.
    """
    for own, names in DIMENSIONS.items():
        here = [name for name in names if name in ds.dims]
        if len(here) > 1 or not here and own != "level":
            raise io.DataError(
                where, f"expected one dimension {' or '.join(names)}, found {_listed(ds.dims)}"
            )
        ds = ds.drop_vars([name for name in names if name not in here and name in ds.variables])
        ds = ds.rename({name: own for name in here if name != own})
    if ds.sizes.get("number", 1) > 1:
        raise io.DataError(
            where, f"{ds.sizes['number']} members along 'number'; choose one: ds.isel(number=0)"
        )
    ds = ds.squeeze("number") if "number" in ds.dims else ds
    return ds.reset_coords(drop=True)


def variable(ds: xr.Dataset, where: str, wanted: Channel) -> xr.DataArray:
    """([expver,] time, lat, lon): the variable of a channel, at its level; nothing is read."""
    found = [name for name in wanted.names if name in ds.data_vars]
    if not found:
        hint = next(filter(None, (meant(name, ds.data_vars) for name in wanted.names)), "")
        raise io.DataError(
            where,
            f"channel {wanted.name!r}: expected a variable {' or '.join(map(repr, wanted.names))}, "
            f"found {_listed(ds.data_vars)}{hint}",
        )
    values = ds[found[0]]
    if wanted.level is not None:
        values = _at_level(values, where, wanted)
    if set(values.dims) - {"expver"} != {"time", "lat", "lon"}:
        raise io.DataError(
            where,
            f"variable {found[0]!r}: expected the dimensions time, lat, lon for channel "
            f"{wanted.name!r}, found {_listed(values.dims)}",
        )
    return values.transpose(..., "time", "lat", "lon")


def loaded(values: xr.DataArray) -> np.ndarray:
    """(time, lat, lon): values in memory, of ERA5 where it is there, else of ERA5T."""
    if "expver" not in values.dims:
        return values.values
    versions = values.sortby("expver") if "expver" in values.coords else values
    first, *others = (versions.isel(expver=k).values for k in range(versions.sizes["expver"]))
    for other in others:
        first = np.where(np.isnan(first), other, first)
    return first


def _at_level(values: xr.DataArray, where: str, wanted: Channel) -> xr.DataArray:
    if "level" not in values.dims:
        raise io.DataError(
            where,
            f"variable {values.name!r}: channel {wanted.name!r} needs pressure levels, found "
            f"{_listed(values.dims)}; is it a field of the surface?",
        )
    levels = np.asarray(values["level"], float)
    if unit(values["level"].attrs.get("units", "hPa")) == "Pa":
        levels = levels / 100
    index = np.flatnonzero(np.isclose(levels, wanted.level))
    if len(index) != 1:
        raise io.DataError(
            where,
            f"variable {values.name!r}: channel {wanted.name!r} needs the level {wanted.level} "
            f"hPa, found {_listed(f'{level:g}' for level in levels)}",
        )
    return values.isel(level=index[0], drop=True)


def _factor(values: xr.DataArray, where: str, wanted: Channel, units: Mapping[str, str]) -> float:
    """What the values are multiplied by to be in the unit of their channel."""
    stated = units.get(str(values.name), values.attrs.get("units"))
    factor = None if stated is None else wanted.quantity.factor(unit(stated))
    if factor is None:
        known = " or ".join(map(repr, [wanted.quantity.unit, *wanted.quantity.factors]))
        what = "no units attribute" if stated is None else f"{stated!r}"
        raise io.DataError(
            where,
            f"variable {values.name!r}: expected units {known} for channel {wanted.name!r}, found "
            f"{what}; convert it, or say what they are: units={{{values.name!r}: ...}}",
        )
    return factor


# --- values ------------------------------------------------------------------------------------


def _fields(
    part: Part, channels: Sequence[Channel], hours: int, units: Mapping[str, str]
) -> xr.DataArray:
    ds, where = part.dataset, part.where
    found = [variable(ds, where, wanted) for wanted in channels]
    factors = [_factor(v, where, c, units) for v, c in zip(found, channels, strict=True)]
    times = _times(ds, where, part.year, hours)
    rows, lat = southward(_coordinate(ds, "lat", where))
    columns, lon = eastward(_coordinate(ds, "lon", where), where)
    values = np.empty((len(times), len(channels), len(lat), len(lon)), np.float32)
    for k, (v, factor) in enumerate(zip(found, factors, strict=True)):
        for wanted, index in _blocks(v, np.searchsorted(ds["time"].values, times)):
            try:
                values[wanted, k] = loaded(v.isel(time=index))[:, rows][..., columns]
            except (OSError, RuntimeError) as error:
                if not Path(where).is_file():
                    raise
                raise io.unreadable(Path(where), error) from error
        values[:, k] *= np.float32(factor)
        _check_complete(values[:, k], where, str(v.name), channels[k].name, times, lat, lon)
    return labelled(values, times, channels, lat, lon)


def _blocks(v: xr.DataArray, index: np.ndarray) -> Iterator[tuple[slice, slice | np.ndarray]]:
    """(place in the result, times in the file): whole chunks of the file, so many at a time."""
    stored = v.encoding.get("chunksizes") or v.encoding.get("chunks") or ()
    chunk = stored[0] if len(stored) > 2 else 1  # time comes first where a file has chunks of it
    row = 4 * v.size // max(1, v.sizes["time"])
    size = chunk * max(1, BLOCK // (row * chunk))
    for number in np.unique(index // size):
        first, last = np.searchsorted(index, [number * size, (number + 1) * size])
        there = index[first:last]
        apart = np.unique(np.diff(there))
        if len(apart) < 2:  # a slice is read at once, a list time by time
            there = slice(int(there[0]), int(there[-1]) + 1, int(apart[0]) if len(apart) else 1)
        yield slice(int(first), int(last)), there


def labelled(
    values: np.ndarray,
    times: np.ndarray,
    channels: Sequence[Channel],
    lat: np.ndarray,
    lon: np.ndarray,
) -> xr.DataArray:
    """(time, channel, lat, lon) with its coordinates."""
    attrs = {
        "lat": {"units": "degrees_north", "long_name": "latitude"},
        "lon": {"units": "degrees_east", "long_name": "longitude"},
    }
    return xr.DataArray(
        values,
        {
            "time": times,
            "channel": [c.name for c in channels],
            "lat": ("lat", lat, attrs["lat"]),
            "lon": ("lon", lon, attrs["lon"]),
            "channel_units": ("channel", [c.quantity.unit for c in channels]),
        },
        ("time", "channel", "lat", "lon"),
        "fields",
        {"units": "those of channel_units", "long_name": "reanalysis"},
    )


def _times(ds: xr.Dataset, where: str, year: int | None, hours: int) -> np.ndarray:
    """The times wanted: all of a year, or from the first to the last there is."""
    if hours < 1 or 24 % hours:
        raise ValueError(f"hours is {hours}; it has to divide a day: 1, 2, 3, 4, 6, 8, 12 or 24")
    times = _coordinate(ds, "time", where)
    if times.dtype.kind != "M" or not len(times):
        raise io.DataError(where, f"variable 'time': expected dates, found {_instead(times)}")
    if (np.diff(times) <= np.timedelta64(0)).any():
        raise io.DataError(where, "variable 'time': expected times that increase; sort them")
    start, stop = times[0], times[-1]
    if year is not None:
        day = np.datetime64(f"{year}-01-01", "ns")
        first = times[np.searchsorted(times, day) % len(times)]
        start = day + (first - day) % (hours * HOUR)  # 12-hourly at 06 and 18 is as good
        stop = np.datetime64(f"{year + 1}-01-01", "ns") - HOUR
    wanted = np.arange(start, stop + HOUR, hours * HOUR)
    wanted = wanted[wanted <= stop]
    missing = wanted[~np.isin(wanted, times)]
    if len(missing):
        raise io.DataError(
            where,
            f"variable 'time': expected every {hours} hours from {_hour(wanted[0])} to "
            f"{_hour(wanted[-1])}, but {_hour(missing[0])} is missing"
            f"{f' and {len(missing) - 1} others' if len(missing) > 1 else ''}; "
            "complete the download, or ask for other `hours`",
        )
    return wanted


def _instead(times: np.ndarray) -> str:
    """What stands in the place of dates, and what to do about it."""
    calendar = getattr(times.flat[0], "calendar", None) if len(times) else None
    if calendar:
        return f"those of the calendar {calendar!r}; ds.convert_calendar('standard') converts them"
    return "numbers; do its units say since when?"


def _check_complete(values, where, name, wanted, times, lat, lon) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    t, i, j = np.unravel_index(int(bad.argmax()), bad.shape)
    raise io.DataError(
        where,
        f"variable {name!r}: {values[t, i, j]} at {_hour(times[t])}, {lat[i]:g} N, {lon[j]:g} E "
        f"({int(bad.sum())} of {bad.size} values of channel {wanted!r} are missing)",
    )


# --- grids -------------------------------------------------------------------------------------


def _coordinate(ds: xr.Dataset, name: str, where: str) -> np.ndarray:
    if name not in ds.coords:
        raise io.DataError(
            where, f"dimension {name!r}: expected a variable with its values, found none"
        )
    return ds[name].values


def southward(lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of rows from north to south, and their latitudes in degrees north."""
    order = np.argsort(-lat, kind="stable")
    return order, _round(lat[order])


def eastward(lon: np.ndarray, where: str = "longitudes") -> tuple[np.ndarray, np.ndarray]:
    """The order of columns from west to east, and their longitudes in degrees east.

    Round the globe they run from 0 to 360; of a region, from its western edge, which lies between
    -180 and 180: 10 W to 2 E is -10 ... 2 also where the file has 350 ... 360, 0 ... 2.
    """
    turned = _round(lon) % 360
    order = np.argsort(turned, kind="stable")
    sorted_ = turned[order]
    gaps = np.diff(sorted_, append=sorted_[0] + 360)
    if len(lon) > 1 and gaps.min() < 1e-4:
        twice = sorted_[int(gaps.argmin())]
        raise io.DataError(where, f"variable 'lon': the longitude {twice:g} is there twice")
    if round_the_globe(sorted_):
        return order, sorted_
    first = (int(gaps.argmax()) + 1) % len(lon)
    order = np.roll(order, -first)
    west = turned[order[0]]
    west = west - 360 if west >= 180 else west
    return order, west + (turned[order] - west) % 360


def round_the_globe(lon: np.ndarray) -> bool:
    """Whether increasing longitudes close the circle."""
    gaps = np.diff(lon, append=lon[0] + 360)
    return len(lon) > 2 and bool(gaps.max() < 1.5 * gaps.min())


def _check_grid(where: str, first: xr.DataArray, other: xr.DataArray) -> None:
    for name in ("lat", "lon"):
        a, b = first[name].values, other[name].values
        if len(a) != len(b) or not np.allclose(a, b, atol=1e-4):
            raise io.DataError(
                where,
                f"variable {name!r}: expected the grid of the years before, {_extent(a)}, found "
                f"{_extent(b)}",
            )


def _round(degrees: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(degrees, float), 5)  # 0.1 in float32 is 0.1


def _extent(values: np.ndarray) -> str:
    return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"


def _hour(time: np.datetime64) -> str:
    return str(time.astype("datetime64[h]"))


def _listed(names) -> str:
    return ", ".join(map(str, names)) or "none"
