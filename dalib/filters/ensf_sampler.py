"""From pure noise to a posterior: the diffusion of the ensemble score filter, and what it computes.

Pseudo-time τ runs from 1, where samples are nearly N(0, I), down to 0. With

    α = 1 - τ (1 - ε_α)        β² = ε_β + τ (1 - ε_β)        x_τ | x_0 ~ N(α x_0, β² I)
    f = d log α/dτ             g² = dβ²/dτ - 2 f β²

the reverse equation dx = [f x - g² s] dτ + g dw has at τ = 0 the density whose score at τ is s
(Bao, Zhang and Zhang 2024). All arrays are (..., member, state), in diffusion units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.streams import Generator, normal, uniform

MOST = 100_000  # steps that are looked for


class Step(NamedTuple):
    """z <- keep z + push s + noise ξ, with ξ ~ N(0, I)."""

    keep: float
    push: float
    noise: float


@dataclass(frozen=True)
class Diffusion:
    """The way down in `steps` steps of Δ = 1 / steps.

    Attributes:
        eps_alpha: ε_α, in (0, 1]: what is left of a state at τ = 1.
        eps_beta: ε_β, in [0, 1): the variance around a member at τ = 0.
        steps: of pseudo-time.
        solver: a name of `SOLVERS`.
    """

    eps_alpha: float = 0.5
    eps_beta: float = 0.025
    steps: int = 100
    solver: str = "sde_euler"

    def __post_init__(self):
        if self.solver not in SOLVERS:
            raise ValueError(f"unknown solver {self.solver!r}; known: {', '.join(sorted(SOLVERS))}")
        if not 0 < self.eps_alpha <= 1:
            raise ValueError(f"eps_alpha is {self.eps_alpha}; it has to be above 0 and at most 1")
        if not 0 <= self.eps_beta < 1:
            raise ValueError(f"eps_beta is {self.eps_beta}; it has to be 0 or more and below 1")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; the way down needs at least one")

    def alpha(self, tau: float) -> float:
        """α."""
        return 1 - tau * (1 - self.eps_alpha)

    def variance(self, tau: float) -> float:
        """β²."""
        return self.eps_beta + tau * (1 - self.eps_beta)

    def rate(self, tau: float) -> float:
        """f."""
        return -(1 - self.eps_alpha) / self.alpha(tau)

    def noise_variance(self, tau: float) -> float:
        """g²."""
        return 1 - self.eps_beta - 2 * self.rate(tau) * self.variance(tau)

    def way(self) -> list[tuple[float, Step]]:
        """(τ, the step that leads on from there), from τ = 1 to τ = Δ."""
        step, K = SOLVERS[self.solver], self.steps
        return [(i / K, step(self, i / K, (i - 1) / K)) for i in range(K, 0, -1)]

    def steepness(self, error_std: float) -> float:
        """Largest push (1/β² + (1-τ)/σ²) on the way; from 2 on a difference grows, not shrinks.

        σ is the error of an observation of a component, in diffusion units.
        """
        return max(
            step.push * (1 / self.variance(tau) + damping(tau) / error_std**2)
            for tau, step in self.way()
        )

    def least_error(self) -> float:
        """The σ down to which the way is stable; infinite where it is without observations too."""
        bound = 0.0
        for tau, step in self.way():
            room = 2 - step.push / self.variance(tau)
            if room <= 0:
                return math.inf
            bound = max(bound, step.push * damping(tau) / room)
        return math.sqrt(bound)


def sde_euler(diffusion: Diffusion, tau: float, below: float) -> Step:
    """Euler-Maruyama: z - Δ (f z - g² s) + √Δ g ξ."""
    delta, g2 = tau - below, diffusion.noise_variance(tau)
    return Step(1 - delta * diffusion.rate(tau), delta * g2, math.sqrt(delta * g2))


def ode_euler(diffusion: Diffusion, tau: float, below: float) -> Step:
    """Euler's method for the equation without noise of the same densities: z - Δ (f z - ½ g² s)."""
    delta = tau - below
    push = delta * diffusion.noise_variance(tau) / 2
    return Step(1 - delta * diffusion.rate(tau), push, 0.0)


def exponential(diffusion: Diffusion, tau: float, below: float) -> Step:
    """The same equation, its linear part exactly (Lu et al. 2022, DPM-Solver-1; α', β' below).

    (α'/α) z + β (β α'/α - β') s
    """
    keep = diffusion.alpha(below) / diffusion.alpha(tau)
    std, std_below = math.sqrt(diffusion.variance(tau)), math.sqrt(diffusion.variance(below))
    return Step(keep, std * (std * keep - std_below), 0.0)


def unstable(diffusion: Diffusion, error_std: float) -> str:
    """What is wrong with a way too steep for σ, in diffusion units, and what would be right."""
    least, longer = diffusion.least_error(), diffusion
    while longer.steps < MOST and longer.steepness(error_std) >= 2:
        longer = replace(longer, steps=math.ceil(1.1 * longer.steps))
    about = "about" if longer.steps < MOST else "more than"
    if least < math.inf:
        other = f"an error of at least {least:.3g}, by a larger obs_std or scale"
    else:
        other = "a larger eps_alpha"
    return (
        f"{diffusion.steps} steps of pseudo-time are too few for an observation error of "
        f"{error_std:.3g} in diffusion units (obs_std scale / std, over the slope of the operator) "
        f"with eps_alpha {diffusion.eps_alpha:g} and eps_beta {diffusion.eps_beta:g}: what is off "
        f"grows from step to step; give {about} {longer.steps} steps, or {other}"
    )


SOLVERS = {"sde_euler": sde_euler, "ode_euler": ode_euler, "exponential": exponential}

Prior = Callable[[Tensor, float, float], Tensor]


def damping(tau: float) -> float:
    """h(τ) = 1 - τ, the share of the likelihood's score in that of the diffused posterior."""
    return 1 - tau


def paired(forecast: Tensor) -> Prior:
    """(z, α, β²) -> -(z - α x_f) / β², each sample with its own member x_f."""

    def score(z: Tensor, alpha: float, variance: float) -> Tensor:
        return torch.mul(forecast, alpha / variance).sub_(z, alpha=1 / variance)

    return score


def mixture(forecast: Tensor, minibatch: int | None, generator: Generator | None) -> Prior:
    """(z, α, β²) -> -(z - α Σ w_j x_j) / β² with w = softmax_j -|z - α x_j|² / 2β².

    x_j are all members, or `minibatch` of them drawn without replacement at each step (Bao,
    Zhang and Zhang 2024).
    """
    N = forecast.shape[-2]

    def score(z: Tensor, alpha: float, variance: float) -> Tensor:
        E = forecast
        if minibatch is not None and minibatch < N:
            order = uniform(tuple(E.shape[:-1]), generator).argsort(-1)[..., :minibatch]
            index = order.to(E.device)[..., None].expand(*order.shape, E.shape[-1])
            E = E.gather(-2, index)
        closeness = alpha * (z @ E.mT) - alpha**2 / 2 * E.square().sum(-1)[..., None, :]
        centre = (closeness / variance).softmax(-1) @ E
        return paired(centre)(z, alpha, variance)

    return score


def start(shape: tuple[int, ...], standardised: bool, generator: Generator, like: Tensor) -> Tensor:
    """(..., member, state), noise at τ = 1; `standardised`: to mean 0, std 1 over the members."""
    z = normal(shape, generator, like.dtype).to(like.device)
    return (z - z.mean(-2, keepdim=True)) / z.std(-2, keepdim=True) if standardised else z


def descend(
    z: Tensor,
    prior: Prior,
    pull: Callable[[Tensor], Tensor],
    diffusion: Diffusion,
    clip: float | None,
    generator: Generator | None,
) -> Tensor:
    """From z (..., member, state) at τ = 1 down to τ = 0, along s = prior + (1-τ) pull.

    Args:
        pull: ∇ log p(y | z), (..., member, state) -> the same shape.
        clip: bound on |s| of each component; None leaves it free.
    """
    for tau, step in diffusion.way():
        s = prior(z, diffusion.alpha(tau), diffusion.variance(tau))
        s.add_(pull(z), alpha=damping(tau))
        if clip is not None:
            s = s.clamp_(-clip, clip)
        if step.noise:  # what is new lies in the memory of the noise: z may be needed for gradients
            noise = normal(tuple(z.shape), generator, z.dtype).to(z.device)
            z = noise.mul_(step.noise).add_(s, alpha=step.push).add_(z, alpha=step.keep)
        else:
            z = s.mul_(step.push).add_(z, alpha=step.keep)
    return z
