"""What the stages do with a case, on networks of a few units: no layout of batches matters."""

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import build
from dalib.cases import assimilation, observed, training, truth
from dalib.forecasters.equations import follow
from papers.dkf import sampling as samples
from papers.dkf.forecasting import forecasts_dataset
from papers.dkf.metrics import evaluate as scored

CASE = {
    "system": {"kind": "lorenz63"},
    "integrator": {"kind": "rk4", "dt": 0.025, "steps": 2},
    "truth": {
        "start": {"mean": [0.0, 0.0, 25.0], "std": 5.0},
        "spinup": 1.0,
        "model_noise_std": 0.1,
        "train": {"seeds": 3, "samples": 12},
        "test": {"seeds": 5, "samples": 12},
    },
    "observations": {"operator": {"kind": "subset", "index": [0]}, "error_std": 1.0, "until": None},
    "prior": {"error_std": 2.0},
    "samples": {"count": 7},
}
TRAINING = {"repeats": 2, "steps": 2, "batch": 4, "rate": 0.01}
DKF = {
    "network": {"kind": "deep_kalman", "latent": 2, "hidden": 4},
    "data": "observations",
    "training": TRAINING | {"window": 6},
}
SCORE = {
    "network": {"kind": "score", "hidden": 4},
    "data": "truth",
    "points": {"noise_std": [0.0, 0.5]},
    "training": TRAINING,
}
ALL, SINGLY = [{"index": 0, "size": 8}], [{"index": i, "size": 1} for i in range(2)]


@pytest.fixture(scope="module")
def data():
    states = {split: truth.truth(CASE, split, "t") for split in ("train", "test")}
    return {
        "truth": states,
        "y": {split: observed.observations(CASE, x, split, "t") for split, x in states.items()},
        "prior": observed.prior(CASE, states["test"], "t"),
    }


def trained(model, series, batches) -> list[xr.Dataset]:
    return [
        training.on_series(
            {"model": model}, series, series, batch=batch, experiment="t", device="cpu"
        )[0]
        for batch in batches
    ]


def drawn(weights) -> xr.Dataset:
    sampler = {"kind": "reverse_sde", "steps": 3, "model": SCORE}
    return samples.samples(CASE, sampler, weights, "t", "cpu")


def analyses(method, data, batch, weights=None) -> xr.Dataset:
    inputs = {"observations": data["y"]["test"], "prior": data["prior"]}
    return assimilation.analyses(
        {"case": CASE, "filter": method, "tuning": {}},
        inputs if weights is None else inputs | {"model": weights},
        batch=batch,
        experiment="t",
        device="cpu",
    )


def test_samples_of_a_repeat_are_the_same_in_any_batch(data):
    (together,) = trained(SCORE, data["truth"]["train"], ALL)
    singly = trained(SCORE, data["truth"]["train"], SINGLY)
    found = xr.concat([drawn(weights) for weights in singly], "repeat")
    xr.testing.assert_allclose(found.samples, drawn(together).samples, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["ekf", "particle"])
def test_analyses_of_a_seed_are_the_same_in_any_batch(data, kind):
    method = {"kind": kind, "model_error_std": 0.1} | ({"members": 20} if kind != "ekf" else {})
    parts = [analyses(method, data, {"index": i, "size": 2}) for i in range(3)]
    whole = analyses(method, data, ALL[0])
    xr.testing.assert_allclose(xr.concat(parts, "seed"), whole, rtol=1e-9, atol=1e-9)


def test_a_network_that_sees_one_component_is_scored_on_it(data):
    (weights,) = trained(DKF, data["y"]["train"], ALL)
    made = {
        "ekf": analyses({"kind": "ekf", "model_error_std": 0.1}, data, ALL[0]),
        "dkf": analyses({"kind": "deep_kalman", "model": DKF}, data, ALL[0], weights),
    }
    inputs = {"truth": data["truth"]["test"], "observations": data["y"]["test"]}
    found = scored.analyses({"product": {"discard": 2}}, inputs | {"methods": made})
    error = made["dkf"]["mean"].isel(time=slice(2, None)) - inputs["truth"].x.sel(state=["x"])
    own = found.rmse.sel({"method": "dkf"})
    np.testing.assert_allclose(own, np.sqrt((error**2).mean(("time", "state"))), rtol=1e-6)
    assert found.estimated.sel({"method": "dkf"}).values.tolist() == [1, 0, 0]


def test_a_start_of_another_size_than_the_state_is_refused():
    start = CASE["truth"] | {"start": {"mean": [0.0, 25.0], "std": 5.0}}
    with pytest.raises(ValueError, match="has 2 values, but the state of lorenz63 has 3 comp"):
        truth.truth(CASE | {"truth": start}, "test", "t")


def test_a_forecaster_with_the_true_equations_is_no_worse_than_they_are():
    """Whatever errors the analyses have; the reference starts from the same."""
    case = {
        "system": {"kind": "lorenz63", "sigma": 10.0, "rho": 28.0, "beta": 8 / 3},
        "integrator": {"kind": "rk4", "dt": 0.025, "steps": 2},
    }
    step, random = build.step(case), np.random.default_rng(0)
    x = [torch.tensor(random.normal((0, 0, 25), 5, (4, 3)))]
    for _ in range(200):
        x.append(step(x[-1]))
    times = 0.05 * np.arange(201)
    labels = {"seed": range(4), "time": times, "state": ["x", "y", "z"]}
    labels["time"] = ("time", times, {"units": "1"})
    truth = xr.Dataset({"x": (("seed", "time", "state"), torch.stack(x, 1).numpy())}, labels)
    truth.x.attrs |= {"units": "1", "long_name": "state"}
    starts = np.arange(100, 180, 10)
    analysis = truth.x.values[:, starts] + random.normal(0, (0.1, 0.5, 0.3), (2, 4, 8, 3))
    found = forecasts_dataset(
        follow(step, torch.tensor(analysis), 10),
        seed=truth.seed,
        start=truth.time[starts],
        interval=0.05,
        names=["x", "y", "z"],
        analysis=torch.tensor(analysis),
        free_run=torch.zeros(2, 3, 60, 3),
        free_run_noiseless=torch.zeros(2, 3, 60, 3),
    ).assign_coords(repeat=[0, 1])
    scores = scored.forecasts(
        {"case": case, "product": {"points": 50}},
        {"methods": {"perfect": found}, "truth": truth, "climate": truth},
    )
    assert scores.method.values.tolist() == ["perfect", "equations", "persistence"]
    for variable in (scores.rmse, scores.median_error, scores.seed_rmse, scores.seed_median_error):
        perfect, equations, still = (variable.sel({"method": m}) for m in scores.method.values)
        np.testing.assert_allclose(perfect, equations, rtol=1e-12)
        assert (still > 1.1 * perfect).isel(lead=-1).all()
