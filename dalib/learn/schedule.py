"""How learning rates fall: a factor for each run from its losses so far."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib import limits


@dataclass(frozen=True)
class Constant:
    """The rates stay."""

    def at(self, losses: Tensor) -> Tensor:
        """Losses (run, epoch) of the epochs done -> (run,), of the next epoch."""
        return losses.new_ones(len(losses))


@dataclass(frozen=True)
class Decay:
    """The rates are multiplied by `factor` after each of the epochs `after`, counted from 1.

    Attributes:
        after: epochs, counted from 1, after which the rates fall.
        factor: on the rates.
    """

    after: Sequence[int]
    factor: float

    def __post_init__(self) -> None:
        limits.at_least(1, after=self.after)
        limits.more_than(0, factor=self.factor)

    def at(self, losses: Tensor) -> Tensor:
        """Losses (run, epoch) of the epochs done -> (run,), of the next epoch."""
        passed = sum(losses.shape[1] >= epoch for epoch in self.after)
        return losses.new_full((len(losses),), self.factor**passed)


@dataclass(frozen=True)
class Plateau:
    """The rate of a run is multiplied by `factor` when its loss did not fall for `patience` epochs.

    To fall is to be lower than the best before by more than `threshold` |first loss|. That is
    torch's ReduceLROnPlateau with an absolute threshold: its relative one counts a slightly worse
    loss as a fall where losses are negative.

    Attributes:
        patience: epochs without a fall of the loss before the rate falls.
        factor: on the rate.
        threshold: fall of the loss that counts, as a share of the first loss.
    """

    patience: int = 5
    factor: float = 0.1
    threshold: float = 1e-4

    def __post_init__(self) -> None:
        limits.at_least(0, patience=self.patience, threshold=self.threshold)
        limits.more_than(0, factor=self.factor)

    def at(self, losses: Tensor) -> Tensor:
        """Losses (run, epoch) of the epochs done -> (run,), of the next epoch."""
        factor, waited = losses.new_ones(len(losses)), losses.new_zeros(len(losses))
        best = losses.new_full((len(losses),), torch.inf)
        margin = self.threshold * losses[:, :1].nan_to_num().abs().sum(1)
        for loss in losses.unbind(1):
            better = loss < best - margin
            best = torch.where(better, loss, best)
            waited = torch.where(better, 0.0, waited + 1)
            spent = waited > self.patience
            factor = torch.where(spent, self.factor * factor, factor)
            waited = torch.where(spent, 0.0, waited)
        return factor
