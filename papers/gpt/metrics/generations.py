"""Generated tokens held against true ones."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from dalib import train
from dalib.metrics.base import Coded, Evaluation, require
from dalib.metrics.transport import counts, wasserstein_cells
from dalib.scores import describe
from dalib.streams import stream
from papers.gpt.metrics import symbolic
from papers.gpt.metrics.codecs import jacobian_of, late_of, true_distances, words_of
from papers.gpt.metrics.tokens import (
    LAGS,
    group,
    growth_rates,
    labels,
    pair_distances,
    places,
)

TAIL = 1000  # tokens at the end of a run in which a cycle is looked for, at most half of it


class _Truth(NamedTuple):
    """What each free run is held against.

    test: (case, time), true tokens without transients; visits: (set, cell), of the test part and
    of random groups; everything: (cell,), of all of training; places: of the pairs of states.
    """

    test: np.ndarray
    visits: np.ndarray
    everything: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class FreeRuns:
    """The states of free runs held against true ones, in the cells of the method's codec.

    Groups are as many trajectories as the test part has, without the first `discard` samples.

    Args:
        discard: first samples of a true trajectory, not yet on the attractor.
        pairs: of disjoint true groups, whose distances are the reference.
        sets: true groups that each run is held against: the test part, then random groups of
            training trajectories.
        pair_points: pairs of states of a run and of the test part, between whose laws the distance
            is taken.
        longest: steps in the longest stretch of growth rates; None for no such rates.
    """

    discard: int
    pairs: int
    sets: int
    pair_points: int
    longest: int | None = None

    asks = frozenset({"free_run", "coded", "dynamics"})

    def __call__(self, evaluation: Evaluation) -> xr.Dataset:
        require(evaluation, self.asks, type(self).__name__)
        coded = evaluation.coded
        states = evaluation.free_run.isel(run=0).transpose("case", "time", "state").values
        jacobian = None if self.longest is None else jacobian_of(evaluation.dynamics)
        return _described(xr.Dataset(self.of(coded, coded.encode(states), jacobian)))

    def of(self, coded: Coded, run: np.ndarray, jacobian=None) -> dict:
        """Scores of tokens (chain, time)."""
        truth = coded.once(f"groups {self}", lambda: self._truth(coded))
        size, centres = len(coded.centres), coded.centres
        visits, tail = counts(run, size), min(TAIL, run.shape[1] // 2)
        periods = np.array([symbolic.period(chain, tail) for chain in run])
        reference = true_distances(coded, self.discard, self.pairs)
        w1 = [wasserstein_cells(visits, v, centres) for v in truth.visits]
        scores = {
            "w1": (("set",), w1),
            "w1_training": ((), wasserstein_cells(visits, truth.everything, centres)),
            "w1_pairs": (("lag",), pair_distances(run, truth.test, centres, truth.places)),
            "lag": labels("lag", LAGS, "lag in samples"),
            "w1_reference": ((), np.median(reference)),
            "w1_reference_95": ((), np.quantile(reference, 0.95)),
            "w1_ratio": ((), np.median(w1) / np.median(reference)),
            "cells_visited": ((), np.count_nonzero(visits)),
            "true_cells_visited": ((), np.count_nonzero(truth.visits[0])),
            "unseen_bigram_share": ((), symbolic.unseen_share(run, words_of(coded, 2), size)),
            "unseen_triple_share": ((), symbolic.unseen_share(run, words_of(coded, 3), size, 3)),
            "period": (("chain",), periods),
            "periodic_share": ((), (periods > 0).mean()),
        }
        if jacobian is not None:
            scores |= growth_rates(centres[run], jacobian, self.longest)
        return scores

    def _truth(self, coded: Coded) -> _Truth:
        late, size, generator = late_of(coded, self.discard), len(coded.centres), _generator()
        train, test = late["train"], late["test"]
        groups = [group(len(train), len(test), generator) for _ in range(self.sets - 1)]
        return _Truth(
            test=test,
            visits=np.stack([counts(part, size) for part in (test, *(train[g] for g in groups))]),
            everything=counts(train, size),
            places=places(self.pair_points, generator),
        )


@dataclass(frozen=True)
class NextTokenLoss:
    """-log p of each next token in random windows of the test trajectories, where there is a p.

    Args:
        windows: how many.
    """

    windows: int

    asks = frozenset({"fitted", "coded", "experiment"})

    def __call__(self, evaluation: Evaluation) -> xr.Dataset:
        require(evaluation, self.asks, type(self).__name__)
        model = evaluation.fitted.model
        if not hasattr(model, "log_prob"):
            return xr.Dataset()
        test = torch.as_tensor(evaluation.coded.test)
        windows = train.Windows(test, model.sizes["context"] + 1, self.windows, 1)
        drawn = windows(stream(evaluation.experiment, "test windows"))[0]
        return losses(-model.log_prob(drawn).numpy())


@dataclass(frozen=True)
class LearningCurves:
    """Losses during the training, on windows of training and validation held fixed."""

    asks = frozenset({"history"})

    def __call__(self, evaluation: Evaluation) -> xr.Dataset:
        require(evaluation, self.asks, type(self).__name__)
        losses = evaluation.history[["training_loss", "validation_loss"]]
        return describe(
            losses,
            training_loss=("1", "loss on watched training windows, in nats"),
            validation_loss=("1", "loss on validation windows, in nats"),
        )


def losses(loss: np.ndarray) -> xr.Dataset:
    """(window, position): their means over all positions, and over the second half of them."""
    late = loss[:, loss.shape[1] // 2 :]
    return describe(
        xr.Dataset({"test_loss": ((), loss.mean()), "test_loss_late": ((), late.mean())}),
        test_loss=("1", "mean -log p of the next token on test windows, in nats"),
        test_loss_late=("1", "the same in the second half of the windows, in nats"),
    )


def _generator() -> np.random.Generator:
    """Of the groups, then of the pairs of states; the same serve every run."""
    return np.random.default_rng(0)


def _described(scores: xr.Dataset) -> xr.Dataset:
    return describe(
        scores,
        w1=("1", "Wasserstein distance of a free run to a group of true trajectories"),
        w1_training=("1", "Wasserstein distance of a free run to all training states"),
        w1_pairs=("1", "Wasserstein distance between laws of two states a lag apart"),
        w1_reference=("1", "median distance of two true groups"),
        w1_reference_95=("1", "95 % quantile of the distance of two true groups"),
        w1_ratio=("1", "median distance to the truth over that of two true groups"),
        cells_visited=("1", "cells that the free runs visit"),
        true_cells_visited=("1", "cells that the test trajectories visit"),
        unseen_bigram_share=("1", "share of generated transitions that training never shows"),
        unseen_triple_share=("1", "share of generated triples of cells that training never shows"),
        period=("1", f"period of the last {TAIL} tokens of a free run, 0: none"),
        periodic_share=("1", f"share of free runs whose last {TAIL} tokens are a cycle"),
        growth=("1", "mean growth rate of tangents at generated cells, per step"),
        lyapunov_fit=("1", "growth rates extrapolated to long stretches, per step"),
    )
