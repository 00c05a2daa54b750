"""What the truth itself gives through each codec: the marks that generations are held against."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from dalib.metrics.transport import counts, wasserstein_cells
from dalib.scores import describe
from papers.gpt.metrics import divergence, symbolic
from papers.gpt.metrics.tokens import (
    LAGS,
    Jacobian,
    Tokens,
    agreement,
    disjoint_groups,
    growth_rates,
    labels,
    number_of_trajectories,
    pair_distances,
    parting,
    places,
    stacked,
    without_transients,
)

ORDERS = (1, 2, 3, 4)
COMMON = 10  # visits of a cell that is not rare

Pairs = list[tuple[np.ndarray, np.ndarray]]  # of groups of trajectories


def score_codecs(
    codecs: Mapping[str, xr.Dataset],
    tokens: Mapping[str, Tokens],
    settings: Mapping,
    exponent: float,
    interval: float,
    states: np.ndarray,
    jacobian: Jacobian | None,
    generator: np.random.Generator,
) -> xr.Dataset:
    """What the truth itself gives through each codec.

    Groups are as many training trajectories as the test part has. The distances of disjoint groups
    are what no model can beat but by luck. The first samples of a trajectory, not yet on the
    attractor, are in vocabulary and entropies, but in no distance and no growth rate: in Lorenz's
    system the way out of the origin would outweigh all else.

    Args:
        codecs: by name, as `datasets.codec_dataset` makes them.
        tokens: by codec and split ("train", "test"), (seed, time).
        settings: `discard`, how many first samples these are; `pairs` of disjoint groups; `sets`,
            of how many of them the distance to all training states and that between the laws of
            pairs of states, `pair_points` of each group, are taken; with `lyapunov`, the `longest`
            stretch of growth rates.
        exponent: largest Lyapunov exponent of the system, per unit of model time.
        interval: between two samples, in model time.
        states: (seed, time, state), those of the test part, exact.
        jacobian: of the map, where growth rates are wanted.
        generator: of the groups, then of the pairs of states; the same serve every codec.
    """
    if settings["sets"] > settings["pairs"]:
        raise ValueError(
            f"the sets are first groups of pairs: at most {settings['pairs']}, got "
            f"{settings['sets']}"
        )
    train = number_of_trajectories(part["train"] for part in tokens.values())
    size = number_of_trajectories(part["test"] for part in tokens.values())
    pairs = [disjoint_groups(train, size, generator) for _ in range(settings["pairs"])]
    where = [places(settings["pair_points"], generator) for _ in range(settings["sets"])]
    found = {
        name: _codec_scores(codecs[name], tokens[name], pairs, where, settings, jacobian)
        for name in codecs
    }
    scores = stacked(list(found.values()), xr.DataArray(list(found), dims="codec", name="codec"))
    if "lyapunov" in settings:
        longest, late = settings["lyapunov"]["longest"], states[:, settings["discard"] :]
        scores = scores.assign(growth_rates(late, jacobian, longest, prefix="exact_"))
    scores = scores.assign(
        discard=settings["discard"],
        lyapunov=exponent,
        lyapunov_time=1 / exponent,
        entropy_rate=exponent * interval,
    )
    return describe(
        scores,
        discard=("1", "samples at the beginning of a trajectory in no distance or growth rate"),
        vocabulary=("1", "visited cells"),
        common=("1", f"cells visited at least {COMMON} times"),
        cells=("1", "cells in each dimension"),
        clipped_test=("1", "test states outside the box"),
        unseen_test=("1", "test states in cells without token"),
        w1=("1", "Wasserstein distance of two disjoint groups of true trajectories"),
        w1_training=("1", "Wasserstein distance of a true group to all training states"),
        w1_pairs=("1", "Wasserstein distance between laws of two states a lag apart, two groups"),
        independent=("1", "mean distance of two states that know nothing of each other"),
        unseen_pairs=("1", "share of true transitions that training never shows"),
        unseen_triples=("1", "share of true triples of cells that training never shows"),
        unseen_by_chance=("1", "share of unseen transitions among states drawn independently"),
        entropy=("1", "conditional entropy of the next token, in nats"),
        growth=("1", "mean growth rate of tangents at cell centres, per step"),
        lyapunov_fit=("1", "growth rates extrapolated to long stretches, per step"),
        exact_growth=("1", "mean growth rate of tangents at exact states, per step"),
        exact_lyapunov_fit=("1", "these rates extrapolated to long stretches, per step"),
        lyapunov=("1", "largest Lyapunov exponent, per unit of model time"),
        lyapunov_time=("1", "its inverse, in model time"),
        entropy_rate=("1", "largest Lyapunov exponent times the sampling interval, in nats"),
    )


def _codec_scores(
    codec: xr.Dataset,
    tokens: Tokens,
    pairs: Pairs,
    where: list[np.ndarray],
    settings: Mapping,
    jacobian: Jacobian | None,
) -> xr.Dataset:
    late, centres = without_transients(tokens, settings["discard"]), codec.centre.values
    train = late["train"]
    visits = [[counts(train[g], len(centres)) for g in pair] for pair in pairs]
    everything = counts(train, len(centres))
    some = slice(settings["sets"])
    w1_pairs = [
        pair_distances(train[a], train[b], centres, at)
        for (a, b), at in zip(pairs[some], where, strict=True)
    ]
    scores = {
        "vocabulary": ((), len(centres)),
        "common": ((), int((codec.visits >= COMMON).sum())),
        "cells": ((), int(codec.cells)),
        "clipped_test": ((), int(codec.clipped_test)),
        "unseen_test": ((), int(codec.unseen_test)),
        "w1": (("pair",), [wasserstein_cells(a, b, centres) for a, b in visits]),
        "w1_training": (
            ("set",),
            [wasserstein_cells(a, everything, centres) for a, _ in visits[some]],
        ),
        "w1_pairs": (("lag", "set"), np.transpose(w1_pairs)),
        "lag": labels("lag", LAGS, "lag in samples"),
        "entropy": (("order",), symbolic.conditional_entropies(tokens["train"], max(ORDERS))),
        "order": labels("order", ORDERS, "tokens before"),
        "independent": ((), divergence.independent(everything, centres)),
        **_unseen(tokens, late["test"], len(centres)),
    }
    if "lyapunov" in settings:
        longest = settings["lyapunov"]["longest"]
        scores |= growth_rates(centres[late["test"]], jacobian, longest)
    return xr.Dataset(scores)


def _unseen(tokens: Tokens, test: np.ndarray, size: int) -> dict:
    """What truth and chance score where transitions are asked for that training never shows."""
    pairs, triples = (symbolic.words(tokens["train"], size, n) for n in (2, 3))
    return {
        "unseen_pairs": ((), symbolic.unseen_share(test, pairs, size)),
        "unseen_triples": ((), symbolic.unseen_share(test, triples, size, 3)),
        "unseen_by_chance": ((), symbolic.unseen_by_chance(counts(test, size), pairs)),
    }


def score_shadows(
    shadows: Mapping[str, np.ndarray],
    tokens: np.ndarray,
    centres: np.ndarray,
    interval: float,
    independent: float,
) -> xr.Dataset:
    """How the true continuations of the windows part from other ones with the same past.

    Args:
        shadows: `shadow` (seed, draw, lead), `accepted`, `drawn` (seed) of the first window of each
            test trajectory, and where wanted `paired` (seed, start, lead), one for each window.
        tokens: (seed, start, lead), the true continuations.
        centres: (token, state).
        interval: between two samples, in model time.
        independent: mean distance of two states that know nothing of each other.
    """
    scores = {
        "shadow": (("seed", "draw", "lead"), shadows["shadow"].astype(np.int32)),
        "accepted": (("seed",), shadows["accepted"]),
        "drawn": (("seed",), shadows["drawn"]),
        **agreement(tokens[:, 0], shadows["shadow"], interval),
    }
    if "paired" in shadows:
        paired = shadows["paired"]
        scores["paired"] = (("seed", "start", "lead"), paired.astype(np.int32))
        scores |= parting(tokens, paired, centres, interval, independent, prefix="paired_")
    return describe(
        xr.Dataset(scores),
        shadow=("1", "token of an accepted draw, -1: none"),
        accepted=("1", "accepted draws"),
        drawn=("1", "draws"),
        divergence=("1", "model time that the truth agrees with an accepted draw"),
        match_median=("1", "median model time that accepted draws agree with the truth"),
        match_longest=("1", "longest such time of a trajectory's draws, mean over trajectories"),
        paired=("1", "token of the first accepted draw, -1: none"),
        paired_difference=("1", "mean distance of the truth to a trajectory with the same past"),
        paired_late_difference=("1", "that distance in the last quarter of the windows"),
        paired_parting_time=("1", "model time until it is a tenth of that of independent states"),
        paired_growth_rate=("1", "growth rate of its logarithm, per unit of model time"),
    )
