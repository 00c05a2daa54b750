"""Weather: fields of a reanalysis, or of a stand-in, as truths.

A state is the flat map (variable, x, y) = (channel, latitude, longitude) in the units of its
channels. Beside it stand its layout, the coordinates `variable`, `unit` (variable), `grid_x` in
degrees north and `grid_y` in degrees east, and `date` (seed), the date of time 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.era5 import synthetic
from dalib.era5.names import channel
from dalib.era5.prepare import prepare
from dalib.era5.read import labelled, named, read, variable
from dalib.era5.sources import files, is_zarr
from dalib.nets.scaling import spread
from dalib.streams import Streams, each, integers, normal

SPLITS = ("train", "valid", "test")
DAY = 24  # hours
YEAR, SEASON = 365.25, 15  # days


# --- truths ------------------------------------------------------------------------------------


def truths(section: Mapping) -> dict[str, xr.Dataset]:
    """x (seed, time, state) float32 of every split, as the stage `simulate` gives it.

    `train` and `valid` are one series each, every `step_hours`; `test` holds `seeds` windows of
    `days` days, every `analysis_hours`, that start on days spread evenly over its span. Times are
    in days from the start, whose `date` (seed) stands beside them. Nothing is standardised.

    Args:
        section: `path` of a reanalysis (a file, a folder of era5_YYYY.nc, a glob, a Zarr store) or
            None for the stand-in, whose `grid` and `seed` are in `stand_in`; `channels`;
            `step_hours`, `analysis_hours`; spans (first, last) `train`, `valid` and `test`, in
            years or dates; `seeds`, `days`; `crop` {"lat": (south, north), "lon": (west, east)} or
            None; `multiple`, which both sides of the grid have to be of; and optionally `units`.

    Raises:
        io.DataError: the source lacks something, see `era5.read`.
        ValueError: the test span is too short, or the settings contradict each other.
    """
    splits = {name: section[name] for name in SPLITS}
    parts = prepare(_cropped(_fields(section), section), splits, multiple=section["multiple"])
    hours = {"train": section["step_hours"], "valid": section["step_hours"]}
    made = {
        name: _dataset(parts[name]["fields"].values[None], parts[name], hours[name])
        for name in ("train", "valid")
    }
    return made | {"test": _windows(parts["test"], section)}


def steps_of(section: Mapping) -> int:
    """Steps of the forecast model from one analysis to the next."""
    step, interval = section["step_hours"], section["analysis_hours"]
    if interval % step or DAY % interval:
        raise ValueError(
            f"analysis_hours is {interval} and step_hours {step}; an analysis comes after whole "
            "steps and at the same hours every day"
        )
    return interval // step


def _fields(section: Mapping) -> xr.DataArray:
    """(time, channel, lat, lon) of all years that a split touches."""
    path, hours = section["path"], section["step_hours"]
    years = _years(section[name] for name in SPLITS)
    if path is None:
        return _stand_in(section, years)
    found = files(path)
    options = {"hours": hours, "units": section.get("units")}
    if (
        not found or is_zarr(path) or Path(path).is_dir()
    ):  # of a store or folder only what is needed
        return read(path, section["channels"], years=years, **options)
    parts = [read(file, section["channels"], **options) for file in _of_years(found, years)]
    alike = {"coords": "minimal", "compat": "override", "join": "exact"}
    return xr.concat(sorted(parts, key=lambda part: part["time"].values[0]), "time", **alike)


def _years(spans: Sequence) -> list[int]:
    """Calendar years that spans of years or dates touch."""
    ends = [[int(str(end)[:4]) for end in span] for span in spans]
    return sorted({year for first, last in ends for year in range(first, last + 1)})


def _of_years(found: list[str], years: Sequence[int]) -> list[str]:
    """Files of the years wanted, where all of them are named by their year; else all."""
    names = {file: file.rpartition("era5_")[2].removesuffix(".nc") for file in found}
    if not all(len(name) == 4 and name.isdigit() for name in names.values()):
        return found
    missing = set(years) - set(map(int, names.values()))
    if missing:
        raise ValueError(f"{found[0]} and others: the year {min(missing)} is not among the files")
    return [file for file, name in names.items() if int(name) in years]


def _stand_in(section: Mapping, years: Sequence[int]) -> xr.DataArray:
    """(time, channel, lat, lon) of travelling waves, by the names of the reanalysis."""
    wanted = [channel(name) for name in section["channels"]]
    unknown = {c.name for c in wanted} - set(synthetic.CHANNELS)
    if unknown:
        raise ValueError(
            f"the stand-in has no channel {min(unknown)!r}; it has {', '.join(synthetic.CHANNELS)}"
        )
    settings, all_years = section["stand_in"], range(years[0], years[-1] + 1)
    parts = []
    for year, whole in zip(
        all_years,
        synthetic.datasets(
            all_years, settings["seed"], section["step_hours"], tuple(settings["grid"])
        ),
        strict=True,
    ):
        ds = named(whole, f"the stand-in of {year}")
        values = np.stack([variable(ds, f"the stand-in of {year}", c).values for c in wanted], 1)
        parts.append(
            labelled(values, ds["time"].values, wanted, ds["lat"].values, ds["lon"].values)
        )
    return xr.concat(parts, "time", coords="minimal", compat="override", join="exact")


def _cropped(fields: xr.DataArray, section: Mapping) -> xr.DataArray:
    """Of the region wanted; rows run from north to south, columns to the east."""
    crop = section["crop"]
    if crop is None:
        return fields
    (south, north), (west, east) = crop["lat"], crop["lon"]
    part = fields.sel(lat=slice(north, south), lon=slice(west, east))
    if not part.size:
        lat, lon = fields["lat"].values, fields["lon"].values
        raise ValueError(
            f"crop {dict(crop)} holds no point of the grid, whose latitudes run from {lat[0]:g} to "
            f"{lat[-1]:g} and longitudes from {lon[0]:g} to {lon[-1]:g}"
        )
    return part


def _windows(part: xr.Dataset, section: Mapping) -> xr.Dataset:
    """The test part: windows that start at the same hour of days spread evenly."""
    a_day, length = DAY // section["step_hours"], section["days"]
    days = (part.sizes["time"] - 1) // a_day
    if days < length:
        raise ValueError(
            f"the test span has {days} whole days, but a window has {length}; give fewer days or a "
            "longer test"
        )
    if section["seeds"] > days - length + 1:
        raise ValueError(
            f"{section['seeds']} windows of {length} days do not start on different days of the "
            f"{days} of the test span; give fewer seeds or days, or a longer test"
        )
    starts = np.linspace(0, days - length, section["seeds"]).round().astype(int) * a_day
    when = np.arange(0, length * a_day + 1, steps_of(section))
    x = np.stack([part["fields"].values[start + when] for start in starts])
    made = _dataset(x, part, section["analysis_hours"])
    return made.assign_coords(date=("seed", part["time"].values[starts]))


def _dataset(x: np.ndarray, part: xr.Dataset, hours: int) -> xr.Dataset:
    """x (seed, time, channel, lat, lon) and the layout of `part`, as a dataset of truths."""
    flat = torch.from_numpy(np.ascontiguousarray(x)).flatten(2)
    made = arrays.truth_dataset(
        flat,
        seeds=range(len(x)),
        interval=hours / DAY,
        names=range(flat.shape[-1]),
        units="those of unit",
    )
    made["time"].attrs.update(units="d", long_name="time since the start")
    dates = {"date": ("seed", [part["time"].values[0]] * len(x))}
    return made.assign_coords({**dates, **_layout(part)})


def _layout(part: xr.Dataset) -> dict[str, xr.Variable]:
    """What says where a component of a flat state is."""
    return {
        "variable": xr.Variable("variable", part["channel"].values),
        "unit": xr.Variable("variable", part["channel_units"].values),
        "grid_x": xr.Variable("grid_x", part["lat"].values, part["lat"].attrs),
        "grid_y": xr.Variable("grid_y", part["lon"].values, part["lon"].attrs),
    }


# --- ensembles to start with ---------------------------------------------------------------------


@dataclass(frozen=True)
class Season:
    """States of the season in training years, and noise.

        x = x_train(t') + noise σ N(0, I),      t' at most SEASON days of the year from the start

    with σ the standard deviation of each channel over training states, and t' drawn with
    replacement. Nothing of the test but its dates is used.

    Attributes:
        training: as `truths` gives it.
        dates: (seed,), when the test trajectories start.
        noise: a share of σ.
    """

    training: xr.Dataset
    dates: xr.DataArray
    noise: float

    def draw(self, shape: tuple[int, int], generator: Streams, dtype: torch.dtype) -> Tensor:
        """(seed, member, state)."""
        training, (_, members) = self.training, shape
        days = _day_of_year(training["date"].values[0] + _days(training["time"].values))
        variables = training.sizes["variable"]
        x = arrays.to_tensor(training.x.isel(seed=0), dtype)
        std = spread(x, variables).to(x)
        found = []
        for one, start in zip(each(generator), self.dates.values, strict=True):
            apart = np.abs(days - _day_of_year(start))
            near = np.flatnonzero(np.minimum(apart, YEAR - apart) <= SEASON)
            if not len(near):
                raise ValueError(
                    f"no training state lies within {SEASON} days of the season of {start}; train "
                    "on whole years"
                )
            chosen = torch.from_numpy(near)[integers(len(near), (members,), one)]
            noise = normal((members, x.shape[-1]), one, dtype)
            found.append(x[chosen] + self.noise * std * noise)
        return torch.stack(found)


def _days(days: np.ndarray) -> np.ndarray:
    return (days * DAY).round().astype("timedelta64[h]")


def _day_of_year(dates: np.ndarray) -> np.ndarray:
    """Days since the beginning of the year of each date."""
    return (dates - dates.astype("datetime64[Y]")) / np.timedelta64(1, "D")
