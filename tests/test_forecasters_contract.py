"""What holds for every forecaster of the registry, whatever its method."""

import pytest
import torch

from dalib import build, io
from dalib.fitted import from_dataset, to_dataset
from dalib.forecasters.base import NEEDS, OneStepMap, TrainingData, fit_each
from dalib.integrate import RK4
from dalib.registry import FORECASTERS
from dalib.streams import Streams, normal, stream, streams
from dalib.systems.lorenz import Lorenz63

CASES, TIME, SIZE, HORIZON = 3, 12, 3, 9
INTERVAL = 0.05


def states():
    return normal((CASES, 60, SIZE), streams("contract", range(CASES), "states"))


TOKENS = {"markov", "gpt"}  # models of tokens: forecasters with a codec, which are under contract
INCOMPLETE = {"deep_kalman"}  # can do with missing observations

SHORT = {"batch": 4, "steps": 12, "check_every": 4, "patience": 2}
SETTINGS = {  # of those that are fitted to `TrainingData`: small
    "persistence": {},
    "climatology": {"members": 4},
    "analogue": {"delays": 3, "neighbours": 2},
    "tokenised": {
        **{"codec": {"kind": "bins", "cells": 5}, "forecaster": {"kind": "markov", "order": 2}},
        "temperature": 0.0,
    },
    "tokenised gpt": {
        "kind": "tokenised",
        "codec": {"kind": "bins", "cells": 5},
        "forecaster": {
            **{"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "context": 8},
            **{"steps": 4, "batch": 2, "warmup": 1, "check_every": 2},
        },
    },
    "nvar": {"delays": 2, "spacing": 2, "penalty": 1e-3},
    "esn": {"units": 20, "washout": 5, "leak": 0.8, "degree": 4, "penalty": 1e-3},
    "lstm": {
        **{"units": 6, "layers": 2, "window": 12, "batch": 4, "washout": 3},
        **{"steps": 20, "check_every": 5, "patience": 2},
    },
    "deep_kalman": {"latent": 4, "hidden": 8, "steps": 3, "batch": 4, "window": 12},
    "equations": {"integrator": RK4(INTERVAL / 5, 5)},
    "edmd": {"degree": 2, "reencode": 3},
    "hippo": {"order": 4, "window": 6},
    "lem": {"units": 5, "window": 12, "washout": 3, **SHORT},
    "nbeats": {"context": 6, "length": 4, "hidden": 8, "blocks": 2, "layers": 2, **SHORT},
    "neural_ode": {"units": 6, "window": 6, **SHORT},
    "parrot": {"delays": 3},
    "plrnn": {"hidden": 12, "window": 8, **SHORT},
    "tide": {"context": 6, "length": 4, "hidden": 8, **SHORT},
}
MEMBERS = {"climatology": 4}
UNTRAINED = ("persistence", "parrot", "hippo")  # which forecast any system from its context
KINDS = sorted(SETTINGS)


def data():
    valid = normal((2, 40, SIZE), streams("contract", range(2), "valid"))
    return TrainingData(states(), valid, INTERVAL, Lorenz63())


def forecaster(kind):
    return build.method("forecaster", {"kind": kind} | SETTINGS[kind])


def fitted(kind):
    return forecaster(kind).fit(data(), stream("contract", "fit"))


def cases(count=CASES):
    """A stream for each case."""
    return streams("contract", range(count), "forecast")


def test_every_forecaster_is_under_contract():
    kinds = {settings.get("kind", kind) for kind, settings in SETTINGS.items()}
    assert kinds | TOKENS == FORECASTERS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_result_and_nothing_else_touched(kind):
    ready, context = fitted(kind), states()[:, :TIME]
    before = context.clone()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = ready.forecast(context, HORIZON, stream("contract", "forecast"))
    second = fitted(kind).forecast(context, HORIZON, stream("contract", "forecast"))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(context, before)
    assert torch.equal(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_forecasts_are_finite_and_of_the_right_shape(kind):
    ahead = fitted(kind).forecast(states()[:, :TIME], HORIZON, stream("contract", "forecast"))
    assert ahead.shape == (MEMBERS.get(kind, 1), CASES, HORIZON, SIZE)
    assert ahead.isfinite().all() and not ahead.requires_grad


# -- what is fitted to training data -------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_fitting_leaves_data_and_global_generator_as_they_are(kind):
    given = data()
    before = given.train.clone(), given.valid.clone()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    method = forecaster(kind)
    method.fit(given, stream("contract", "fit")).forecast(given.train[:, :TIME], 2, cases())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(given.train, before[0]) and torch.equal(given.valid, before[1])
    assert method.needs <= NEEDS


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_a_fit_does_not_keep_the_memory_of_its_data(kind):
    given, context = data(), states()[:, :TIME].clone()
    ready = forecaster(kind).fit(given, stream("contract", "fit"))
    expected = ready.forecast(context, HORIZON, cases())
    given.train.fill_(1.0)
    assert torch.equal(ready.forecast(context, HORIZON, cases()), expected)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_forecasts_are_in_double_precision(kind):
    assert fitted(kind).forecast(states()[:, :TIME], 2, cases()).dtype == torch.float64


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_cases_are_forecast_alike_alone_and_together(kind):
    ready, context = fitted(kind), states()[:, :TIME]
    together = ready.forecast(context, HORIZON, cases())
    for i, own in enumerate(cases().generators):
        alone = ready.forecast(context[i : i + 1], HORIZON, Streams((own,)))
        torch.testing.assert_close(alone, together[:, i : i + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", sorted(set(SETTINGS) - {"climatology"}))
def test_a_longer_forecast_begins_like_a_shorter_one(kind):
    ready, context = fitted(kind), states()[:, :TIME]
    short, long = (ready.forecast(context, h, cases()) for h in (HORIZON, 2 * HORIZON))
    assert torch.equal(long[:, :, :HORIZON], short)


@pytest.mark.parametrize("kind", sorted(set(SETTINGS) - INCOMPLETE))
def test_a_missing_value_in_the_context_is_refused(kind):
    context = states()[:, :TIME].clone()
    context[1, TIME - 1, 0] = torch.nan
    message = "context must be complete, but 1 of 108 .* case 1 at time 11, component 0"
    with pytest.raises(ValueError, match=message):
        fitted(kind).forecast(context, HORIZON, cases())


@pytest.mark.parametrize("kind", sorted(k for k in SETTINGS if k != "persistence"))
def test_a_missing_value_in_the_training_data_is_refused(kind):
    train = states()
    train[2, 5, 1] = torch.nan
    if "states" not in forecaster(kind).needs:
        return
    with pytest.raises(ValueError, match="training data must be complete, but 1 of 540"):
        forecaster(kind).fit(TrainingData(train, data().valid, INTERVAL), stream("contract", "fit"))


@pytest.mark.parametrize("kind", sorted(set(SETTINGS) - set(UNTRAINED)))
def test_a_context_of_another_system_is_refused(kind):
    with pytest.raises(ValueError, match=r"2 components, but .* 3|3 components, got states of 2"):
        fitted(kind).forecast(states()[:, :TIME, :2], HORIZON, cases())


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_what_was_written_forecasts_as_before_bit_for_bit(kind, tmp_path):
    ready, context = fitted(kind), states()[:, :TIME]
    io.write(to_dataset(ready), tmp_path / "fitted.nc", title=f"{kind} fitted")
    restored = from_dataset(io.read(tmp_path / "fitted.nc"))
    assert type(restored) is type(ready)
    expected = ready.forecast(context, HORIZON, cases())
    assert torch.equal(restored.forecast(context, HORIZON, cases()), expected)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_replicates_are_fitted_as_each_alone(kind):
    context = states()[:, :TIME]
    for ready, own in zip(
        fit_each(forecaster(kind), data(), streams("contract", range(2), "fit")),
        streams("contract", range(2), "fit").generators,
        strict=True,
    ):
        alone = forecaster(kind).fit(data(), own)
        expected = alone.forecast(context, HORIZON, cases())
        made = ready.forecast(context, HORIZON, cases())
        torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)  # trained in float32


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_the_map_of_a_forecaster_is_what_it_iterates(kind):
    ready, context = fitted(kind), states()[:, :TIME]
    if not isinstance(ready, OneStepMap):
        return
    z = ready.step(ready.start(context))
    torch.testing.assert_close(ready.state(z), ready.forecast(context, 1, cases())[0, :, 0])
    J = torch.func.jacrev(ready.step)(z[0])
    assert J.shape == (z.shape[-1], z.shape[-1]) and J.isfinite().all()
