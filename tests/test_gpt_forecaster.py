import copy

import pytest
import torch

from dalib.forecasters.gpt import Reader, TrainedGPT2
from dalib.nets.gpt import GPT
from dalib.streams import normal, stream, streams


def forecaster(context=10) -> TrainedGPT2:
    """A network that was never trained, in the place of a trained one."""
    sizes = {"layers": 2, "width": 16, "heads": 2, "context": context}
    network = GPT(20, 1, **sizes, generator=streams("w", range(1), "weights"))
    with torch.no_grad():
        network.tokens.mul_(20)  # sharper choices than those of small first weights
        for name, value in network.named_parameters():
            if name.endswith(("gain", "bias")):  # 1 and 0 at first
                value.add_(normal(tuple(value.shape), stream(name), value.dtype), alpha=0.1)
    weights = {name: value.detach() for name, value in network.state_dict().items()}
    return TrainedGPT2(weights, sizes, 20, {})


@pytest.fixture
def past():
    return torch.randint(20, (3, 8), generator=torch.Generator().manual_seed(3))


def full_passes(network: GPT, past: torch.Tensor, steps: int) -> torch.Tensor:
    """Greedy generation that reads everything anew for every token, at first all that is given."""
    keep = network.context // 2
    sequence = kept = past[:, -network.context :]
    with torch.no_grad():
        for _ in range(steps):
            if kept.shape[1] > network.context:
                kept = sequence[:, -keep:]
            token = network.logits(network(kept[None]))[0, :, -1].argmax(-1, keepdim=True)
            sequence, kept = torch.cat([sequence, token], 1), torch.cat([kept, token], 1)
    return sequence[:, -steps:]


def test_reading_on_gives_the_logits_of_the_network(past):
    network = forecaster().network()
    reader = Reader(network, len(past))
    with torch.no_grad():
        expected = network.logits(network(past[None]))[0]
        found = [reader.read(past[:, :4]), *(reader.read(one) for one in past[:, 4:].split(1, 1))]
    torch.testing.assert_close(torch.stack(found, 1), expected[:, 3:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("context", [10, 11, 2])
def test_with_a_cache_the_same_tokens_follow_as_without_across_refills(past, context):
    own = forecaster(context=context)
    found = own.generate(past, 40, 0.0, None)
    assert torch.equal(found, full_passes(own.network(), past, 40))


def test_temperatures_side_by_side_give_what_each_gives_alone(past):
    own, temperatures = forecaster(), (0.0, 1.0, 2.0)
    together = own.generate(past, 15, torch.tensor(temperatures), stream("g"))
    for T, made in zip(temperatures, together, strict=True):
        assert torch.equal(made, own.generate(past, 15, T, stream("g")))


def test_a_case_with_a_stream_of_its_own_is_continued_as_alone(past):
    own, names = forecaster(), range(len(past))
    together = own.generate(past, 15, 1.0, streams("g", names, "case"))
    for i in names:
        alone = own.generate(past[i : i + 1], 15, 1.0, streams("g", [i], "case"))
        assert torch.equal(alone[0], together[i])


def test_the_first_token_has_the_law_of_the_softmax():
    own = forecaster()
    past = torch.zeros(4000, 1, dtype=torch.int64)
    drawn = own.generate(past, 1, 2.0, stream("g")).flatten()
    network = own.network()
    with torch.no_grad():
        z = network.logits(network(past[None, :1]))[0, 0, -1]
    p = torch.softmax(z / 2, -1)
    share = torch.bincount(drawn, minlength=20) / len(drawn)
    assert (share - p).abs().max() < 4 * (p * (1 - p) / len(drawn)).sqrt().max()


def test_log_prob_is_the_logarithm_of_the_softmax(past):
    own = forecaster()
    network = own.network()
    with torch.no_grad():
        logits = network.logits(network(past[None, :, :-1]))
    expected = logits.log_softmax(-1)[0].gather(-1, past[:, 1:, None])[..., 0]
    torch.testing.assert_close(own.log_prob(past), expected)


def test_draws_follow_from_the_generator_and_leave_the_global_state_alone(past):
    own, state = forecaster(), torch.get_rng_state()
    first = own.generate(past, 20, 1.0, stream("g"))
    assert torch.equal(own.generate(past, 20, 1.0, stream("g")), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_temperature_below_zero_is_refused(past):
    with pytest.raises(ValueError, match="temperature"):
        forecaster().generate(past, 3, -0.5, stream("g"))


@pytest.mark.parametrize("wrong", [-1, 20])
def test_a_token_outside_the_vocabulary_is_named(past, wrong):
    past[1, 2] = wrong
    said = f"a vocabulary of 20 has the tokens 0 to 19, got {wrong}; encode with the codec"
    with pytest.raises(ValueError, match=said):
        forecaster().generate(past, 3, 0.0, None)
    with pytest.raises(ValueError, match=said):
        forecaster().log_prob(past)


def test_a_generation_continues_from_any_state_as_if_it_had_not_stopped(past):
    """States are left where the context is full, and at the end."""
    own, saved, T = forecaster(), [], torch.tensor([0.0, 1.0, 2.0])
    whole = own.generate(
        past, 13, T, stream("a"), save=lambda state: saved.append(copy.deepcopy(state()))
    )
    assert [state["done"] for state in saved] == [3, 9, 13]
    for state in saved:
        assert torch.equal(own.generate(past, 13, T, stream("x"), resume=state), whole)


def test_what_was_saved_of_another_generation_is_left_aside(past, caplog):
    own, saved = forecaster(), []
    own.generate(past, 13, 1.0, stream("a"), save=lambda state: saved.append(state()))
    found = own.generate(past, 14, 1.0, stream("a"), resume=saved[0])
    assert "of another generation; starts from the beginning" in caplog.text
    assert torch.equal(found, own.generate(past, 14, 1.0, stream("a")))
