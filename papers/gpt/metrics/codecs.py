"""What the truth itself gives through a codec: references that generations are held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from dalib.lyapunov import lyapunov_spectrum
from dalib.metrics.base import Coded, Dynamics, Evaluation, require
from dalib.metrics.transport import counts, wasserstein_cells
from dalib.scores import describe
from papers.gpt.metrics import divergence, symbolic
from papers.gpt.metrics.tokens import (
    LAGS,
    Jacobian,
    disjoint_groups,
    growth_rates,
    labels,
    pair_distances,
    places,
    without_transients,
)

ORDERS = (1, 2, 3, 4)
COMMON = 10  # visits of a cell that is not rare
ALIGNED = AVERAGED = 1000  # samples in the Lyapunov exponent, from each of its starts

Pairs = list[tuple[np.ndarray, np.ndarray]]  # of groups of trajectories


@dataclass(frozen=True)
class TrueTokens:
    """What the truth itself gives through the codec of a method.

    Groups are as many training trajectories as the test part has. The distances of disjoint groups
    are what no model can beat but by luck. The first samples of a trajectory, not yet on the
    attractor, are in vocabulary and entropies, but in no distance and no growth rate: in Lorenz's
    system the way out of the origin would outweigh all else.

    Args:
        discard: how many first samples these are.
        pairs: of disjoint groups.
        sets: of how many of them the distance to all training states and that between the laws of
            pairs of states are taken.
        pair_points: pairs of states of each group.
        longest: steps in the longest stretch of growth rates; None for no such rates.
    """

    discard: int
    pairs: int
    sets: int
    pair_points: int
    longest: int | None = None

    asks = frozenset({"coded", "dynamics"})

    def __post_init__(self) -> None:
        if self.sets > self.pairs:
            raise ValueError(
                f"the sets are first groups of pairs: at most {self.pairs}, got {self.sets}"
            )

    def __call__(self, evaluation: Evaluation) -> xr.Dataset:
        require(evaluation, self.asks, type(self).__name__)
        coded, dynamics = evaluation.coded, evaluation.dynamics
        names = evaluation.training.state.values
        return coded.once(f"{self}", lambda: self.of(coded, dynamics, names))

    def of(self, coded: Coded, dynamics: Dynamics, names: Sequence[str]) -> xr.Dataset:
        """The scores of the truth through one codec, and its cells."""
        exponent = exponent_of(dynamics, coded.states)
        jacobian = None if self.longest is None else jacobian_of(dynamics)
        return _described(
            xr.Dataset(self._scores(coded, jacobian)).assign(
                lyapunov=exponent,
                lyapunov_time=1 / exponent,
                entropy_rate=exponent * dynamics.interval,
                **cells_of(coded, names),
            )
        )

    def _scores(self, coded: Coded, jacobian: Jacobian | None) -> dict:
        generator = np.random.default_rng(0)  # the same groups for every codec
        pairs = self.groups(coded, generator)
        where = [places(self.pair_points, generator) for _ in range(self.sets)]
        centres, some = coded.centres, slice(self.sets)
        late = late_of(coded, self.discard)
        train, test = late["train"], late["test"]
        everything = counts(train, len(centres))
        w1_pairs = [
            pair_distances(train[a], train[b], centres, at)
            for (a, b), at in zip(pairs[some], where, strict=True)
        ]
        scores = {
            "vocabulary": ((), len(centres)),
            "common": ((), int((coded.codec.visits >= COMMON).sum())),
            "clipped_test": ((), coded.codec.outside(torch.as_tensor(coded.states))),
            "unseen_test": ((), coded.codec.unseen(torch.as_tensor(coded.states))),
            "true_w1": (("pair",), true_distances(coded, self.discard, self.pairs)),
            "true_w1_training": (
                ("set",),
                [
                    wasserstein_cells(counts(train[a], len(centres)), everything, centres)
                    for a, _ in pairs[some]
                ],
            ),
            "true_w1_pairs": (("lag", "set"), np.transpose(w1_pairs)),
            "lag": labels("lag", LAGS, "lag in samples"),
            "entropy": (("order",), symbolic.conditional_entropies(coded.train, max(ORDERS))),
            "order": labels("order", ORDERS, "tokens before"),
            "independent": ((), independent_of(coded, self.discard)),
            **_unseen(coded, test),
        }
        if jacobian is not None:
            scores |= growth_rates(centres[test], jacobian, self.longest, prefix="true_")
            exact = coded.states[:, self.discard :]
            scores |= growth_rates(exact, jacobian, self.longest, prefix="exact_")
        return scores

    def groups(self, coded: Coded, generator: np.random.Generator) -> Pairs:
        """Pairs of disjoint groups of training trajectories, each as many as the test part."""
        train, test = len(coded.train), len(coded.test)
        return [disjoint_groups(train, test, generator) for _ in range(self.pairs)]


def cells_of(coded: Coded, names: Sequence[str]) -> dict:
    """The box of a codec, and the centres of the cells that training visits."""
    return {
        "lower": (("state",), coded.codec.lower.numpy()),
        "upper": (("state",), coded.codec.upper.numpy()),
        "centre": (("token", "state"), coded.centres),
        "state": labels("state", names, "component of the state"),
    }


def true_distances(coded: Coded, discard: int, pairs: int) -> list[float]:
    """(pair,), W₁ between disjoint groups of true trajectories."""

    def found() -> list[float]:
        train, generator = late_of(coded, discard)["train"], np.random.default_rng(0)
        size, centres = len(coded.centres), coded.centres
        groups = [disjoint_groups(len(train), len(coded.test), generator) for _ in range(pairs)]
        return [
            wasserstein_cells(counts(train[a], size), counts(train[b], size), centres)
            for a, b in groups
        ]

    return coded.once(f"true distances {discard} {pairs}", found)


def late_of(coded: Coded, discard: int) -> dict[str, np.ndarray]:
    """Tokens of the training and the test part without the first `discard` of each trajectory."""
    return dict(without_transients({"train": coded.train, "test": coded.test}, discard))


def independent_of(coded: Coded, discard: int) -> float:
    """Mean distance of two true states that know nothing of each other."""

    def found() -> float:
        everything = counts(late_of(coded, discard)["train"], len(coded.centres))
        return divergence.independent(everything, coded.centres)

    return coded.once(f"independent {discard}", found)


def words_of(coded: Coded, length: int) -> np.ndarray:
    """Stretches of so many tokens that occur in training, transients included."""
    return coded.once(
        f"words {length}", lambda: symbolic.words(coded.train, len(coded.centres), length)
    )


def exponent_of(dynamics: Dynamics, truth: np.ndarray) -> float:
    """Largest Lyapunov exponent per unit of model time, from stretches all along the truth.

    The first tenth of each trajectory (case, time, state) is left out.
    """

    def found() -> float:
        spectrum = lyapunov_spectrum(
            dynamics.tangent,
            torch.as_tensor(truth[:, truth.shape[1] // 10 :: AVERAGED]),
            AVERAGED,
            interval=dynamics.interval,
            discard=ALIGNED,
        )
        return float(spectrum[..., 0].mean())

    return dynamics.once("largest exponent", found)


def jacobian_of(dynamics: Dynamics) -> Jacobian:
    """The derivative of a map at states (..., state), in arrays."""
    return lambda states: dynamics.system.jacobian(torch.as_tensor(states)).numpy()


def _unseen(coded: Coded, test: np.ndarray) -> dict:
    """What truth and chance score where transitions are asked for that training never shows."""
    size, pairs, triples = len(coded.centres), words_of(coded, 2), words_of(coded, 3)
    return {
        "unseen_pairs": ((), symbolic.unseen_share(test, pairs, size)),
        "unseen_triples": ((), symbolic.unseen_share(test, triples, size, 3)),
        "unseen_by_chance": ((), symbolic.unseen_by_chance(counts(test, size), pairs)),
    }


def _described(scores: xr.Dataset) -> xr.Dataset:
    return describe(
        scores,
        lower=("1", "lower edge of the box"),
        upper=("1", "upper edge of the box"),
        centre=("1", "centre of the cell of a token"),
        vocabulary=("1", "visited cells"),
        common=("1", f"cells visited at least {COMMON} times"),
        clipped_test=("1", "test states outside the box"),
        unseen_test=("1", "test states in cells without token"),
        true_w1=("1", "Wasserstein distance of two disjoint groups of true trajectories"),
        true_w1_training=("1", "Wasserstein distance of a true group to all training states"),
        true_w1_pairs=("1", "Wasserstein distance of laws of two states a lag apart, two groups"),
        independent=("1", "mean distance of two states that know nothing of each other"),
        unseen_pairs=("1", "share of true transitions that training never shows"),
        unseen_triples=("1", "share of true triples of cells that training never shows"),
        unseen_by_chance=("1", "share of unseen transitions among states drawn independently"),
        entropy=("1", "conditional entropy of the next token, in nats"),
        true_growth=("1", "mean growth rate of tangents at true cell centres, per step"),
        true_lyapunov_fit=("1", "growth rates extrapolated to long stretches, per step"),
        exact_growth=("1", "mean growth rate of tangents at exact states, per step"),
        exact_lyapunov_fit=("1", "these rates extrapolated to long stretches, per step"),
        lyapunov=("1", "largest Lyapunov exponent, per unit of model time"),
        lyapunov_time=("1", "its inverse, in model time"),
        entropy_rate=("1", "largest Lyapunov exponent times the sampling interval, in nats"),
    )
