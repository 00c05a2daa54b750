"""Sparse stations in a field: what the demonstration learns, and what it is not told."""

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import io
from papers.lensf.stations import experiment as stations
from papers.lensf.stations.baselines import every, observed
from papers.lensf.stations.figure import figures

SMALL = {
    "path": None,
    "channel": "t2m",
    "every": 8,
    "error_std": 0.5,
    "train": ["2019-03-01", "2019-03-05"],
    "valid": ["2019-03-06", "2019-03-06"],
    "test": ["2019-03-07", "2019-03-07"],
    "seed": 0,
    "network": {"latent": 48, "latent_map": [2, 3], "width": 2},
    "mixed": 4,
    "training": {"steps": 60, "batch": 8, "rate": 5e-3},
    "members": 5,
    "ensf": {"scale": 100.0, "likelihood_std": 0.4, "steps": 10, "weight": 1.0},
    "letkf": {"radius": 0.7, "obs_std": 0.1, "inflation": 1.0, "weight": 1.0},
    "interpolation": {"error_std": 0.5},
    "tuned": {
        "latent_ensf": {"weight": [0.5, 0.75, 1.0]},
        "interpolation": {"error_std": [0.1, 0.5, 2.5]},
    },
    "shown": 12,
}


@pytest.fixture(scope="module")
def fields():
    """(time, lat, lon) of 16 x 24 points: a daily cycle, and a bump that goes round."""
    t = np.arange("2019-03-01", "2019-03-08", np.timedelta64(1, "h"), dtype="datetime64[ns]")
    hour = np.arange(len(t))[:, None, None]
    i, j = np.arange(16)[:, None], np.arange(24)
    bump = np.cos(2 * np.pi * (i / 32 + j / 24 - hour / 31))
    values = 280 + 2 * np.cos(2 * np.pi * hour / 24) + 3 * bump
    coords = {"time": t, "lat": 58 - 0.25 * np.arange(16), "lon": -10 + 0.25 * np.arange(24)}
    return xr.DataArray(
        values.astype(np.float32), coords, ("time", "lat", "lon"), attrs={"units": "K"}
    )


def test_what_no_station_sees_changes_no_estimate(fields, monkeypatch):
    """All but the stations of the last day is replaced by nonsense."""
    places = every((16, 24), 8)
    known = fields.sel(time=slice(SMALL["train"][0], SMALL["valid"][1]))
    hidden = fields.copy()
    flat = hidden.values.reshape(len(hidden), -1)
    unseen = np.setdiff1d(np.arange(flat.shape[1]), places)
    flat[known.sizes["time"] :, unseen] = -999
    found = []

    def kept(section, *arguments):
        found.append(estimates(section, *arguments))
        return found[-1]

    estimates = stations.estimates
    monkeypatch.setattr(stations, "estimates", kept)
    for data in (fields, hidden):
        monkeypatch.setattr(stations, "_fields", lambda section, file, data=data: data)
        stations.demonstration(SMALL, None)
    for name in stations.METHODS:
        np.testing.assert_array_equal(found[0][name].mean, found[1][name].mean, name)


def test_filters_in_latent_space_beat_what_knows_no_station(fields, monkeypatch):
    monkeypatch.setattr(stations, "_fields", lambda section, file: fields)
    longer = {**SMALL, "training": {**SMALL["training"], "steps": 300}}
    made = stations.demonstration(longer, None)
    rmse = dict(zip(made.method.values.tolist(), made.rmse.values.tolist(), strict=True))
    assert rmse["interpolation"] < 0.3 * rmse["climatology"]  # few patterns: nearly perfect
    for name in ("direct", "latent_ensf", "latent_letkf"):
        assert rmse[name] < 0.7 * min(rmse["climatology"], rmse["persistence"]), name
    np.testing.assert_allclose(np.sqrt((made.hourly_rmse**2).mean("time")), made.rmse)
    seen = made.observed_shown.notnull()
    assert int(seen.sum()) == 6
    error = (made.observed_shown - made.truth_shown).where(seen)
    assert abs(error).max() < 5 * SMALL["error_std"]


def test_settings_are_those_that_did_best_on_the_days_before_the_test(fields, monkeypatch):
    monkeypatch.setattr(stations, "_fields", lambda section, file: fields)
    found = []

    def kept(section, *arguments):
        found.append(tuned(section, *arguments))
        return found[-1]

    tuned = stations.tuned
    monkeypatch.setattr(stations, "tuned", kept)
    made = stations.demonstration(SMALL, None)
    chosen = found[0].section
    said = made.settings.sel({"method": "latent_ensf"}).item()
    assert said == f"weight {chosen['ensf']['weight']:g}"
    assert made.on_edge.sel({"method": ["latent_letkf", "direct"]}).isnull().all()
    known, valid = (fields.sel(time=slice(*SMALL[name])) for name in ("train", "valid"))
    learned = stations.Learned.of(SMALL, known)
    places = every((16, 24), 8)
    y = observed(valid, places, SMALL["error_std"], SMALL["seed"] + 1)
    unseen = np.setdiff1d(np.arange(16 * 24), places)
    x = valid.values.reshape(24, -1)[:, unseen]
    errors = {}
    for std in SMALL["tuned"]["interpolation"]["error_std"]:
        section = {**SMALL, "interpolation": {"error_std": std}}
        mean = stations.estimate(section, "interpolation", learned, y).mean[:, unseen]
        errors[std] = np.sqrt(((mean - x) ** 2).mean())
    assert chosen["interpolation"]["error_std"] == min(errors, key=errors.get)


def test_mixtures_have_the_covariance_of_what_is_mixed():
    a = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
    a = (a - a.mean(0)) * torch.tensor([1.0, 2.0, 3.0])
    drawn = stations.Mixtures(a, 40000, 4)(torch.Generator().manual_seed(1))[0]
    torch.testing.assert_close(drawn.T.cov(), a.T.cov(), atol=0.25, rtol=0)


def test_without_errors_persistence_is_exact_decay():
    """Anomalies ρᵗ a leave nothing to draw: the forecast of the last one is the next."""
    a = 0.9 ** torch.arange(20.0).double()[:, None] * torch.tensor([1.0, -2.0]).double()
    filter = stations.Persisting.fit(None, a)
    later = filter.forecast(stations.Ensemble(a[3].expand(5, 2)), torch.Generator())
    assert filter.memory == pytest.approx(0.9)
    torch.testing.assert_close(later.members, a[4].expand(5, 2))


def test_the_stand_in_is_of_the_size_of_the_real_field():
    fields = stations._fields(SMALL, None)
    assert fields.sizes == {"time": 7 * 24, "lat": 32, "lon": 48}
    assert fields.attrs["units"] == "K" and 200 < float(fields.mean()) < 320


def test_results_can_be_written_and_are_drawn(fields, monkeypatch, tmp_path):
    monkeypatch.setattr(stations, "_fields", lambda section, file: fields)
    section = {**SMALL, "training": {**SMALL["training"], "steps": 2}, "path": None}
    (drawn,) = figures(None, {"stations": section})
    io.write(drawn.data, tmp_path / "stations.nc", title="stations", missing=list(drawn.data))
    xr.testing.assert_equal(io.read(tmp_path / "stations.nc"), drawn.data)
    (ax,) = drawn.figure.axes
    assert len(ax.lines) == len(stations.METHODS)


def test_a_test_before_its_training_is_refused(fields, monkeypatch):
    monkeypatch.setattr(stations, "_fields", lambda section, file: fields)
    with pytest.raises(ValueError, match="has to follow"):
        stations.demonstration({**SMALL, "test": SMALL["train"]}, None)
    with pytest.raises(ValueError, match="lie in the data"):
        stations.demonstration({**SMALL, "test": ["2020-01-01", "2020-01-02"]}, None)
