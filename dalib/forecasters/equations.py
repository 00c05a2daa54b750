"""Forecasts of the true equations: what the quality of the start alone would allow."""

from collections.abc import Callable

import torch
from torch import Tensor


def follow(step: Callable[[Tensor], Tensor], x: Tensor, count: int) -> Tensor:
    """(..., state) -> (..., count, state), the states after x."""
    states = []
    for _ in range(count):
        x = step(x)
        states.append(x)
    return torch.stack(states, -2)
