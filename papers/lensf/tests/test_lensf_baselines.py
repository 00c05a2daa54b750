"""What can be known of a field from sparse stations without a model."""

import numpy as np
import pytest
import torch
import xarray as xr

from dalib.filters.base import Gaussian
from dalib.filters.variational import OptimalInterpolation
from dalib.observe import EveryKth, Subset
from papers.lensf.stations import baselines as stations


def test_every_eighth_point_leaves_one_in_sixty_four():
    index = stations.every((32, 64), 8)
    assert len(index) == 32 and index[0] == 4 * 64 + 4 and index[-1] == 28 * 64 + 60
    assert stations.every((33, 49), 8, offset=0).tolist()[:8] == [0, 8, 16, 24, 32, 40, 48, 8 * 49]
    with pytest.raises(ValueError, match="no point"):
        stations.every((4, 4), 16)


def weather(days=20, rows=4, columns=5):
    """Hourly fields with a daily cycle and a few patterns that come and go."""
    generator = np.random.default_rng(5)
    last, step = f"2019-03-{days + 1:02d}T00", np.timedelta64(3, "h")
    time = np.arange("2019-03-01T00", last, step, dtype="datetime64[ns]")
    patterns = generator.normal(size=(4, rows, columns))
    weights = generator.normal(size=(len(time), 4))
    hour = (time - time[0]) / np.timedelta64(1, "h")
    cycle = 3 * np.sin(2 * np.pi * hour / 24)[:, None, None]
    values = 280 + cycle + np.einsum("tk,kij->tij", weights, patterns)
    coords = {"time": time, "lat": np.arange(rows), "lon": np.arange(columns)}
    return xr.DataArray(values, coords, ("time", "lat", "lon"), attrs={"units": "K"})


def test_every_kth_point_is_that_of_the_operator():
    operator = EveryKth((1, 33, 49), 8)
    assert operator.selected(33 * 49).tolist() == stations.every((33, 49), 8).tolist()


def test_interpolation_is_that_of_the_filters():
    """With the background of each hour and the covariance about it."""
    x, seen = weather(), np.array([0, 7, 13])
    known, now = x[:120], x[120:]
    background = stations.Diurnal.fit(known)
    y = stations.observed(now, seen, 0.5, seed=3)
    estimate = stations.interpolated(background, y, seen, 0.5)
    B = torch.tensor(background.covariance(np.arange(20)))
    for k in (0, 5):
        mean = torch.tensor(background.at(now.time)[k])
        filter = OptimalInterpolation(
            observe=Subset((0, 7, 13)), obs_std=0.5, background=Gaussian(mean, B)
        )
        analysis = filter.analyse(Gaussian(mean, B), torch.tensor(y.values[k]))
        np.testing.assert_allclose(estimate[k], analysis.mean, rtol=1e-10)


def test_the_covariance_is_that_of_the_departures_from_each_hour():
    background = stations.Diurnal.fit(weather())
    assert background.mean.shape == (8, 20)
    values, hour = weather().values.reshape(160, 20), np.arange(160) % 8
    within = sum(np.cov(values[hour == k].T) * 19 for k in range(8)) / (160 - 8)
    np.testing.assert_allclose(background.covariance(np.arange(20)), within, rtol=1e-9)


def test_persistence_repeats_what_was_last():
    x = weather()
    last = stations.persistence(x[:80], x.time[80:100])
    assert (last == x.values[79].ravel()).all() and last.shape == (20, 20)
    day = stations.persistence(x[:80], x.time[80:100], 8)
    np.testing.assert_array_equal(day[9], x.values[73].ravel())
