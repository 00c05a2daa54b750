"""What all steps of the score filter compute where they are linear, exactly and at once.

With the paired prior and a component that is seen as it is, or not at all, a step of the sampler is

    z <- a_i z + b_i x_f + c_i y + n_i ξ_i

so that K of them are z <- start z + kept x_f + gain y + noise ξ with a single ξ ~ N(0, 1): the same
distribution for the cost of one step. A clip of the score is no linear step; where it could come
into play, by the bound below, steps have to be taken one by one.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.ensf_sampler import Diffusion, damping

SURE = 8.0  # standard deviations of the noise that a score is taken to stay within: 1e-15


class AllSteps(NamedTuple):
    """z_0 = start z_1 + kept x_f + gain y + noise ξ; each like the precision.

    per_state, per_innovation, per_noise: on the way, |s| is at most
    per_state |x_f| + per_innovation |y - x_f| + per_noise |ξ'|, with ξ' ~ N(0, 1) at each step.
    """

    start: Tensor
    kept: Tensor
    gain: Tensor
    noise: Tensor
    per_state: Tensor
    per_innovation: Tensor
    per_noise: Tensor

    @property
    def std(self) -> Tensor:
        """Of a sample that starts from z_1 ~ N(0, 1)."""
        return (self.start.square() + self.noise.square()).sqrt()

    def finite(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """kept, gain, start, noise, 0 where steps are so unstable that they overflow."""
        parts = (self.kept, self.gain, self.start, self.noise)
        return tuple(torch.where(v.isfinite(), v, 0.0) for v in parts)

    def largest(self, x: Tensor, innovation: Tensor) -> Tensor:
        """What |s| stays below, but for noise beyond SURE standard deviations."""
        bound = torch.addcmul(SURE * self.per_noise, self.per_state, x.abs())
        return bound.addcmul_(self.per_innovation, innovation.abs())


def all_steps(precision: Tensor, diffusion: Diffusion) -> AllSteps:
    """All steps of `diffusion` for components of such precision.

    Args:
        precision: 1 / σ² of their observations in diffusion units, 0 where there are none; any
            shape. Computed in float64, once for each value that occurs.
    """
    if precision.requires_grad:
        return AllSteps(*(v.to(precision.dtype) for v in _taken(precision.double(), diffusion)))
    values, back = precision.unique(return_inverse=True)
    found = _remembered(tuple(values.tolist()), diffusion)
    return AllSteps(*(v.to(precision)[back] for v in found))


@lru_cache(maxsize=64)
def _remembered(values: tuple[float, ...], diffusion: Diffusion) -> AllSteps:
    return _taken(torch.tensor(values, dtype=torch.float64), diffusion)


def _taken(precision: Tensor, diffusion: Diffusion) -> AllSteps:
    start, kept, gain, variance = (torch.full_like(precision, v) for v in (1.0, 0.0, 0.0, 0.0))
    largest = [torch.zeros_like(precision)] * 3
    for tau, step in diffusion.way():
        alpha, beta2, pull = diffusion.alpha(tau), diffusion.variance(tau), damping(tau) * precision
        # s = (α x_f - z) / β² + h p (y - z) at z = start z_1 + kept x_f + gain y + noise ξ
        decay = 1 / beta2 + pull
        of_x, of_y = alpha / beta2 - decay * kept, pull - decay * gain
        now = (of_x + of_y, of_y, decay * (start.square() + variance).sqrt())
        largest = [torch.maximum(most, v.abs()) for most, v in zip(largest, now, strict=True)]
        factor = step.keep - step.push * decay
        start, variance = factor * start, factor**2 * variance + step.noise**2
        kept = factor * kept + step.push * alpha / beta2
        gain = factor * gain + step.push * pull
    return AllSteps(start, kept, gain, variance.sqrt(), *(v.detach() for v in largest))


class Moments(NamedTuple):
    """A sample of the paired prior with an observed component: kept x_f + gain y, and its std."""

    kept: float
    gain: float
    std: float


def moments(error_std: float, diffusion: Diffusion, *, limit: bool = True) -> Moments:
    """What the sampler computes of x_f and y = x + σ ξ, exactly, for one component.

    The score is linear, so that mean m and variance V follow, with s = 1 - τ and from m = 0, V = 1,

        m' = -λ m + g² (α x_f / β² + h y / σ²)        V' = -2 λ V + g²
        λ  = f + g² (1/β² + h/σ²)

    An exact Bayes step from N(x_f, ε_β) has the gain ε_β / (ε_β + σ²) instead.

    Args:
        error_std: σ in diffusion units.
        limit: of infinitely many steps of the stochastic equation (`sde_euler`); else those of
            `diffusion`, with its solver.
    """
    if limit:
        return _limit(error_std, diffusion)
    steps = all_steps(torch.tensor(error_std**-2, dtype=torch.float64), diffusion)
    return Moments(float(steps.kept), float(steps.gain), float(steps.std))


def _limit(error_std: float, diffusion: Diffusion) -> Moments:
    from scipy.integrate import solve_ivp

    def rates(s: float, now: list[float]) -> list[float]:
        tau, (kept, gain, V) = 1 - s, now
        g2, beta2 = diffusion.noise_variance(tau), diffusion.variance(tau)
        precision = damping(tau) / error_std**2
        decay = diffusion.rate(tau) + g2 * (1 / beta2 + precision)
        return [
            -decay * kept + g2 * diffusion.alpha(tau) / beta2,
            -decay * gain + g2 * precision,
            -2 * decay * V + g2,
        ]

    end = 1.0 if diffusion.eps_beta else 1 - 1e-9  # 1/β² is infinite at τ = 0
    solved = solve_ivp(rates, (0, end), [0.0, 0.0, 1.0], "LSODA", rtol=1e-8, atol=1e-12)
    kept, gain, V = solved.y[:, -1]
    return Moments(float(kept), float(gain), math.sqrt(max(V, 0.0)))
