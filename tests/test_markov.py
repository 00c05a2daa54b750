import pytest
import torch

from dalib.forecasters.markov import Markov
from dalib.streams import stream


def drawn(cases=6, time=400, vocabulary=7, name="tokens"):
    return torch.randint(0, vocabulary, (cases, time), generator=stream("markov", name))


def pairs(tokens):
    return torch.stack([tokens[:, :-1].flatten(), tokens[:, 1:].flatten()], 1)


def test_counts_are_those_of_the_transitions_within_trajectories():
    tokens = drawn()
    table = Markov(1).fit(tokens, 7).tables[1]
    counted = torch.zeros(7, 7, dtype=torch.int64)
    row = table.keys.repeat_interleave(table.first.diff())
    counted[row, table.token] = table.count
    expected = torch.zeros(7, 7, dtype=torch.int64)
    for trajectory in tokens.tolist():
        for a, b in zip(trajectory[:-1], trajectory[1:], strict=True):
            expected[a, b] += 1
    assert torch.equal(counted, expected)


def test_no_transition_leads_from_one_trajectory_to_the_next():
    tokens = torch.tensor([[0, 1, 0, 1], [2, 3, 2, 3]])
    generated = Markov(1).fit(tokens, 4).generate(torch.tensor([[0], [2]]), 200, 1.0, stream("g"))
    assert generated[0].unique().tolist() == [0, 1]
    assert generated[1].unique().tolist() == [2, 3]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_sequence_that_its_order_determines_is_continued_exactly(order):
    """0^order 1 repeated: after order zeros comes the one, after fewer there is a choice to see."""
    tokens = torch.tensor([([0] * order + [1]) * 30])
    chain = Markov(order).fit(tokens, 2)
    generated = chain.generate(tokens[:, : 2 * order + 2], 20 * (order + 1), 1.0, stream("exact"))
    assert torch.equal(generated[0], tokens[0, : 20 * (order + 1)])


def test_long_runs_have_the_transition_probabilities_of_the_counts():
    """Within five standard errors of binomial frequencies."""
    weights = torch.tensor([[8, 1, 1], [1, 1, 2], [0, 3, 1]])
    rows = [[a, b] for a in range(3) for b in range(3) for _ in range(weights[a, b])]
    chain = Markov(1).fit(torch.tensor(rows), 3)
    run = chain.generate(torch.zeros(20, 1, dtype=torch.int64), 3000, 1.0, stream("long"))
    seen = pairs(run).unique(dim=0, return_counts=True)
    counts = torch.zeros(3, 3).index_put(tuple(seen[0].T), seen[1].float())
    p, n = weights / weights.sum(1, keepdim=True), counts.sum(1, keepdim=True)
    assert ((counts - n * p).abs() <= 5 * (n * p * (1 - p)).sqrt()).all()
    assert counts[2, 0] == 0


def test_temperature_raises_counts_to_its_inverse():
    """Counts 4 and 1 at T = 1/2 are as 16 to 1; within five standard errors."""
    tokens = torch.tensor([[0, 0]] * 4 + [[0, 1]] + [[1, 0]])
    chain = Markov(1).fit(tokens, 2)
    first = chain.generate(torch.zeros(40_000, 1, dtype=torch.int64), 1, 0.5, stream("cold"))
    share = (first == 1).double().mean().item()
    assert share == pytest.approx(1 / 17, abs=5 * (16 / 17**2 / 40_000) ** 0.5)


def test_at_temperature_0_the_most_frequent_follows_and_of_equals_the_lowest():
    tokens = torch.tensor([[0, 2], [0, 2], [0, 1], [1, 3], [1, 2], [2, 0], [3, 0]])
    chain = Markov(1).fit(tokens, 4)
    assert chain.generate(torch.tensor([[0], [1]]), 3, 0.0, None).tolist() == [[2, 0, 2], [2, 0, 2]]
    warm = chain.generate(torch.tensor([[1]]), 50, 1e-3, stream("nearly")).tolist()
    assert set(warm[0][1:]) <= {0, 2}


def test_temperatures_side_by_side_give_what_each_gives_alone():
    tokens = drawn()
    chain = Markov(1).fit(tokens, 7)
    past, temperatures = tokens[:3, :5], (0.0, 1.0, 0.5)
    together = chain.generate(past, 30, torch.tensor(temperatures), stream("mixed"))
    for T, made in zip(temperatures, together, strict=True):
        assert torch.equal(made, chain.generate(past, 30, T, stream("mixed")))


def test_what_ended_a_trajectory_only_is_followed_as_if_nothing_were_known():
    """Token 2 has no successor: the frequencies of single tokens, 1 before 0 and 2."""
    tokens = torch.tensor([[0, 1, 1, 0, 1, 1, 2]])
    chain = Markov(1).fit(tokens, 3)
    assert chain.generate(torch.tensor([[2]]), 1, 0.0, None).tolist() == [[1]]
    many = chain.generate(torch.full((7000, 1), 2), 1, 1.0, stream("ends")).flatten().bincount()
    expected = 7000 * torch.tensor([2, 4, 1]) / 7
    assert ((many - expected).abs() <= 5 * (expected * (1 - expected / 7000)).sqrt()).all()


def test_an_unseen_context_falls_back_to_the_longest_that_was_seen():
    tokens = torch.tensor([[0, 1, 2, 0, 1, 2, 0, 1, 2]])
    chain = Markov(2).fit(tokens, 3)
    assert chain.generate(torch.tensor([[1, 1]]), 3, 1.0, stream("f")).tolist() == [[2, 0, 1]]
    assert chain.generate(torch.tensor([[1]]), 3, 1.0, stream("f")).tolist() == [[2, 0, 1]]


def test_at_temperature_1_only_transitions_of_the_training_part_are_generated():
    tokens = drawn(cases=2, time=60, vocabulary=30)
    chain = Markov(1).fit(tokens, 30)
    run = chain.generate(tokens[:, :1].repeat(10, 1), 300, 1.0, stream("seen"))
    seen = {tuple(pair) for pair in pairs(tokens).tolist()}
    ends = set(tokens[:, -1].tolist()) - set(tokens[:, :-1].flatten().tolist())
    assert all(tuple(p) in seen or p[0] in ends for p in pairs(run).tolist())


def test_tokens_in_small_integers_are_counted_alike():
    tokens = drawn(vocabulary=3000)
    small, large = (Markov(2).fit(t, 3000) for t in (tokens.short(), tokens))
    for a, b in zip(small.tables, large.tables, strict=True):
        assert torch.equal(a.keys, b.keys) and torch.equal(a.count, b.count)
        assert torch.equal(a.token, b.token) and torch.equal(a.first, b.first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: Markov(0), "at least 1, got 0"),
        (lambda t: Markov(2).fit(t[:, :2], 7), "more than 2 tokens, got 2"),
        (lambda t: Markov(5).fit(t, 5000), "too many"),
        (lambda t: Markov(1).fit(t, 6), "of 6 has the tokens 0 to 5, got 6"),
        (lambda t: Markov(1).fit(t, 7).generate(t + 4, 3, 1.0, stream("x")), "0 to 6, got 10"),
        (lambda t: Markov(1).fit(t, 7).generate(t, 3, -0.5, stream("x")), "positive, got -0.5"),
        (lambda t: Markov(1).fit(t, 7).generate(t, 3, 1.0, None), "needs a generator"),
    ],
)
def test_what_makes_no_chain_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(drawn())
