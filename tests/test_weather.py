"""Weather: truths out of reanalysis or its stand-in, and a network that learns to forecast them."""

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


@pytest.fixture(scope="module")
def truths():
    return weather.truths(HERE)


def test_states_are_the_fields_in_their_own_units(truths):
    (year,) = synthetic.datasets([2001], 0, 6, (8, 16))
    z = year["z"].sel(level=500).sel(time="2001-04-01T00")
    first = weather.maps(truths["test"].x, truths["test"]).isel(seed=0, time=0)
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
    whole = weather.maps(truths["test"].x, truths["test"])
    np.testing.assert_array_equal(
        weather.maps(part.x, part), whole.sel(lat=slice(90, 0), lon=slice(90, 179))
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

MODEL = {
    "network": {"kind": "afno", "patch": 4, "width": 16, "depth": 1, "blocks": 2, "ratio": 2},
    "training": {"repeats": 1, "steps": 150, "batch": 8, "window": 2, "rate": 1e-2, "flat": 0.3},
}


def travelling(first, count, shape=(2, 8, 16)):
    """x (seed, time, state): two waves going round, in units of very different size."""
    t, lon = np.arange(first, first + count)[:, None, None], np.arange(16) * 2 * np.pi / 16
    lat = np.linspace(1, 0.5, 8)[:, None]
    slow, fast = (lat * np.sin(m * lon - 0.5 * t + m) for m in (1, 2))
    x = np.stack([50000 + 1000 * (slow + fast), 280 + 5 * (slow - fast)], 1).astype(np.float32)
    ds = xr.Dataset({"x": (("seed", "time", "state"), x.reshape(1, count, -1))})
    return ds.assign_coords(
        variable=["z500", "t2m"],
        unit=("variable", ["m2 s-2", "K"]),
        grid_x=np.arange(8.0),
        grid_y=np.arange(16.0),
    )


def learned(training, held_out, **settings):
    section = {**MODEL, "training": {**MODEL["training"], **settings}}
    return section, *weather.forecaster(
        {"model": section},
        training,
        held_out,
        batch={"index": 0, "size": 1},
        experiment="test",
        device="cpu",
    )


def test_a_network_learns_how_waves_travel():
    """Persistence, at 0.5 radians a step, is wrong by half the size of the waves."""
    section, weights, history = learned(travelling(0, 200), travelling(200, 80))
    later = travelling(300, 40).x.values[0]
    step = weather.forecast_step(section, weights)
    x = torch.tensor(later)
    error, still = (step(x[:-1]) - x[1:]), x[:-1] - x[1:]
    for channel in range(2):
        own = slice(128 * channel, 128 * (channel + 1))
        assert error[:, own].square().mean() < 0.1 * still[:, own].square().mean()
    assert history["held_out_loss"][0, -1] < 0.1 * history["held_out_still_loss"][0, -1]


def test_an_interval_is_so_many_steps():
    section, weights, _ = learned(travelling(0, 50), travelling(50, 20), steps=3)
    x = torch.tensor(travelling(80, 3).x.values[0])
    one, four = (weather.forecast_step(section, weights, steps) for steps in (1, 4))
    torch.testing.assert_close(four(x), one(one(one(one(x)))))
    assert four(x).dtype == x.dtype and four(x).shape == x.shape
    assert weather.steps_of(HERE) == 4


def test_channels_are_standardised_by_the_training_alone():
    held_out = travelling(50, 20)
    _, weights, _ = learned(travelling(0, 50), held_out, steps=2)
    held_out["x"] = 3 * held_out.x + 7
    _, other, _ = learned(travelling(0, 50), held_out, steps=2)
    xr.testing.assert_identical(weights, other)
    fields = travelling(0, 50).x.values.reshape(50, 2, 128).astype(float)
    np.testing.assert_allclose(weights["scaling.mean"][0], fields.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(weights["scaling.std"][0], fields.std((0, 2)), rtol=1e-3)


def test_fine_tuning_goes_on_where_the_training_ended():
    fine = {"window": 3, "steps": 4, "rate": 1e-3}
    data = travelling(0, 50), travelling(50, 20)
    _, before, first = learned(*data, steps=5, check_every=2)
    _, after, both = learned(*data, steps=5, check_every=2, fine_tuning=fine)
    np.testing.assert_array_equal(both.loss[:, :5], first.loss)
    assert both.check.values.tolist() == [0, 2, 4, 5, 7, 9]
    assert not after.equals(before)


class Kept:
    """A checkpoint that is cut off after some number of updates."""

    def __init__(self, updates, state=None):
        self.left, self.state = updates, state

    def load(self):
        return self.state

    def save(self, state):
        self.state = state()
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("updates", [3, 7])
def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(updates):
    fine = {"window": 3, "steps": 4, "rate": 1e-3}
    settings = {**MODEL["training"], "steps": 5, "fine_tuning": fine}
    data = travelling(0, 50), travelling(50, 20)
    rest = {"batch": {"index": 0, "size": 1}, "experiment": "test", "device": "cpu"}
    sections = {"model": {**MODEL, "training": settings}}
    whole = weather.forecaster(sections, *data, **rest)
    kept = Kept(updates)
    with pytest.raises(KeyboardInterrupt):
        weather.forecaster(sections, *data, **rest, checkpoint=kept)
    again = weather.forecaster(sections, *data, **rest, checkpoint=Kept(-1, kept.state))
    for one, other in zip(whole, again, strict=True):
        xr.testing.assert_identical(one, other)
