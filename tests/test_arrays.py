import numpy as np
import pytest
import torch
import xarray as xr

from dalib import arrays, io
from dalib.filters.base import Analyses
from dalib.systems.lorenz import Lorenz63

NAMES = Lorenz63().names


def states(*shape: int):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


def test_truth_goes_to_disk_and_back(tmp_path):
    x = states(2, 11, 3)
    ds = arrays.truth_dataset(x, seeds=(4, 9), interval=0.05, names=NAMES)
    io.write(ds, tmp_path / "truth.nc", title="truth")
    read = io.read(tmp_path / "truth.nc")
    assert torch.equal(arrays.to_tensor(read.x), x)
    assert read.seed.values.tolist() == [4, 9]
    assert read.state.values.tolist() == list(NAMES)
    np.testing.assert_allclose(read.time, 0.05 * np.arange(11))


def test_observations_begin_one_interval_after_the_truth(tmp_path):
    x = states(2, 11, 3)
    y = x[:, 1:, :2].clone()
    y[0, 3, 1] = torch.nan
    truth = arrays.truth_dataset(x, seeds=(4, 9), interval=0.05, names=NAMES)
    ds = arrays.observations_dataset(y, torch.ones(2), seeds=(4, 9), interval=0.05)
    io.write(ds, tmp_path / "observations.nc", title="observations", missing=("y",))
    read = io.read(tmp_path / "observations.nc")
    np.testing.assert_allclose(read.time, truth.time[1:])
    torch.testing.assert_close(arrays.to_tensor(read.y), y, rtol=0, atol=0, equal_nan=True)


def test_prior_and_analyses_have_units_and_names(tmp_path):
    prior = arrays.prior_dataset(states(2, 3), torch.eye(3).double(), seeds=(0, 1), names=NAMES)
    assert prior["mean"].dims == ("seed", "state") and prior["cov"].dims == ("state", "state_")

    class Analyses:
        mean = std = forecast_mean = forecast_std = states(2, 10, 3)
        diverged_at = torch.tensor([-1, 4])

    y = arrays.observations_dataset(states(2, 10, 3), torch.ones(3), seeds=(0, 1), interval=0.05)
    analyses = arrays.analyses_dataset(Analyses, time=y.time, seed=y.seed, names=NAMES)
    assert analyses.forecast_std.dims == ("seed", "time", "state")
    Analyses.mean = Analyses.std = Analyses.forecast_mean = states(5, 2, 10, 3)
    Analyses.forecast_std = Analyses.mean
    Analyses.diverged_at = torch.full((5, 2), -1)
    repeated = arrays.analyses_dataset(Analyses, time=y.time, seed=y.seed, names=NAMES)
    assert repeated["mean"].dims == ("repeat", "seed", "time", "state")
    for ds in (prior, y, analyses):
        io.write(ds, tmp_path / "any.nc", title="any")
        assert all({"units", "long_name"} <= v.attrs.keys() for v in ds.variables.values())


def test_a_time_without_description_is_one_of_the_model(tmp_path):
    mean = states(4, 2)
    found = Analyses(mean, mean, mean, mean, torch.tensor(-1))
    time = xr.DataArray([0.1, 0.2, 0.3, 0.4], dims="time", attrs={"units": "days"})
    made = arrays.analyses_dataset(found, time=time, names=["a", "b"])
    assert made.time.attrs == {"units": "days", "long_name": "model time"}
    assert time.attrs == {"units": "days"}
    io.write(made, tmp_path / "analyses.nc", title="of a file of the user")


def test_an_array_with_other_axes_is_refused():
    with pytest.raises(ValueError, match=r"axes \(seed, time, state\), got shape \(11, 3\)"):
        arrays.truth_dataset(states(11, 3), seeds=(0,), interval=0.05, names=NAMES)


def test_weights_go_to_disk_and_back(tmp_path):
    weights = {
        "encoder.0.weight": states(4, 3, 5).float(),
        "encoder.0.bias": states(4, 5).float(),
        "scaling.mean": states(4, 3),
    }
    ds = arrays.weights_dataset(weights, {"repeat": range(4)})
    io.write(ds, tmp_path / "weights.nc", title="weights")
    read = arrays.weights(io.read(tmp_path / "weights.nc"))
    assert read.keys() == weights.keys()
    for name in weights:
        assert read[name].dtype == weights[name].dtype
        assert torch.equal(read[name], weights[name])
