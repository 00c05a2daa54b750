import pytest
import torch

from dalib.codecs.bins import Bins
from dalib.forecasters.base import TrainingData, fit_each
from dalib.forecasters.gpt import GPT2
from dalib.forecasters.markov import Markov
from dalib.forecasters.tokens import (
    TokenForecaster,
    Tokenised,
    drawn,
    draws,
    require_temperature,
)
from dalib.streams import normal, stream, streams, uniform


class Next:
    """Each token is followed by the next one, at every temperature."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def generate(self, context, steps, temperature, generator, save=None, resume=None):
        ahead = (context[:, -1:] + torch.arange(1, steps + 1)) % self.vocabulary
        return ahead.expand(*temperature.shape, *ahead.shape)


@pytest.fixture
def states():
    return normal((4, 50, 2), streams("tokens", range(4), "states"))


def test_a_forecast_is_the_centres_of_the_cells_that_the_model_names(states):
    codec = Bins(6).fit(states)
    context = states[:, :10]
    ahead = Tokenised(codec, Next(codec.size)).forecast(context, 5, None)
    assert ahead.shape == (1, 4, 5, 2)
    last = codec.encode(context)[:, -1:]
    expected = codec.centres[(last + torch.arange(1, 6)) % codec.size]
    assert torch.equal(ahead[0], expected)


def test_only_the_past_is_given_to_the_model(states):
    codec = Bins(6).fit(states)
    model = Markov(1).fit(codec.encode(states), codec.size)
    first = Tokenised(codec, model).forecast(states[:, :10], 8, stream("same"))
    changed = torch.cat([states[:, :10], states[:, 10:].flip(0)], 1)
    assert torch.equal(first, Tokenised(codec, model).forecast(changed[:, :10], 8, stream("same")))


def test_a_gap_in_the_past_is_refused(states):
    codec = Bins(6).fit(states)
    context = states[:, :10].clone()
    context[2, 3, 1] = torch.nan
    with pytest.raises(ValueError, match="must be complete, but 1 of 80 .* case 2 at time 3"):
        Tokenised(codec, Next(codec.size)).forecast(context, 3, None)


def test_draws_have_the_frequencies_of_the_softmax():
    """Within five standard errors, for T = 1 and T = 1/2 in one call."""
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    cases = 20_000
    temperature = torch.tensor([1.0, 0.5]).repeat_interleave(cases)
    u = uniform((2 * cases,), stream("softmax"), torch.float32)
    tokens = drawn(logits.expand(2 * cases, 4), temperature, u)
    for T, part in zip((1.0, 0.5), tokens.split(cases), strict=True):
        p = torch.softmax(logits.double() / T, 0)
        counts = part.bincount(minlength=4)
        assert ((counts - cases * p).abs() <= 5 * (cases * p * (1 - p)).sqrt()).all()


def test_draws_among_many_tokens_invert_their_cumulative_probability():
    """More tokens than are summed at once, and a last block that is not full."""
    logits = 3 * torch.randn(5, 150, generator=torch.Generator().manual_seed(1))
    u = uniform((1000, 5), stream("many"), torch.float32)
    rows = logits.expand(1000, 5, 150).flatten(0, 1)
    tokens = drawn(rows, torch.ones(5000), u.flatten()).view(1000, 5)
    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)
    expected = torch.searchsorted(cumulative, u.double().T.contiguous(), right=True).T
    assert (tokens == expected).float().mean() > 0.999  # but where u meets a boundary to round-off


def test_at_temperature_0_the_first_of_the_largest_logits_is_taken():
    logits = torch.tensor([[0.0, 3.0, 3.0], [1.0, 0.0, 1.0]])
    assert drawn(logits, torch.zeros(2), torch.zeros(2)).tolist() == [1, 0]
    beside = drawn(logits.repeat(2, 1), torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 0, 0, 0]))
    assert beside.tolist()[:2] == [1, 0]


def test_temperatures_share_the_numbers_that_each_would_draw_alone():
    together = draws(torch.tensor([1.0, 0.0, 0.5]), 4, stream("u"), torch.float32)
    alone = draws(torch.tensor([0.5]), 4, stream("u"), torch.float32)
    assert torch.equal(together[0], together[2]) and torch.equal(together[2], alone[0])
    assert (together[1] == 0).all()


def test_replicates_of_the_same_data_are_trained_at_once_and_others_apart(states, monkeypatch):
    """Each is what it is alone, to round-off."""
    sizes = {"layers": 1, "width": 8, "heads": 2, "context": 6, "steps": 4, "check_every": 2}
    method = TokenForecaster(Bins(4), GPT2(**sizes))
    first, other = TrainingData(states, states[:2]), TrainingData(states[1:], states[:1])
    trained = []

    def noted(self, train, valid, vocabulary, generator, **kept):
        trained.append(len(generator))
        return fit(self, train, valid, vocabulary, generator, **kept)

    fit = GPT2.fit_each
    monkeypatch.setattr(GPT2, "fit_each", noted)
    made = fit_each(method, [first, other, first], streams("tokens", range(3), "fit"))
    assert trained == [2, 1]
    for i, data in enumerate([first, other, first]):
        alone = method.fit(data, stream("tokens", i, "fit"))
        assert alone.codec.size == made[i].codec.size
        for name, value in alone.model.weights.items():
            torch.testing.assert_close(made[i].model.weights[name], value, rtol=1e-4, atol=1e-5)
    assert made[0].model.history["checks"].tolist() == [0, 2, 4]


@pytest.mark.parametrize("temperature", [-1.0, torch.tensor([1.0, -0.1]), float("nan")])
def test_a_temperature_below_0_is_refused(temperature):
    with pytest.raises(ValueError, match="a temperature is 0 .* or positive"):
        require_temperature(temperature)
