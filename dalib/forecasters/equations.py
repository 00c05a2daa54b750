"""Forecasts of the true equations: what the quality of the start alone would allow."""

from collections.abc import Callable

import torch
from torch import Tensor

from dalib.streams import Generator, normal


def follow(step: Callable[[Tensor], Tensor], x: Tensor, count: int) -> Tensor:
    """(..., state) -> (..., count, state), the states after x."""
    states = []
    for _ in range(count):
        x = step(x)
        states.append(x)
    return torch.stack(states, -2)


def perfect_model_forecast(
    step: Callable[[Tensor], Tensor],
    truth: Tensor,
    starts: Tensor,
    horizon: int,
    error_std: Tensor | float,
    generator: Generator,
) -> Tensor:
    """Forecasts of the true equations from the truth blurred by N(0, error_std² I).

    For evaluation only: a forecast is as good as its start and its model, and this one has a
    perfect model and a start as good as some filter's analysis. The draws depend neither on
    `error_std` nor on its shape.

    Args:
        truth: (seed, time, state).
        starts: (start,), indices of the times forecasts start from.
        horizon: samples to forecast.
        error_std: a number, or one per repeat (repeat,), in state units.
        generator: draws the errors; with streams, one per seed.

    Returns:
        ([repeat,] seed, start, horizon, state).
    """
    x = truth[:, starts]
    error = normal(x.shape, generator, x.dtype)
    scale = torch.as_tensor(error_std, dtype=x.dtype)
    return follow(step, x + scale.view(*scale.shape, *[1] * x.ndim) * error, horizon)
