"""Scores of tokens: identities between what goes in and what comes out."""

import numpy as np
import pytest
import xarray as xr

from dalib import io
from dalib.metrics.transport import counts, wasserstein_cells
from papers.gpt.metrics import divergence
from papers.gpt.metrics.codecs import score_codecs, score_shadows
from papers.gpt.metrics.generations import score_generations
from papers.gpt.metrics.symbolic import conditional_entropies
from papers.gpt.metrics.tokens import disjoint_groups, group, pair_distances, places

VOCABULARY, TRAIN, TEST, TIMES, CONTEXT, HORIZON, INTERVAL = 6, 9, 3, 120, 10, 20, 0.5
CENTRES = np.random.default_rng(0).normal(size=(VOCABULARY, 2))
STARTS = (30, 60)
UNITS = {"units": "1", "long_name": "x"}
SETTINGS = {"discard": 0, "pairs": 4, "sets": 2, "pair_points": 15}


def generator():
    return np.random.default_rng(11)


def walk(cases, times=TIMES, seed=0):
    """(case, time), tokens that stay or go one up: few of the transitions ever happen."""
    steps = np.random.default_rng(seed).integers(0, 2, (cases, times))
    return (steps.cumsum(1) % VOCABULARY).astype(np.int16)


def codec(centres=CENTRES):
    numbers = {"cells": 4, "clipped_test": 1, "unseen_test": 2}
    return xr.Dataset(
        {
            "centre": (("token", "state"), centres),
            "visits": ("token", [3, 9, 10, 11, 50, 99]),
            **{name: ((), value) for name, value in numbers.items()},
        }
    )


def tokens():
    return {"train": walk(TRAIN, seed=1), "test": walk(TEST, seed=2)}


def constant_jacobian(states):
    return np.broadcast_to(np.diag([3.0, 0.5]), (*states.shape, 2))


def codec_scores(names=("fine",), **settings):
    t = tokens()
    return score_codecs(
        {name: codec() for name in names},
        dict.fromkeys(names, t),
        SETTINGS | settings,
        0.4,
        INTERVAL,
        CENTRES[t["test"]],
        constant_jacobian,
        generator(),
    )


def windows(test=None):
    test = tokens()["test"] if test is None else test
    return np.stack([test[:, s : s + HORIZON] for s in STARTS], 1)


def forecasts(free_run, forecast, loss=None, temperatures=(1.0, 0.0), repeats=None):
    """free_run (chain, time) and forecast (seed, start, lead), the same in every run."""
    lengths = {"temperature": len(temperatures)}
    coords = {
        "temperature": ("temperature", list(temperatures), UNITS),
        "lead": ("lead", INTERVAL * np.arange(1, HORIZON + 1), UNITS),
        "seed": np.arange(TEST),
    }
    if repeats:
        lengths["repeat"], coords["repeat"] = repeats, np.arange(repeats)

    def every(values, *dims):
        shape = (*lengths.values(), *values.shape)
        return ((*lengths, *dims), np.broadcast_to(values, shape).copy())

    variables = {
        "free_run": every(free_run, "chain", "time"),
        "forecast": every(forecast, "seed", "start", "lead"),
        "centre": (("token", "state"), CENTRES),
    }
    if loss is not None:
        own = ("repeat",) if repeats else ()
        variables["log_loss"] = ((*own, "window", "position"), loss)
    return xr.Dataset(variables, coords)


def generation_scores(methods, codec_of=None, marks=None, sets=2):
    return score_generations(
        methods,
        codec_of or dict.fromkeys(methods, "fine"),
        {"fine": tokens(), "coarse": tokens()},
        codec_scores(("fine", "coarse")) if marks is None else marks,
        {"sets": sets, "pair_points": 15},
        {"fine": windows(), "coarse": windows()},
        constant_jacobian,
        INTERVAL,
        generator(),
    )


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


def test_marks_are_distances_of_groups_as_large_as_the_test_part():
    found, train = codec_scores().sel(codec="fine"), tokens()["train"]
    rng = generator()
    pairs = [disjoint_groups(TRAIN, TEST, rng) for _ in range(4)]
    visits = [[counts(train[g], VOCABULARY) for g in pair] for pair in pairs]
    np.testing.assert_allclose(found.w1, [wasserstein_cells(a, b, CENTRES) for a, b in visits])
    everything = counts(train, VOCABULARY)
    np.testing.assert_allclose(
        found.w1_training, [wasserstein_cells(a, everything, CENTRES) for a, _ in visits[:2]]
    )
    where = [places(15, rng) for _ in range(2)]
    for j, (a, b) in enumerate(pairs[:2]):
        expected = pair_distances(train[a], train[b], CENTRES, where[j])
        np.testing.assert_array_equal(found.w1_pairs.isel(set=j), expected)
    np.testing.assert_allclose(found.entropy, conditional_entropies(train, 4))


def test_marks_count_cells_and_states():
    found = codec_scores().sel(codec="fine")
    assert (found.vocabulary, found.common, found.cells) == (6, 4, 4)
    assert (found.clipped_test, found.unseen_test) == (1, 2)
    assert found.lyapunov_time == 2.5
    assert found.entropy_rate == 0.2


def test_all_codecs_meet_the_same_trajectories():
    found = codec_scores(("fine", "coarse"))
    for name in ("w1", "w1_training", "w1_pairs"):
        np.testing.assert_array_equal(
            found[name].sel(codec="fine"), found[name].sel(codec="coarse")
        )


def test_growth_is_that_of_the_jacobians_at_centres_and_at_exact_states():
    found = codec_scores(lyapunov={"longest": 6})
    for name in ("growth", "lyapunov_fit", "exact_growth", "exact_lyapunov_fit"):
        np.testing.assert_allclose(found[name], np.log(3.0), err_msg=name)
    assert found.lyapunov_fit.dims == ("codec", "first")
    assert found.exact_growth.steps.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert "growth" not in codec_scores()


def test_marks_are_described_and_can_be_written(tmp_path):
    found = codec_scores(lyapunov={"longest": 6})
    assert_described(found)
    io.write(found, tmp_path / "codecs.nc", title="t", missing=list(found))


def test_the_same_generator_gives_the_same_marks():
    xr.testing.assert_identical(codec_scores(), codec_scores())


def test_groups_that_the_training_part_cannot_fill_are_refused():
    t = {"train": walk(5), "test": walk(3)}
    with pytest.raises(ValueError, match="two groups of 3 trajectories need 6 .* there are 5"):
        score_codecs(
            {"a": codec()}, {"a": t}, SETTINGS, 0.4, 1.0, CENTRES[t["test"]], None, generator()
        )
    with pytest.raises(ValueError, match="needs 3 trajectories for training, there are 2"):
        group(2, 3, generator())
    with pytest.raises(ValueError, match="at most 4, got 5"):
        codec_scores(sets=5)


def test_codecs_of_different_truths_are_refused():
    short = {"train": walk(TRAIN - 1), "test": walk(TEST)}
    both = {"a": tokens(), "b": short}
    with pytest.raises(ValueError, match=r"encode the same trajectories, got \[8, 9\]"):
        score_codecs(
            dict.fromkeys(both, codec()), both, SETTINGS, 0.4, 1.0, None, None, generator()
        )


def test_transients_are_in_the_entropies_but_in_no_distance_and_no_growth():
    """What stands in the first samples changes nothing else."""
    made_up, t = np.zeros((TRAIN, 40), np.int16), tokens()
    longer = {split: np.hstack([made_up[: len(part)], part]) for split, part in t.items()}
    states = CENTRES[longer["test"]]
    states[:, :40] = np.nan

    def scores(of, discard):
        settings = SETTINGS | {"discard": discard, "lyapunov": {"longest": 6}}
        book, known = {"fine": codec()}, CENTRES[t["test"]] if discard == 0 else states
        jacobian = np.vectorize(lambda x: np.diag([np.exp(x), 0]), signature="()->(m,m)")
        return score_codecs(
            book,
            {"fine": of},
            settings,
            0.4,
            1.0,
            known,
            lambda s: jacobian(s[..., 0]),
            generator(),
        )

    whole, late = scores(t, 0), scores(longer, 40)
    xr.testing.assert_identical(
        whole.drop_vars(["entropy", "discard"]), late.drop_vars(["entropy", "discard"])
    )
    assert (whole.entropy != late.entropy).all()
    run = {"m": forecasts(walk(TEST, seed=7), windows())}

    def generated(of, marks):
        return score_generations(
            run,
            {"m": "fine"},
            {"fine": of},
            marks.drop_dims("steps"),
            SETTINGS,
            {"fine": windows()},
            None,
            INTERVAL,
            generator(),
        ).drop_vars("entropy_order1")

    xr.testing.assert_identical(generated(t, whole), generated(longer, late))
    with pytest.raises(ValueError, match="less than the 120 samples of a trajectory, got 120"):
        scores(t, 120)


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
    test = tokens()["test"]
    found = generation_scores({"oracle": forecasts(test, windows())}).sel({"method": "oracle"})
    np.testing.assert_array_equal(found.w1.isel(set=0), 0)
    assert (found.w1.isel(set=1) > 0).all()
    np.testing.assert_array_equal(found.difference, 0)
    np.testing.assert_array_equal(found.cells_visited, found.true_cells_visited)
    np.testing.assert_array_equal(found.unseen_bigram_share, 0)
    np.testing.assert_array_equal(found.periodic_share, 0)
    assert found.w1.dims == ("temperature", "set")


def test_distances_are_to_the_test_part_a_random_group_and_all_of_training():
    run = walk(TEST, seed=7)
    found = generation_scores({"m": forecasts(run, windows())}).isel(method=0, temperature=0)
    t, made = tokens(), counts(run, VOCABULARY)
    some = group(TRAIN, TEST, generator())
    expected = [
        wasserstein_cells(made, counts(part, VOCABULARY), CENTRES)
        for part in (t["test"], t["train"][some])
    ]
    np.testing.assert_allclose(found.w1, expected)
    everything = counts(t["train"], VOCABULARY)
    assert found.w1_training == wasserstein_cells(made, everything, CENTRES)


def test_marks_stand_beside_the_scores_of_each_method():
    marks = codec_scores(("fine", "coarse"))
    marks.w1.loc["coarse"] = 10 * marks.w1.loc["coarse"]
    both = dict.fromkeys(("a", "b"), forecasts(walk(TEST, seed=7), windows()))
    found = generation_scores(both, {"a": "fine", "b": "coarse"}, marks)
    reference = marks.w1.sel(codec="fine")
    assert found.w1_reference.sel({"method": "a"}) == reference.median()
    assert found.w1_reference_95.sel({"method": "b"}) == pytest.approx(
        10 * float(reference.quantile(0.95))
    )
    ratio = found.w1_ratio.isel(temperature=0)
    assert ratio[0] == pytest.approx(10 * float(ratio[1]))
    assert found.entropy_order1[0] == marks.entropy.sel(codec="fine", order=1)


def test_transitions_that_training_never_shows_are_counted():
    run = walk(TEST, seed=7)
    run[:, 50:] = run[:, 50:][:, ::-1]  # backwards: one down
    share = (np.diff(run.astype(int), axis=1) % VOCABULARY > 1).mean()
    found = generation_scores({"m": forecasts(run, windows())})
    np.testing.assert_allclose(found.unseen_bigram_share, share)


def test_transitions_are_new_that_only_the_test_part_shows():
    run = walk(TEST, seed=7)
    test = np.zeros_like(run)
    test[:, 1::2] = 3
    found = score_generations(
        {"m": forecasts(test, windows(test))},
        {"m": "fine"},
        {"fine": {"train": walk(TRAIN), "test": test}},
        codec_scores(),
        SETTINGS,
        {"fine": windows(test)},
        None,
        INTERVAL,
        generator(),
    )
    np.testing.assert_array_equal(found.unseen_bigram_share, 1)


def test_the_second_half_of_a_run_must_repeat_for_a_cycle():
    run = walk(TEST, seed=7)
    run[0, 56:] = np.arange(64) % 4  # 60 samples, and one period before them
    run[1, 57:] = np.arange(63) % 4
    found = generation_scores({"m": forecasts(run, windows())})
    assert found.period.isel(method=0, temperature=0)[0] == 4
    assert found.periodic_share.isel(method=0, temperature=0) == pytest.approx(1 / 3)


def test_runs_that_end_in_a_cycle_are_found():
    run = walk(TEST, seed=7)
    run[0, 40:] = np.arange(80) % 4
    found = generation_scores({"m": forecasts(run, windows())})
    np.testing.assert_array_equal(found.period.isel(method=0, temperature=0), [4, 0, 0])
    np.testing.assert_allclose(found.periodic_share, 1 / 3)


def test_generated_tokens_have_the_growth_of_their_cells_where_the_marks_have():
    marks = codec_scores(lyapunov={"longest": 6})
    found = generation_scores({"m": forecasts(walk(TEST), windows())}, marks=marks)
    np.testing.assert_allclose(found.lyapunov_fit.sel(first=3), np.log(3.0))
    assert found.growth.sizes["steps"] == 6


def test_losses_are_means_over_windows_with_the_second_half_apart():
    loss = np.arange(8.0).reshape(1, 2, 4)
    found = generation_scores({"m": forecasts(walk(TEST), windows(), loss, repeats=1)})
    assert found.test_loss.sel({"method": "m"}).values == [3.5]
    assert found.test_loss_late.sel({"method": "m"}).values == [4.5]


def test_what_a_method_does_not_have_is_nan_and_no_method_changes_another():
    marks = codec_scores(("fine", "coarse"))
    truth = score_shadows(shadows_of(windows()[:, 0], 1, [5]), windows(), CENTRES, INTERVAL, 1.0)
    marks = marks.merge(truth).assign_coords(shadow_codec="fine")
    loss = np.ones((2, 3, 4))
    net = forecasts(walk(TEST, seed=7), windows(), loss, repeats=2)
    chain = forecasts(walk(TEST, seed=8), windows())
    both = generation_scores(
        {"net": net, "chain": chain}, {"net": "fine", "chain": "coarse"}, marks
    )
    assert both.w1.dims == ("method", "temperature", "repeat", "set")
    assert np.isnan(both.test_loss.sel({"method": "chain"})).all()
    assert np.isnan(both.divergence.sel({"method": "chain"})).all()
    np.testing.assert_allclose(both.divergence.sel({"method": "net"}), 2.5)  # as the truth itself
    alone = generation_scores({"chain": chain}, {"chain": "coarse"}, marks)
    for name in ("w1", "w1_training", "w1_pairs", "unseen_bigram_share", "difference"):
        np.testing.assert_array_equal(
            both[name].sel({"method": "chain"}).isel(repeat=0, missing_dims="ignore"),
            alone[name].sel({"method": "chain"}),
            err_msg=name,
        )
    reversed_ = generation_scores(
        {"chain": chain, "net": net}, {"net": "fine", "chain": "coarse"}, marks
    )
    xr.testing.assert_equal(both.sel({"method": "net"}), reversed_.sel({"method": "net"}))


def test_scores_are_described_and_can_be_written(tmp_path):
    marks = codec_scores(lyapunov={"longest": 6})
    shadows = shadows_of(windows()[:, 0], 2, [5, 0])
    marks = marks.merge(score_shadows(shadows, windows(), CENTRES, INTERVAL, 1.0))
    loss = np.ones((3, 4))
    found = generation_scores(
        {"m": forecasts(walk(TEST), windows(), loss)},
        marks=marks.assign_coords(shadow_codec="fine"),
    )
    assert_described(found)
    io.write(found, tmp_path / "forecasts.nc", title="t", missing=list(found))


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
