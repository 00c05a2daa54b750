"""Sequences whose entropies, transitions and periods are known."""

import numpy as np
import pytest

from papers.gpt.metrics.symbolic import (
    conditional_entropies,
    period,
    unseen_by_chance,
    unseen_share,
    words,
)

P = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5], [0.4, 0.0, 0.6]])


def chain(transitions, cases, times, seed=0):
    """(case, time), a Markov chain from state 0 on."""
    rng, tokens = np.random.default_rng(seed), np.zeros((cases, times), np.int16)
    above = transitions.cumsum(1)
    for t in range(1, times):
        tokens[:, t] = (rng.random((cases, 1)) >= above[tokens[:, t - 1]]).sum(1)
    return tokens


def rate(transitions):
    """Entropy rate of a Markov chain, -Σ_i π_i Σ_j p_ij log p_ij, π the stationary law."""
    values, vectors = np.linalg.eig(transitions.T)
    stationary = vectors[:, np.argmax(values.real)].real
    stationary /= stationary.sum()
    log = np.log(np.where(transitions > 0, transitions, 1.0))
    return -(stationary[:, None] * transitions * log).sum()


def by_counting(tokens, order):
    """The definition, from dictionaries."""
    contexts = {}
    for case in tokens:
        for t in range(len(case) - order):
            following = contexts.setdefault(tuple(case[t : t + order]), [])
            following.append(case[t + order])
    total = sum(len(f) for f in contexts.values())
    entropy = 0.0
    for following in contexts.values():
        share = np.unique(following, return_counts=True)[1] / len(following)
        entropy -= len(following) / total * (share * np.log(share)).sum()
    return entropy


def test_a_markov_chain_has_its_entropy_rate_at_every_order():
    found = conditional_entropies(chain(P, 2000, 101), 4)
    np.testing.assert_allclose(found, rate(P), atol=0.005)


def test_entropies_are_those_of_the_frequencies_after_each_context():
    tokens = np.random.default_rng(1).integers(0, 4, (3, 60)).astype(np.int16)
    found = conditional_entropies(tokens, 4)
    np.testing.assert_allclose(found, [by_counting(tokens, m) for m in (1, 2, 3, 4)], atol=1e-12)


def test_independent_tokens_have_the_entropy_of_one():
    tokens = np.random.default_rng(2).integers(0, 5, (100, 2000))
    np.testing.assert_allclose(conditional_entropies(tokens, 2), np.log(5), atol=1e-3)


def test_a_longer_past_never_adds_uncertainty_but_for_the_ends_of_the_series():
    found = conditional_entropies(chain(P, 50, 1001), 4)
    assert (np.diff(found) < 1e-3).all()


def test_what_follows_for_certain_has_no_entropy():
    """Order 1 of 0 0 1 0 0 1 ...: after 0 comes 0 or 1; order 2 knows which."""
    tokens = np.tile([0, 0, 1], (2, 300))
    found = conditional_entropies(tokens, 2)
    assert found[0] == pytest.approx(2 / 3 * np.log(2), abs=1e-3)
    assert found[1] == pytest.approx(0, abs=1e-12)


def test_no_block_reaches_from_one_case_into_the_next():
    """Two constant cases: joined, 0 would sometimes be followed by 1."""
    tokens = np.repeat([[0], [1]], 10, axis=1)
    np.testing.assert_array_equal(conditional_entropies(tokens, 3), 0)
    np.testing.assert_array_equal(words(tokens, 2), [0, 3])


def test_large_vocabularies_in_small_integers_do_not_overflow():
    """Blocks of 5 of 30 000 tokens have more numbers than 64 bits: they are numbered anew."""
    tokens = np.random.default_rng(3).permutation(30_000).astype(np.int16).reshape(3, -1)
    np.testing.assert_allclose(conditional_entropies(tokens, 4), 0, atol=1e-12)
    assert len(words(tokens, 30_000)) == 30_000 - 3


def test_series_too_short_for_the_order_are_refused():
    with pytest.raises(ValueError, match="series of more than 4 tokens, got 4"):
        conditional_entropies(np.zeros((2, 4), int), 4)


def test_the_share_of_unseen_transitions_counts_each_occurrence():
    seen = words(np.array([[0, 1, 2, 0]]), 3)
    made = np.array([[0, 1, 1, 2, 0], [2, 1, 2, 0, 1]])  # 1 1 and 2 1 are new
    assert unseen_share(made, seen, 3) == 2 / 8
    assert unseen_share(made[:, :2], words(made, 3), 3) == 0


def test_longer_stretches_are_those_that_a_chain_of_order_1_gets_wrong():
    """0 1 2 and 2 1 0 alone occur; each pair of 0 1 0 does, the triple does not."""
    tokens = np.array([[0, 1, 2], [2, 1, 0]])
    made = np.array([[0, 1, 0]])
    assert unseen_share(made, words(tokens, 3), 3) == 0
    assert unseen_share(made, words(tokens, 3, 3), 3, 3) == 1
    assert unseen_share(tokens, words(tokens, 3, 3), 3, 3) == 0
    with pytest.raises(ValueError, match="too many to number"):
        words(tokens, 3_000_000, 3)


def test_tokens_drawn_one_by_one_make_seen_pairs_by_chance():
    seen = words(np.array([[0, 1, 1]]), 3)
    assert unseen_by_chance(np.array([2, 2, 0]), seen) == pytest.approx(1 - 2 / 4)


def test_the_smallest_period_is_found():
    cycle = np.array([4, 1, 4, 2, 3])
    start = np.array([9, 9, 8, 7, 6, 9])
    run = np.concatenate([start, np.tile(cycle, 20)])
    assert period(run, 50) == 5
    assert period(np.full(30, 2), 10) == 1


def test_a_run_that_does_not_repeat_exactly_has_no_period():
    run = np.tile(np.arange(7), 10)
    assert period(run, 35) == 7
    run[-3] = 9
    assert period(run, 35) == 0
    assert period(np.random.default_rng(4).integers(0, 300, 4000), 1000) == 0


def test_what_came_before_the_tail_does_not_matter():
    """A cycle reached late is one, if tail and one period before it repeat."""
    run = np.concatenate([np.arange(100, 180), np.tile(np.arange(10), 4)])
    assert period(run, 30) == 10
    assert period(run, 31) == 0


def test_periods_beyond_the_longest_or_the_series_are_not_looked_for():
    run = np.tile(np.arange(40), 4)
    assert period(run, 80, longest=40) == 40
    assert period(run, 80, longest=39) == 0
    assert period(run, 121) == 0  # there is no room for one period more
    with pytest.raises(ValueError, match="at least 1 token"):
        period(run, 0)


def test_period_as_long_as_the_tail_is_found():
    assert period(np.tile(np.arange(1000), 2), 1000) == 1000
