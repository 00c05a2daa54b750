"""A network that learns to forecast gridded states."""

from functools import partial

import numpy as np
import pytest
import torch

from dalib import fitted
from dalib.cases.weather import steps_of
from dalib.experiments.afno import AFNOForecast, SeriesData
from dalib.experiments.parts import step_of
from dalib.streams import stream

MODEL = AFNOForecast(
    width=16, depth=1, blocks=2, steps=150, batch=8, rate=1e-2, flat=0.3, check_every=50
)
SHAPE = (2, 8, 16)


def travelling(first, count):
    """(seed, time, state): two waves going round, in units of very different size."""
    t, lon = np.arange(first, first + count)[:, None, None], np.arange(16) * 2 * np.pi / 16
    lat = np.linspace(1, 0.5, 8)[:, None]
    slow, fast = (lat * np.sin(m * lon - 0.5 * t + m) for m in (1, 2))
    x = np.stack([50000 + 1000 * (slow + fast), 280 + 5 * (slow - fast)], 1).astype(np.float32)
    return torch.tensor(x.reshape(1, count, -1))


def learned(train, valid, checkpoint=None, **settings):
    data = SeriesData(train, valid, SHAPE)
    more = {} if checkpoint is None else {"checkpoint": checkpoint}
    made = AFNOForecast(**{**vars(MODEL), **settings})
    return made.fit(data, partial(stream, "test"), **more)


def same(one, other):
    return all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_a_network_learns_how_waves_travel():
    """Persistence, at 0.5 radians a step, is wrong by half the size of the waves."""
    found = learned(travelling(0, 200), travelling(200, 80))
    x = travelling(300, 40)[0]
    error, still = (found.step(x[:-1]) - x[1:]).detach(), x[:-1] - x[1:]
    for channel in range(2):
        own = slice(128 * channel, 128 * (channel + 1))
        assert error[:, own].square().mean() < 0.1 * still[:, own].square().mean()
    history = found.history
    assert history["held_out_loss"][-1] < 0.1 * history["held_out_still_loss"][-1]


def test_what_is_saved_steps_as_what_was_fitted_and_an_interval_is_so_many_steps():
    found = fitted.to_dataset(learned(travelling(0, 50), travelling(50, 20), steps=3))
    x = travelling(80, 3)[0]
    one, four = (step_of(found, steps) for steps in (1, 4))
    torch.testing.assert_close(four(x), one(one(one(one(x)))))
    assert four(x).dtype == x.dtype and four(x).shape == x.shape and not four(x).requires_grad
    assert steps_of({"step_hours": 6, "analysis_hours": 24}) == 4


def test_channels_are_standardised_by_the_training_alone():
    train, valid = travelling(0, 50), travelling(50, 20)
    one = learned(train, valid, steps=2)
    assert same(one, learned(train, 3 * valid + 7, steps=2))
    maps = train.numpy().reshape(50, 2, 128).astype(float)
    np.testing.assert_allclose(one.weights["scaling.mean"][0], maps.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(one.weights["scaling.std"][0], maps.std((0, 2)), rtol=1e-3)


FINE = {"fine_window": 3, "fine_steps": 4, "fine_rate": 1e-3}


def test_fine_tuning_goes_on_where_the_training_ended():
    data = travelling(0, 50), travelling(50, 20)
    before = learned(*data, steps=5, check_every=2)
    after = learned(*data, steps=5, check_every=2, **FINE)
    assert torch.equal(after.history["loss"][:5], before.history["loss"])
    assert after.history["updates"].tolist() == [0, 2, 4, 5, 7, 9]
    assert not same(before, after)


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
    data = travelling(0, 50), travelling(50, 20)
    whole, kept = learned(*data, steps=5, **FINE), Kept(updates)
    with pytest.raises(KeyboardInterrupt):
        learned(*data, checkpoint=kept, steps=5, **FINE)
    again = learned(*data, checkpoint=Kept(-1, kept.state), steps=5, **FINE)
    assert same(whole, again)
    assert torch.equal(whole.history["loss"], again.history["loss"])
