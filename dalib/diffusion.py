"""Samples of a distribution whose score at every noise level is known.

The score s(x, σ) = ∇ log p_σ(x) is that of the data blurred by N(0, σ²), variance-exploding. All
samplers walk down a geometric ladder of levels σ_max ... σ_min and end with one denoising step,

    x <- x + σ_min² s(x, σ_min).

A score is any callable (x, σ) -> (repeat, sample, size) with the attributes `repeats`, `size`,
`sigma_min` and `sigma_max`, in whatever units it likes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

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


class Sampler(Protocol):
    def sample(self, score: ScoreFunction, count: int, generator: Generator) -> Samples: ...


@dataclass(frozen=True)
class AnnealedLangevin:
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

    def sample(self, score: ScoreFunction, count: int, generator: Generator) -> Samples:
        """`count` samples for each repeat."""
        return _descend(score, self._walk(score, count, generator), self.levels, self.shown)

    def _walk(self, score: ScoreFunction, count: int, generator: Generator) -> Iterator[Tensor]:
        sigmas = ladder(score, self.levels)
        x = sigmas[0] * _noise(score, count, generator)
        for sigma in sigmas:
            tau = self._step_size(sigma, sigmas[-1])
            for _ in range(self.steps):
                w = _noise(score, count, generator)
                x = x + 0.5 * tau * score(x, sigma) + tau.sqrt() * w
            yield x

    def _step_size(self, sigma: Tensor, smallest: Tensor) -> Tensor:
        if self.epsilon is None:
            return 2 * (self.step_factor * sigma) ** 2
        return self.epsilon * (sigma / smallest) ** 2


@dataclass(frozen=True)
class ReverseSDE:
    """Ancestral sampling of the time-reversed noising (Song et al. 2021), in `steps` steps

        x <- x + (σ_i² - σ_{i+1}²) s(x, σ_i) + √(σ_i² - σ_{i+1}²) w,   w ~ N(0, I)

    started from N(0, 1 + σ_max²): data of unit variance, blurred. `shown` as in Langevin.
    """

    steps: int = 200
    shown: tuple[float, ...] = ()

    def sample(self, score: ScoreFunction, count: int, generator: Generator) -> Samples:
        """`count` samples for each repeat."""
        return _descend(score, self._walk(score, count, generator), self.steps + 1, self.shown)

    def _walk(self, score: ScoreFunction, count: int, generator: Generator) -> Iterator[Tensor]:
        sigmas = ladder(score, self.steps + 1)
        x = (1 + sigmas[0] ** 2).sqrt() * _noise(score, count, generator)
        yield x
        for sigma, variance in zip(sigmas, -sigmas.square().diff(), strict=False):
            w = _noise(score, count, generator)
            x = x + variance * score(x, sigma) + variance.sqrt() * w
            yield x


@dataclass(frozen=True)
class ProbabilityFlow:
    """Euler's method for the ordinary equation with the same marginals (Song et al. 2021),

        x <- x + ½ (σ_i² - σ_{i+1}²) s(x, σ_i)

    in `steps` steps from N(0, 1 + σ_max²). `shown` as in Langevin.
    """

    steps: int = 100
    shown: tuple[float, ...] = ()

    def sample(self, score: ScoreFunction, count: int, generator: Generator) -> Samples:
        """`count` samples for each repeat."""
        return _descend(score, self._walk(score, count, generator), self.steps + 1, self.shown)

    def _walk(self, score: ScoreFunction, count: int, generator: Generator) -> Iterator[Tensor]:
        sigmas = ladder(score, self.steps + 1)
        x = (1 + sigmas[0] ** 2).sqrt() * _noise(score, count, generator)
        yield x
        for sigma, variance in zip(sigmas, -sigmas.square().diff(), strict=False):
            x = x + 0.5 * variance * score(x, sigma)
            yield x


def ladder(score: ScoreFunction, levels: int) -> Tensor:
    """(levels,), σ from largest to smallest in equal ratios."""
    if levels < 2:
        raise ValueError(f"a ladder of noise needs at least 2 levels, got {levels}")
    exponent = torch.linspace(0, 1, levels, device=score.device)
    return score.sigma_max * (score.sigma_min / score.sigma_max) ** exponent


@torch.no_grad()
def _descend(
    score: ScoreFunction, walk: Iterator[Tensor], levels: int, shown: tuple[float, ...]
) -> Samples:
    """Follow the walk, which yields x at each level; keep what is shown; denoise at the end."""
    sigmas = ladder(score, levels)
    distance = (sigmas.log() - torch.tensor(shown, device=sigmas.device).log()[:, None]).abs()
    kept = sorted(set(distance.argmin(1).tolist())) if shown else []
    snapshots = []
    for i, x in enumerate(walk):
        if i in kept:
            snapshots.append(x)
    return Samples(
        states=x + sigmas[-1] ** 2 * score(x, sigmas[-1]),
        levels=sigmas[kept],
        snapshots=torch.stack(snapshots, 1) if kept else x.new_empty(len(x), 0, *x.shape[1:]),
    )


def _noise(score: ScoreFunction, count: int, generator: Generator) -> Tensor:
    shape = (score.repeats, count, score.size)
    return normal(shape, generator, torch.float32).to(score.device)
