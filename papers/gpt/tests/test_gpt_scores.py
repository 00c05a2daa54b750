"""Scores of tokens: identities between what goes in and what comes out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from dalib import io
from dalib.metrics.base import Coded, Dynamics, Evaluation
from dalib.metrics.transport import counts, wasserstein_cells
from papers.gpt.metrics import divergence
from papers.gpt.metrics.codecs import TrueTokens
from papers.gpt.metrics.continuations import Continuations, score_shadows
from papers.gpt.metrics.generations import FreeRuns, NextTokenLoss, losses
from papers.gpt.metrics.symbolic import conditional_entropies
from papers.gpt.metrics.tokens import disjoint_groups, group, pair_distances, places

VOCABULARY, TRAIN, TEST, TIMES, CONTEXT, HORIZON, INTERVAL = 6, 9, 3, 120, 10, 20, 0.5
CENTRES = np.random.default_rng(0).normal(size=(VOCABULARY, 2))
STARTS = (30, 60)
SETTINGS = {"discard": 0, "pairs": 4, "sets": 2, "pair_points": 15}


def generator():
    """The one that metrics draw groups and places from."""
    return np.random.default_rng(0)


def walk(cases, times=TIMES, seed=0):
    """(case, time), tokens that stay or go one up: few of the transitions ever happen."""
    steps = np.random.default_rng(seed).integers(0, 2, (cases, times))
    return (steps.cumsum(1) % VOCABULARY).astype(np.int16)


def nearest(states):
    """(..., state) -> (...), the token whose centre a state is."""
    return np.linalg.norm(states[..., None, :] - CENTRES, axis=-1).argmin(-1)


def coded(train=None, test=None, states=None):
    """The truth through a codec of six cells; states lie at their centres."""
    train = walk(TRAIN, seed=1) if train is None else train
    test = walk(TEST, seed=2) if test is None else test
    codec = SimpleNamespace(
        visits=torch.tensor([3, 9, 10, 11, 50, 99]),
        lower=torch.zeros(2),
        upper=torch.ones(2),
        width=torch.ones(2) / 4,
        cells=4,
        outside=lambda x: 1,
        unseen=lambda x: 2,
        encode=lambda x: torch.as_tensor(nearest(x.numpy())),
    )
    return Coded(codec, nearest, CENTRES, CENTRES[test] if states is None else states, train, test)


def dynamics(
    jacobian=lambda x: torch.diag(torch.tensor([3.0, 0.5], dtype=torch.float64)).expand(
        *x.shape, 2
    ),
):
    """A map that leaves its states, of exponent 0.4."""
    made = Dynamics(SimpleNamespace(jacobian=jacobian), lambda x: x, None, INTERVAL)
    made.once("largest exponent", lambda: 0.4)
    return made


def true_scores(of=None, **settings):
    evaluation = Evaluation(
        coded=of or coded(),
        dynamics=settings.pop("dynamics", None) or dynamics(),
        training=xr.DataArray(np.zeros((1, 2)), {"state": ["x", "y"]}, ("time", "state")),
    )
    return TrueTokens(**SETTINGS | settings)(evaluation)


def run_scores(run, of=None, **settings):
    """Of tokens (chain, time) of a free run."""
    states = xr.DataArray(CENTRES[run][None], dims=("run", "case", "time", "state"))
    evaluation = Evaluation(coded=of or coded(), dynamics=dynamics(), free_run=states)
    return FreeRuns(**SETTINGS | settings)(evaluation)


def windows(test=None):
    test = walk(TEST, seed=2) if test is None else test
    return np.stack([test[:, s : s + HORIZON] for s in STARTS], 1)


def continued(made, of=None, **settings):
    """Scores of continuations (case, start, lead) of the windows of the test part."""
    of = of or coded()

    def states(tokens):
        units = {"units": "1", "long_name": "lead time"}
        leads = {"lead": ("lead", INTERVAL * np.arange(1, HORIZON + 1), units)}
        values = CENTRES[tokens.reshape(-1, HORIZON)]
        return xr.DataArray(values, leads, ("case", "lead", "state"))

    evaluation = Evaluation(
        estimate=states(made).expand_dims("run"),
        truth=states(windows(of.test)),
        coded=of,
        dynamics=dynamics(),
        starts=STARTS,
    )
    return Continuations(discard=0, context=CONTEXT, **settings)(evaluation)


def shadows_of(continuations, draws, lengths):
    """(seed, draw, lead), agreeing with (seed, lead) for so many steps; 0 steps: none was found."""
    found = np.full((len(continuations), draws, HORIZON), -1)
    for j, length in enumerate(lengths):
        if length:
            found[:, j] = (continuations + 1) % VOCABULARY
            found[:, j, :length] = continuations[:, :length]
    return {
        "shadow": found,
        "accepted": (found >= 0).all(-1).sum(1),
        "drawn": np.full(len(continuations), 100),
    }


def assert_described(scores):
    for name, variable in scores.data_vars.items():
        assert {"units", "long_name"} <= variable.attrs.keys(), name


def test_groups_are_different_trajectories_and_pairs_of_them_disjoint():
    a, b = disjoint_groups(9, 4, generator())
    assert len({*a, *b}) == 8
    assert len(set(group(9, 9, generator()))) == 9


def test_references_are_distances_of_groups_as_large_as_the_test_part():
    found, train = true_scores(), walk(TRAIN, seed=1)
    rng = generator()
    pairs = [disjoint_groups(TRAIN, TEST, rng) for _ in range(4)]
    visits = [[counts(train[g], VOCABULARY) for g in pair] for pair in pairs]
    expected = [wasserstein_cells(a, b, CENTRES) for a, b in visits]
    np.testing.assert_allclose(found.true_w1, expected)
    everything = counts(train, VOCABULARY)
    np.testing.assert_allclose(
        found.true_w1_training, [wasserstein_cells(a, everything, CENTRES) for a, _ in visits[:2]]
    )
    where = [places(15, rng) for _ in range(2)]
    for j, (a, b) in enumerate(pairs[:2]):
        expected = pair_distances(train[a], train[b], CENTRES, where[j])
        np.testing.assert_array_equal(found.true_w1_pairs.isel(set=j), expected)
    np.testing.assert_allclose(found.entropy, conditional_entropies(train, 4))


def test_references_count_cells_and_states():
    found = true_scores()
    assert (found.vocabulary, found.common) == (6, 4)
    assert (found.clipped_test, found.unseen_test) == (1, 2)
    assert found.lyapunov_time == 2.5
    assert found.entropy_rate == 0.2
    assert np.array_equal(found.centre, CENTRES) and found.state.values.tolist() == ["x", "y"]


def test_runs_with_the_same_cells_share_their_references():
    of = coded()
    assert true_scores(of) is true_scores(of)
    xr.testing.assert_identical(true_scores(of), true_scores(coded()))


def test_growth_is_that_of_the_jacobians_at_centres_and_at_exact_states():
    found = true_scores(longest=6)
    for name in ("true_growth", "true_lyapunov_fit", "exact_growth", "exact_lyapunov_fit"):
        np.testing.assert_allclose(found[name], np.log(3.0), rtol=1e-6, err_msg=name)
    assert found.true_lyapunov_fit.dims == ("first",)
    assert found.exact_growth.steps.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert "true_growth" not in true_scores()


def test_groups_that_the_training_part_cannot_fill_are_refused():
    with pytest.raises(ValueError, match="two groups of 3 trajectories need 6 .* there are 5"):
        true_scores(coded(train=walk(5)))
    with pytest.raises(ValueError, match="needs 3 trajectories for training, there are 2"):
        group(2, 3, generator())
    with pytest.raises(ValueError, match="at most 4, got 5"):
        true_scores(sets=5)


def test_transients_are_in_the_entropies_but_in_no_distance_and_no_growth():
    """What stands in the first samples changes nothing else."""
    made_up, plain = np.zeros((TRAIN, 40), np.int16), coded()
    train, test = (np.hstack([made_up[: len(t)], t]) for t in (plain.train, plain.test))
    states = CENTRES[test]
    states[:, :40] = np.nan
    longer = coded(train, test, states)

    def jacobian(x):
        return torch.diag_embed(torch.stack([x[..., 0].exp(), 0 * x[..., 0]], -1))

    whole = true_scores(plain, longest=6, dynamics=dynamics(jacobian))
    late = true_scores(longer, discard=40, longest=6, dynamics=dynamics(jacobian))
    xr.testing.assert_identical(whole.drop_vars("entropy"), late.drop_vars("entropy"))
    assert (whole.entropy != late.entropy).all()
    run = walk(TEST, seed=7)
    xr.testing.assert_identical(run_scores(run, plain), run_scores(run, longer, discard=40))
    with pytest.raises(ValueError, match="less than the 120 samples of a trajectory, got 120"):
        true_scores(discard=120)


def test_pairs_know_the_order_of_the_states_though_each_has_the_same_law():
    """Up or down: every state is as frequent, but what follows it differs."""
    up = np.arange(6 * 40).reshape(1, -1) % 6
    where = places(200, generator())
    down = pair_distances(up, up[:, ::-1], CENTRES, where)
    same = pair_distances(up, up, CENTRES, where)
    assert down[0] > 2 * same[0]
    with pytest.raises(ValueError, match="10 samples apart need series of more, got 10"):
        pair_distances(up[:, :10], up, CENTRES, where)


def test_pairs_may_lie_at_either_end_of_the_last_series():
    series = np.stack([np.zeros(20, int), np.arange(20) % VOCABULARY])
    last = np.full((2, 2, 1, 2), 1 - 1e-12)
    first = series[1, -1 - np.array([1, 10])]
    pairs = [np.concatenate([CENTRES[k], CENTRES[series[1, -1]]]) for k in first]
    origin = np.concatenate([CENTRES[0], CENTRES[0]])
    np.testing.assert_allclose(
        pair_distances(series, series[:1], CENTRES, last),
        [np.linalg.norm(pair - origin) for pair in pairs],
    )


def test_the_truth_generated_is_at_distance_0_and_never_parts():
    test = walk(TEST, seed=2)
    found, ahead = run_scores(test), continued(windows())
    assert found.w1[0] == 0 and found.w1[1] > 0 and found.w1.dims == ("set",)
    np.testing.assert_array_equal(ahead.difference, 0)
    assert found.cells_visited == found.true_cells_visited
    assert found.unseen_bigram_share == found.periodic_share == 0


def test_distances_are_to_the_test_part_a_random_group_and_all_of_training():
    run, of = walk(TEST, seed=7), coded()
    found, made = run_scores(run, of), counts(run, VOCABULARY)
    some = group(TRAIN, TEST, generator())
    expected = [
        wasserstein_cells(made, counts(part, VOCABULARY), CENTRES)
        for part in (of.test, of.train[some])
    ]
    np.testing.assert_allclose(found.w1, expected)
    everything = counts(of.train, VOCABULARY)
    assert found.w1_training == wasserstein_cells(made, everything, CENTRES)


def test_references_stand_beside_the_scores_of_each_run():
    found, truth = run_scores(walk(TEST, seed=7)), true_scores()
    assert found.w1_reference == truth.true_w1.median()
    assert found.w1_reference_95 == pytest.approx(float(truth.true_w1.quantile(0.95)))
    assert found.w1_ratio == pytest.approx(float(found.w1.median() / truth.true_w1.median()))


def test_transitions_that_training_never_shows_are_counted():
    run = walk(TEST, seed=7)
    run[:, 50:] = run[:, 50:][:, ::-1]  # backwards: one down
    share = (np.diff(run.astype(int), axis=1) % VOCABULARY > 1).mean()
    np.testing.assert_allclose(run_scores(run).unseen_bigram_share, share)


def test_transitions_are_new_that_only_the_test_part_shows():
    test = np.zeros_like(walk(TEST))
    test[:, 1::2] = 3
    assert run_scores(test, coded(train=walk(TRAIN), test=test)).unseen_bigram_share == 1


def test_the_second_half_of_a_run_must_repeat_for_a_cycle():
    run = walk(TEST, seed=7)
    run[0, 56:] = np.arange(64) % 4  # 60 samples, and one period before them
    run[1, 57:] = np.arange(63) % 4
    found = run_scores(run)
    assert found.period[0] == 4 and found.periodic_share == pytest.approx(1 / 3)


def test_runs_that_end_in_a_cycle_are_found():
    run = walk(TEST, seed=7)
    run[0, 40:] = np.arange(80) % 4
    found = run_scores(run)
    np.testing.assert_array_equal(found.period, [4, 0, 0])
    assert found.periodic_share == pytest.approx(1 / 3)


def test_generated_tokens_have_the_growth_of_their_cells_where_it_is_asked_for():
    found = run_scores(walk(TEST), longest=6)
    np.testing.assert_allclose(found.lyapunov_fit.sel(first=3), np.log(3.0), rtol=1e-6)
    assert found.growth.sizes["steps"] == 6 and "growth" not in run_scores(walk(TEST))


def test_losses_are_means_over_windows_with_the_second_half_apart():
    found = losses(np.arange(8.0).reshape(2, 4))
    assert (found.test_loss, found.test_loss_late) == (3.5, 4.5)


def test_what_has_no_probabilities_has_no_loss():
    fitted = SimpleNamespace(model=object())
    none = NextTokenLoss(windows=3)(Evaluation(fitted=fitted, coded=coded(), experiment="e"))
    assert not none.data_vars

    class Even:
        sizes = {"context": 5}

        def log_prob(self, tokens):
            assert tokens.shape == (3, 6)
            return torch.full((3, 5), -np.log(6.0))

    fitted = SimpleNamespace(model=Even())
    found = NextTokenLoss(windows=3)(Evaluation(fitted=fitted, coded=coded(), experiment="e"))
    assert found.test_loss == pytest.approx(np.log(6.0))


def test_simulations_with_the_same_past_are_looked_for_in_one_codec_alone():
    """The map leaves its states, so that every draw has the tokens of a test part that rests."""
    still = np.repeat(np.arange(TEST)[:, None], TIMES, 1)
    of = coded(test=still)
    settings = {"accepted": 2, "most": 50, "spread": 1e-6, "paired": True}
    found = continued(windows(still), of, cells=4, **settings)
    assert found.accepted.values.tolist() == [2] * TEST
    assert found.match_median == found.true_match_median == HORIZON * INTERVAL
    assert (found.paired == windows(still)).all() and (found.paired_difference == 0).all()
    assert "accepted" not in continued(windows(still), of, cells=5, **settings)
    assert "accepted" not in continued(windows(still), of)


def test_scores_are_described_and_can_be_written(tmp_path):
    still = np.repeat(np.arange(TEST)[:, None], TIMES, 1)
    settings = {"accepted": 2, "most": 50, "spread": 1e-6, "paired": True}
    for i, found in enumerate(
        [
            true_scores(longest=6),
            run_scores(walk(TEST), longest=6),
            continued(windows(still), coded(test=still), **settings),
            losses(np.ones((3, 4))),
        ]
    ):
        assert_described(found)
        io.write(found, tmp_path / f"{i}.nc", title="t", missing=list(found))


def test_draws_agree_with_a_continuation_for_as_long_as_their_tokens_do():
    after = windows()
    found = score_shadows(shadows_of(after[:, 0], 3, [4, 9, 0]), after, CENTRES, INTERVAL, 1.0)
    np.testing.assert_allclose(found.divergence, [[2.0, 4.5, np.nan]] * TEST)
    assert found.match_median == 3.25
    assert found.match_longest == 4.5
    assert found.accepted.values.tolist() == [2] * TEST
    assert_described(found)


def test_a_trajectory_without_any_draw_is_listed_and_left_out_of_the_median():
    after = windows()
    shadows = shadows_of(after[:, 0], 2, [4, 4])
    shadows["shadow"][0] = -1
    found = score_shadows(shadows, after, CENTRES, INTERVAL, 1.0)
    assert np.isnan(found.divergence[0]).all()
    assert found.match_median == found.match_longest == 2.0
    shadows["shadow"][:] = -1
    nothing = score_shadows(shadows, after, CENTRES, INTERVAL, 1.0)
    assert np.isnan(nothing.match_median)
    assert np.isnan(nothing.match_longest)


def test_a_pair_that_follows_the_truth_does_not_part_and_missing_ones_do_not_count():
    after = windows()
    shadows = shadows_of(after[:, 0], 1, [4]) | {"paired": after.copy()}
    np.testing.assert_array_equal(
        score_shadows(shadows, after, CENTRES, INTERVAL, 1.0).paired_difference, 0
    )
    shadows["paired"][1:] = -1
    shadows["paired"][0] = 2
    found = score_shadows(shadows, after, CENTRES, INTERVAL, 1.0)
    apart = np.linalg.norm(CENTRES[after[0]] - CENTRES[2], axis=-1).mean(0)
    np.testing.assert_allclose(found.paired_difference, apart)
    assert found.paired_late_difference == pytest.approx(apart[-5:].mean())


def test_curves_are_held_against_the_same_levels():
    """e^(t/2) / 100 crosses 0.02 at t = 1.39 and 0.5 at t = 7.82, whatever comes later."""
    times = 0.5 * np.arange(1, 41)
    curve = np.minimum(np.exp(times / 2) / 100, 0.9)
    assert divergence.growth_rate(curve, 0.02, 0.5, 0.5) == pytest.approx(0.5)
    assert divergence.time_to(curve, 0.5, 0.5) == 8.0
    assert divergence.late(curve) == pytest.approx(0.9)
    assert np.isnan(divergence.time_to(curve, 2.0, 0.5))
    assert np.isnan(divergence.growth_rate(curve, 2.0, 3.0, 0.5))
    # a curve that is above the levels at once has no growth there, and has parted at once
    assert np.isnan(divergence.growth_rate(np.ones(40), 0.02, 0.5, 0.5))
    assert divergence.time_to(np.ones(40), 0.5, 0.5) == 0.5


def test_states_that_know_nothing_of_each_other_are_apart_as_their_laws_say():
    visits, centres = np.array([3, 1, 0]), np.array([[0.0], [2.0], [50.0]])
    assert divergence.independent(visits, centres) == pytest.approx(2 * 3 / 16 * 2)
    many = np.random.default_rng(0).normal(size=(1000, 2))
    exact = np.linalg.norm(many[:, None] - many, axis=-1).mean()
    assert divergence.independent(np.ones(1000), many) == pytest.approx(exact)
