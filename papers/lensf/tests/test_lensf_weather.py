"""A network that learns to forecast the weather."""

import numpy as np
import pytest
import torch
import xarray as xr

from dalib.cases.weather import steps_of
from papers.lensf import weather

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
    assert steps_of({"step_hours": 6, "analysis_hours": 24}) == 4


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
