import pytest
import torch

from dalib.codecs.bins import Bins
from dalib.forecasters.markov import Markov
from dalib.forecasters.tokens import Tokenised, drawn, require_temperature
from dalib.streams import normal, stream, streams, uniform


class Next:
    """Each token is followed by the next one, in every repeat."""

    def __init__(self, vocabulary, repeats=()):
        self.vocabulary, self.repeats = vocabulary, repeats

    def generate(self, context, steps, temperature, generator):
        ahead = (context[:, -1:] + torch.arange(1, steps + 1)) % self.vocabulary
        return ahead.expand(*self.repeats, *ahead.shape)


@pytest.fixture
def states():
    return normal((4, 50, 2), streams("tokens", range(4), "states"))


@pytest.mark.parametrize("repeats", [(), (3,)])
def test_a_forecast_is_the_centres_of_the_cells_that_the_model_names(states, repeats):
    codec = Bins(6).fit(states)
    context = states[:, :10]
    ahead = Tokenised(codec, Next(codec.size, repeats)).forecast(context, 5, None)
    assert ahead.shape == (*repeats, 1, 4, 5, 2)
    last = codec.encode(context)[:, -1:]
    expected = codec.centres[(last + torch.arange(1, 6)) % codec.size]
    assert torch.equal(ahead, expected.expand(ahead.shape))


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
    tokens = drawn(logits.expand(1, 2 * cases, 4), temperature, stream("softmax"))[0]
    for T, part in zip((1.0, 0.5), tokens.split(cases), strict=True):
        p = torch.softmax(logits.double() / T, 0)
        counts = part.bincount(minlength=4)
        assert ((counts - cases * p).abs() <= 5 * (cases * p * (1 - p)).sqrt()).all()


def test_draws_among_many_tokens_invert_their_cumulative_probability():
    """More tokens than are summed at once, and a last block that is not full."""
    logits = 3 * torch.randn(5, 150, generator=torch.Generator().manual_seed(1))
    tokens = drawn(logits.expand(1000, 5, 150), torch.ones(5), stream("many"))
    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)
    u = uniform((1000, 5), stream("many"), torch.float32).double()
    expected = torch.searchsorted(cumulative, u.T.contiguous(), right=True).T
    assert (tokens == expected).float().mean() > 0.999  # but where u meets a boundary to round-off


def test_at_temperature_0_the_first_of_the_largest_logits_is_taken():
    logits = torch.tensor([[[0.0, 3.0, 3.0], [1.0, 0.0, 1.0]]])
    assert drawn(logits, torch.zeros(2), None).tolist() == [[1, 0]]
    assert drawn(logits, torch.zeros(2), stream("unused")).tolist() == [[1, 0]]


def test_each_repeat_draws_from_its_own_stream():
    logits = torch.zeros(2, 100, 50)
    both = drawn(logits, torch.ones(100), streams("repeats", (0, 1), "draw"))
    alone = drawn(logits[1:], torch.ones(100), streams("repeats", (1,), "draw"))
    assert torch.equal(both[1], alone[0])
    assert not torch.equal(both[0], both[1])
    with pytest.raises(ValueError, match="2 repeats need as many streams, got 3"):
        drawn(logits, torch.ones(100), streams("repeats", range(3), "draw"))


@pytest.mark.parametrize("temperature", [-1.0, torch.tensor([1.0, -0.1]), float("nan")])
def test_a_temperature_below_0_is_refused(temperature):
    with pytest.raises(ValueError, match="a temperature is 0 .* or positive"):
        require_temperature(temperature, 2)
