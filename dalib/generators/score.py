"""Score-based diffusion: states drawn by the learned gradient of their blurred density."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.diffusion import ReverseSDE, Samples
from dalib.forecasters.base import TrainingData, complete
from dalib.nets.scaling import Scaling
from dalib.nets.score import Score
from dalib.replicates import Together
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
        return self.descend(count, generator).states[0]

    def descend(
        self,
        count: int,
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Samples:
        """The samples (1, sample, state), and what the sampler shows of their way."""
        score = self._score()
        streams = Streams(each(generator))
        drawn = self.sampler.sample(score, count, streams, save=save, resume=resume)
        to_units = score.scaling.invert  # the score is one of standardised states
        return drawn._replace(states=to_units(drawn.states), snapshots=to_units(drawn.snapshots))

    def _score(self) -> Score:
        scaling = Scaling(self.weights["scaling.mean"], self.weights["scaling.std"])
        score = Score(scaling, self.hidden, self.sigma_min, self.sigma_max)
        score.to(scaling.mean.device).load_state_dict(dict(self.weights))
        return score


@dataclass(frozen=True)
class ScoreDiffusion:
    """Denoising score matching, and a sampler down the levels of noise (Song and Ermon 2019).

    The loss is that of `dalib.nets.score.Score`, the samplers those of `dalib.diffusion`. The
    weights kept are averages over the training with `average`; without, those of the least loss on
    validation states, where there are any.

    Args:
        hidden: width of the network.
        sigma_min, sigma_max: range of noise, in standard deviations of the data.
        batch: states in an update.
        steps, rate, flat, last, average: of the training, see `dalib.train.Training`.
        check_every: updates between two looks at the validation loss.
        noise_std: standard deviation of noise on the training states, in their units.
        sampler: how states are drawn.
    """

    hidden: int = 128
    sigma_min: float = 0.02
    sigma_max: float = 3.0
    batch: int = 256
    steps: int = 5000
    rate: float = 1e-3
    flat: float = 0.5
    last: float = 0.01
    average: float | None = None
    check_every: int = 250
    noise_std: float = 0.0
    sampler: Any = field(default_factory=ReverseSDE)
    needs: ClassVar[frozenset[str]] = frozenset({"states"})
    after_fit: ClassVar[frozenset[str]] = frozenset({"sampler"})

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
        return self.fit_each([data], Streams(each(generator)), save=save, resume=resume)[0]

    def fit_each(
        self,
        sets: Sequence[TrainingData],
        generator: Streams,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list[FittedScore]:
        """One score for each stream, all at once; each learns from its own set."""
        states = [complete(one.train, "the training data").flatten(0, 1) for one in sets]
        scalings = [Scaling.fit(x) for x in states]
        scaling = Scaling(
            *(torch.cat([getattr(s, of) for s in scalings]) for of in ("mean", "std"))
        )
        score = Score(scaling, self.hidden, self.sigma_min, self.sigma_max, generator)
        score.to(states[0].device)
        watched = {}
        if self.average is None and all(one.valid is not None for one in sets):
            watched["valid"] = torch.stack([_watched(one.valid) for one in sets])
        fit(
            score,
            Together(tuple(Draws(x, self.batch, torch.tensor([self.noise_std])) for x in states)),
            Training(
                self.steps,
                self.rate,
                flat=self.flat,
                last=self.last,
                average=self.average,
                check_every=self.check_every,
                best_by="valid_loss" if watched else None,
            ),
            watched=watched,
            progress="score",
            save=save,
            resume=resume,
            generator=generator,
        )
        weights = {name: value.detach().clone() for name, value in score.state_dict().items()}
        sizes = self.hidden, self.sigma_min, self.sigma_max, self.sampler
        return [
            FittedScore({name: value[i : i + 1] for name, value in weights.items()}, *sizes)
            for i in range(len(sets))
        ]


def _watched(valid: Tensor) -> Tensor:
    """Some of the validation states, evenly spaced."""
    states = complete(valid, "the validation data").flatten(0, 1)
    return states[:: -(-len(states) // WATCHED)]
