"""What keeps one trajectory that goes astray from spoiling the others.

A belief is a NamedTuple of tensors, the states first.
"""

import torch
from torch import Tensor


def clamped(belief, limit: float | None) -> tuple:
    """The belief with states within ± limit, and the states before."""
    states = belief[0]
    if limit is None:
        return belief, states
    return belief._replace(**{belief._fields[0]: states.clamp(-limit, limit)}), states


def beyond(states: Tensor, limit: float | None, leading: int) -> Tensor:
    """How many states (..., state) are not within ± limit, over all but the `leading` axes."""
    if limit is None:
        return states.new_zeros(states.shape[:leading], dtype=torch.int64)
    return (states.abs() > limit).any(-1).reshape(*states.shape[:leading], -1).sum(-1)


@torch.no_grad()
def lost(states: Tensor, score: Tensor, distance: Tensor, furthest: float) -> Tensor:
    """(...,) bool: analysed states (..., [member,] state) or the score (...,) are not finite,
    or the squared distance dᵀ S⁻¹ d of the innovation is above that of `furthest`.
    """
    total = states.flatten(score.ndim).sum(-1) + score  # of one infinity or NaN, not finite
    return ~(total.isfinite() & (distance <= furthest**2))


def strayed(belief, likelihood, furthest: float) -> Tensor:
    """`lost` of an analysis and its `Likelihood`."""
    return lost(belief[0], likelihood.log_det, likelihood.misfit, furthest)


def restarted(belief, first, lost: Tensor):
    """The belief, where lost (...,) is true the `first` in its place."""

    def choose(other: Tensor, own: Tensor) -> Tensor:
        return torch.where(lost.reshape(*lost.shape, *[1] * (own.ndim - lost.ndim)), other, own)

    return type(belief)(*map(choose, first, belief))


def detached(belief):
    """The belief as a constant."""
    return type(belief)(*(value.detach() for value in belief))
