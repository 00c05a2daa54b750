"""Samples of a distribution whose score at every noise level is known.

The score s(x, σ) = ∇ log p_σ(x) is that of the data blurred by N(0, σ²), variance-exploding. All
samplers walk down a geometric ladder of levels σ_max ... σ_min and end with one denoising step,

    x <- x + σ_min² s(x, σ_min).

A score is any callable (x, σ) -> (repeat, sample, size) with the attributes `repeats`, `size`,
`sigma_min` and `sigma_max`, in whatever units it likes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from dalib import limits
from dalib.resumable import Resumable, Save
from dalib.streams import Generator, normal


class ScoreFunction(Protocol):
    repeats: int
    size: int
    sigma_min: float
    sigma_max: float
    device: torch.device

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor: ...


class Samples(NamedTuple):
    """Samples, and what some of the levels on the way looked like.

    states: (repeat, sample, size).
    levels: (level,), noise levels of the snapshots, from high to low.
    snapshots: (repeat, level, sample, size), the samples when they arrived at these levels.
    """

    states: Tensor
    levels: Tensor
    snapshots: Tensor


class Descent:
    """Down the ladder, level by level. Subclasses have `shown`, and

        rungs                                                      how many levels there are
        start(sigmas, w) -> x                                      above the ladder, from N(0, I)
        arrive(level, x, sigmas, score, generator) -> x            from one level to the next

    with every x (repeat, sample, size).
    """

    def sample(
        self,
        score: ScoreFunction,
        count: int,
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Samples:
        """`count` samples for each repeat; `save` and `resume` at every level, see `resumable`."""
        return _Sampling(self, score, count, generator).run(save=save, resume=resume)


class _Sampling(Resumable):
    """Samples on their way down."""

    what, unit = "other samples", "level"

    def __init__(
        self, sampler: Descent, score: ScoreFunction, count: int, generator: Generator
    ) -> None:
        self.sampler, self.score, self.generator = sampler, score, generator
        self.sigmas = ladder(score, sampler.rungs)
        self.kept = nearest(self.sigmas, sampler.shown)
        self.shape = (score.repeats, count, score.size)
        self.done, self.total = 0, sampler.rungs
        self.x, self.snapshots = None, []

    def decides(self) -> tuple:
        """How samples are drawn, from what, and how many."""
        return self.sampler, self.score, self.sigmas, self.shape

    @torch.no_grad()
    def advance(self) -> None:
        """To the next level."""
        if self.x is None:
            self.x = self.sampler.start(self.sigmas, _noise(self.shape, self.score, self.generator))
        self.x = self.sampler.arrive(self.done, self.x, self.sigmas, self.score, self.generator)
        if self.done in self.kept:
            self.snapshots.append(self.x)
        self.done += 1

    def changing(self) -> dict[str, Any]:
        """Where the samples are, and were at levels that are shown."""
        return {"level": self.done, "x": self.x, "snapshots": self.snapshots}

    def restore(self, state: dict) -> None:
        """Take back where the samples are."""
        device = self.sigmas.device
        self.done, self.x = state["level"], state["x"].to(device)
        self.snapshots = [x.to(device) for x in state["snapshots"]]

    @torch.no_grad()
    def finish(self) -> Samples:
        """Denoise: the samples, and what is shown of their way."""
        x, sigma = self.x, self.sigmas[-1]
        return Samples(
            states=x + sigma**2 * self.score(x, sigma),
            levels=self.sigmas[self.kept],
            snapshots=torch.stack(self.snapshots, 1)
            if self.kept
            else x.new_empty(len(x), 0, *x.shape[1:]),
        )


@dataclass(frozen=True)
class AnnealedLangevin(Descent):
    """Annealed Langevin dynamics (Song & Ermon 2019, algorithm 1): `steps` at each level of

        x <- x + ½ Δτ s(x, σ) + √Δτ w,   w ~ N(0, I),   started from N(0, σ_max²)

    with Δτ = 2 (step_factor σ)², or with Song & Ermon's Δτ = ε σ²/σ_min² when `epsilon` is given.

    Args:
        levels, steps: levels of noise, and Langevin steps at each.
        step_factor: step length relative to the level.
        epsilon: Song & Ermon's step at the lowest level.
        shown: noise levels at which (nearest) a snapshot is kept.
    """

    levels: int = 20
    steps: int = 50
    step_factor: float = 0.3
    epsilon: float | None = None
    shown: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        limits.at_least(1, levels=self.levels, steps=self.steps)
        limits.more_than(0, step_factor=self.step_factor, epsilon=self.epsilon)

    @property
    def rungs(self) -> int:
        return self.levels

    def start(self, sigmas: Tensor, w: Tensor) -> Tensor:
        return sigmas[0] * w

    def arrive(
        self, level: int, x: Tensor, sigmas: Tensor, score: ScoreFunction, generator: Generator
    ) -> Tensor:
        sigma = sigmas[level]
        tau = self._step_size(sigma, sigmas[-1])
        for _ in range(self.steps):
            w = _noise(x.shape, score, generator)
            x = x + 0.5 * tau * score(x, sigma) + tau.sqrt() * w
        return x

    def _step_size(self, sigma: Tensor, smallest: Tensor) -> Tensor:
        if self.epsilon is None:
            return 2 * (self.step_factor * sigma) ** 2
        return self.epsilon * (sigma / smallest) ** 2


class OneStepALevel(Descent):
    """One `step` to each level, from N(0, 1 + σ_max²) at the first: unit variance, blurred.

    step(x, sigma, variance, score, generator) -> x leads from σ to where its square is less by
    `variance`.
    """

    @property
    def rungs(self) -> int:
        return self.steps + 1

    def start(self, sigmas: Tensor, w: Tensor) -> Tensor:
        return (1 + sigmas[0] ** 2).sqrt() * w

    def arrive(
        self, level: int, x: Tensor, sigmas: Tensor, score: ScoreFunction, generator: Generator
    ) -> Tensor:
        if level == 0:
            return x
        above, here = sigmas[level - 1], sigmas[level]
        return self.step(x, above, above**2 - here**2, score, generator)


@dataclass(frozen=True)
class ReverseSDE(OneStepALevel):
    """Reverse-diffusion predictor of the time-reversed noising (Song et al. 2021, algorithm 2
    without its corrector), in `steps` steps

        x <- x + (σ_i² - σ_{i+1}²) s(x, σ_i) + √(σ_i² - σ_{i+1}²) w,   w ~ N(0, I)

    started from N(0, 1 + σ_max²): data of unit variance, blurred. `shown` as in Langevin. Ancestral
    sampling would draw with the smaller variance σ_{i+1}² (σ_i² - σ_{i+1}²) / σ_i²; the two meet
    as the steps become many.

    Attributes:
        steps: from the highest level of noise to the lowest.
        shown: noise levels at which (nearest) a snapshot is kept.
    """

    steps: int = 200
    shown: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        limits.at_least(1, steps=self.steps)

    def step(
        self, x: Tensor, sigma: Tensor, variance: Tensor, score: ScoreFunction, generator: Generator
    ) -> Tensor:
        w = _noise(x.shape, score, generator)
        return x + variance * score(x, sigma) + variance.sqrt() * w


@dataclass(frozen=True)
class ProbabilityFlow(OneStepALevel):
    """Euler's method for the ordinary equation with the same marginals (Song et al. 2021),

        x <- x + ½ (σ_i² - σ_{i+1}²) s(x, σ_i)

    in `steps` steps from N(0, 1 + σ_max²). `shown` as in Langevin.

    Attributes:
        steps: from the highest level of noise to the lowest.
        shown: noise levels at which (nearest) a snapshot is kept.
    """

    steps: int = 100
    shown: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        limits.at_least(1, steps=self.steps)

    def step(
        self, x: Tensor, sigma: Tensor, variance: Tensor, score: ScoreFunction, generator: Generator
    ) -> Tensor:
        return x + 0.5 * variance * score(x, sigma)


def ladder(score: ScoreFunction, levels: int) -> Tensor:
    """(levels,), σ from largest to smallest in equal ratios."""
    if levels < 2:
        raise ValueError(f"a ladder of noise needs at least 2 levels, got {levels}")
    exponent = torch.linspace(0, 1, levels, device=score.device)
    return score.sigma_max * (score.sigma_min / score.sigma_max) ** exponent


def nearest(sigmas: Tensor, shown: tuple[float, ...]) -> list[int]:
    """The levels, in order, that are nearest to those `shown`."""
    if not shown:
        return []
    distance = (sigmas.log() - torch.tensor(shown, device=sigmas.device).log()[:, None]).abs()
    return sorted(set(distance.argmin(1).tolist()))


def _noise(shape: tuple[int, ...], score: ScoreFunction, generator: Generator) -> Tensor:
    return normal(shape, generator, torch.float32).to(score.device)
