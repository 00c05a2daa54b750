"""What holds for every forecaster of the registry, whatever its method."""

from collections.abc import Callable

import pytest
import torch

from dalib import build
from dalib.codecs.bins import Bins
from dalib.forecasters.base import Fitted
from dalib.forecasters.tokens import Tokenised
from dalib.nets.dkf import DeepKalman
from dalib.nets.gpt import GPT
from dalib.nets.scaling import Scaling
from dalib.registry import FORECASTERS
from dalib.streams import normal, stream, streams

CASES, TIME, SIZE, HORIZON, REPEATS = 3, 12, 2, 9, 2


def states():
    return normal((CASES, 60, SIZE), streams("contract", range(CASES), "states"))


def deep_kalman():
    scaling = Scaling(torch.zeros(REPEATS, SIZE), torch.ones(REPEATS, SIZE))
    weights = streams("contract", range(REPEATS), "weights")
    network = DeepKalman(scaling, latent=4, hidden=8, generator=weights)
    return build.make("forecaster", {"kind": "deep_kalman"}, {"network": lambda: network})


def markov():
    codec = Bins(5).fit(states())
    chain = build.make("forecaster", {"kind": "markov", "order": 2})
    return Tokenised(codec, chain.fit(codec.encode(states()), codec.size))


def transformer():
    codec = Bins(5).fit(states())
    weights = streams("contract", range(REPEATS), "weights")
    sizes = {"layers": 1, "width": 8, "heads": 2, "context": 8}
    network = GPT(codec.size, REPEATS, **sizes, generator=weights)
    model = build.make("forecaster", {"kind": "gpt"}, {"network": lambda: network})
    return Tokenised(codec, model)


MADE: dict[str, Callable[[], Fitted]]
MADE = {"deep_kalman": deep_kalman, "markov": markov, "gpt": transformer}
REPEATED = {"deep_kalman", "gpt"}


def test_every_forecaster_is_under_contract():
    assert MADE.keys() == FORECASTERS.keys()


@pytest.mark.parametrize("kind", sorted(MADE))
def test_same_seed_same_result_and_nothing_else_touched(kind):
    forecaster, context = MADE[kind](), states()[:, :TIME]
    before = context.clone()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = forecaster.forecast(context, HORIZON, stream("contract", "forecast"))
    second = MADE[kind]().forecast(context, HORIZON, stream("contract", "forecast"))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(context, before)
    assert torch.equal(first, second)


@pytest.mark.parametrize("kind", sorted(MADE))
def test_forecasts_are_finite_and_of_the_right_shape(kind):
    ahead = MADE[kind]().forecast(states()[:, :TIME], HORIZON, stream("contract", "forecast"))
    repeats = (REPEATS,) if kind in REPEATED else ()
    assert ahead.shape == (*repeats, 1, CASES, HORIZON, SIZE)
    assert ahead.isfinite().all() and not ahead.requires_grad
