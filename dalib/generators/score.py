"""Score-based diffusion: states drawn by the learned gradient of their blurred density."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.diffusion import ReverseSDE
from dalib.forecasters.base import TrainingData, complete
from dalib.nets.scaling import Scaling
from dalib.nets.score import Score
from dalib.resumable import Save
from dalib.streams import Generator, Streams, each
from dalib.train import Draws, Training, fit

WATCHED = 1024  # validation states at most


@dataclass(frozen=True)
class FittedScore:
    """The weights of a `Score`, and the sampler that draws with it."""

    weights: Mapping[str, Tensor]
    hidden: int
    sigma_min: float
    sigma_max: float
    sampler: Any

    def sample(self, count: int, generator: Generator) -> Tensor:
        """(sample, state)."""
        score = self._score()
        drawn = self.sampler.sample(score, count, Streams(each(generator)))
        return score.scaling.invert(drawn.states)[0]

    def _score(self) -> Score:
        scaling = Scaling(self.weights["scaling.mean"], self.weights["scaling.std"])
        score = Score(scaling, self.hidden, self.sigma_min, self.sigma_max)
        score.load_state_dict(dict(self.weights))
        return score


@dataclass(frozen=True)
class ScoreDiffusion:
    """Denoising score matching, and a sampler down the levels of noise (Song and Ermon 2019).

    The loss is that of `dalib.nets.score.Score`, the samplers those of `dalib.diffusion`. The
    weights kept are those of the least loss on validation states, where there are any.

    Args:
        hidden: width of the network.
        sigma_min, sigma_max: range of noise, in standard deviations of the data.
        batch: states in an update.
        steps, rate: of the training, see `dalib.train.Training`.
        check_every: updates between two looks at the validation loss.
        sampler: how states are drawn.
    """

    hidden: int = 128
    sigma_min: float = 0.02
    sigma_max: float = 3.0
    batch: int = 256
    steps: int = 5000
    rate: float = 1e-3
    check_every: int = 250
    sampler: Any = field(default_factory=ReverseSDE)
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        limits.at_least(1, hidden=self.hidden, batch=self.batch, steps=self.steps)
        limits.at_least(1, check_every=self.check_every)
        limits.more_than(0, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rate=self.rate)

    def fit(
        self,
        data: TrainingData,
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> FittedScore:
        streams = Streams(each(generator))
        x = complete(data.train, "the training data").flatten(0, 1)
        scaling = Scaling.fit(x, repeats=1)
        score = Score(scaling, self.hidden, self.sigma_min, self.sigma_max, streams)
        watched = {}
        if data.valid is not None:
            valid = complete(data.valid, "the validation data").flatten(0, 1)
            watched["valid"] = valid[:: -(-len(valid) // WATCHED)].unsqueeze(0)
        fit(
            score,
            Draws(x, self.batch, noise_std=torch.zeros(1)),
            Training(
                self.steps,
                self.rate,
                check_every=self.check_every,
                best_by="valid_loss" if watched else None,
            ),
            watched=watched,
            save=save,
            resume=resume,
            generator=streams,
        )
        weights = {name: value.clone() for name, value in score.state_dict().items()}
        return FittedScore(weights, self.hidden, self.sigma_min, self.sigma_max, self.sampler)
