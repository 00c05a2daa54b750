"""Weather: truths out of reanalysis or its stand-in, and ensembles of the season."""

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import io
from dalib.cases import weather
from dalib.era5 import synthetic
from dalib.era5.sources import files
from dalib.metrics import sphere
from dalib.nets.scaling import per_channel
from dalib.streams import streams

DAY = np.timedelta64(24, "h")
HERE = {
    "path": None,
    "channels": ["z500", "t2m"],
    "step_hours": 6,
    "analysis_hours": 24,
    "train": ["2001-01-01", "2001-02-28"],
    "valid": ["2001-03-01", "2001-03-10"],
    "test": ["2001-04-01", "2001-04-30"],
    "seeds": 3,
    "days": 10,
    "crop": None,
    "multiple": 4,
    "stand_in": {"grid": [8, 16], "seed": 0},
}


def maps(states: xr.DataArray, layout: xr.Dataset) -> xr.DataArray:
    """(..., state) -> (..., variable, lat, lon); layout: coordinates that stand beside truths."""
    shape = tuple(layout.sizes[name] for name in ("variable", *("grid_x", "grid_y")))
    dims = states.dims[:-1]
    coords = {name: c for name, c in states.coords.items() if "state" not in c.dims}
    coords |= {"variable": layout["variable"].values}
    coords |= {"lat": ("lat", layout["grid_x"].values), "lon": ("lon", layout["grid_y"].values)}
    values = states.values.reshape(*states.shape[:-1], *shape)
    return xr.DataArray(values, coords, (*dims, "variable", "lat", "lon"), attrs=states.attrs)


@pytest.fixture(scope="module")
def truths():
    return weather.truths(HERE)


def test_states_are_the_fields_in_their_own_units(truths):
    (year,) = synthetic.datasets([2001], 0, 6, (8, 16))
    z = year["z"].sel(level=500).sel(time="2001-04-01T00")
    first = maps(truths["test"].x, truths["test"]).isel(seed=0, time=0)
    np.testing.assert_array_equal(first.sel(variable="z500"), z)
    assert truths["test"].unit.values.tolist() == ["m2 s-2", "K"]
    np.testing.assert_array_equal(first.lat, year.latitude)
    assert sphere.latitude_weights(first.lat).mean() == pytest.approx(1)


def test_windows_start_on_days_spread_over_the_test_and_are_seen_once_a_day(truths):
    test = truths["test"]
    dates = test.date.values.astype("datetime64[D]").astype(str).tolist()
    assert dates == ["2001-04-01", "2001-04-11", "2001-04-20"]
    assert test.time.values.tolist() == list(range(11))
    series = weather.truths({**HERE, "train": HERE["test"], "test": HERE["train"]})["train"]
    assert series.time.values[:3].tolist() == [0, 0.25, 0.5]
    day = 4 * int((test.date[1] - test.date[0]) / np.timedelta64(1, "D"))
    np.testing.assert_array_equal(test.x[1], series.x[0, day : day + 41 : 4])


def test_a_file_a_folder_and_a_glob_give_the_same(tmp_path, truths):
    (path,) = synthetic.write(tmp_path, [2001], grid=(8, 16))
    for source in (path, tmp_path, tmp_path / "era5_*.nc"):
        read = weather.truths({**HERE, "path": str(source)})
        xr.testing.assert_identical(read["test"], truths["test"])
        assert files(str(source)) == [str(path)]
    assert files(None) == files("gs://there/era5.zarr") == []


def test_a_region_is_cut_out(truths):
    crop = {"lat": [0, 90], "lon": [90, 180]}
    part = weather.truths({**HERE, "crop": crop})["test"]
    whole = maps(truths["test"].x, truths["test"])
    np.testing.assert_array_equal(
        maps(part.x, part), whole.sel(lat=slice(90, 0), lon=slice(90, 179))
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"days": 30}, "29 whole days"),
        ({"seeds": 30}, "different days"),
        ({"analysis_hours": 9}, "whole steps"),
        ({"channels": ["r850"]}, "stand-in has no channel"),
        ({"crop": {"lat": [95, 99], "lon": [0, 9]}}, "no point of the grid"),
        ({"valid": ["2001-02-01", "2001-03-10"]}, "share times"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        weather.truths({**HERE, **change})


def test_truths_can_be_written_and_read(tmp_path, truths):
    io.write(truths["test"], tmp_path / "truth_test.nc", title="test")
    xr.testing.assert_equal(io.read(tmp_path / "truth_test.nc"), truths["test"])


def season(training, test, members, noise, dtype=torch.float32):
    generator = streams("test", test.seed.values.tolist(), "prior")
    start = weather.Season(training, test.date, noise)
    return start.draw((test.sizes["seed"], members), generator, dtype)


def test_ensembles_start_in_the_season_of_their_window(truths):
    """Of February and of April, a window of late April finds no state but in what is trained on."""
    summer = weather.truths({**HERE, "train": HERE["test"], "test": HERE["train"]})
    training, test = summer["train"], truths["test"].isel(seed=[0, 2])
    members = season(training, test, 6, 0.0)
    known = training.x.values[0]
    when = [[int(np.flatnonzero((known == m).all(1))[0]) for m in seed] for seed in members.numpy()]
    assert max(when[0]) <= 4 * 15 and min(when[1]) >= 4 * 4
    noisy, exact = (season(training, test, 400, noise) for noise in (0.3, 0.0))
    assert noisy.dtype == torch.float32
    std = per_channel(torch.tensor(known), 2).std[0]
    spread = (noisy - exact).unflatten(-1, (2, -1)).std((0, 1, 3)).double()
    torch.testing.assert_close(spread, 0.3 * std, rtol=0.02, atol=0)
    assert torch.equal(season(training, test.isel(seed=[1]), 6, 0.0)[0], members[1])
    with pytest.raises(ValueError, match="season"):
        season(truths["train"], test.assign_coords(date=test.date + 90 * DAY), 2, 0.0)


# --- the forecast model ------------------------------------------------------------------------
