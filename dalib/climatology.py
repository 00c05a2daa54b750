"""The climate of a model: mean and covariance of its states over a long time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dalib.filters.base import Gaussian
from dalib.streams import Generator

TRAJECTORIES = 64
TIMES = 256  # of a block at which states are taken
SHORTEST, LONGEST = 1024, 2**16  # intervals of a block
CHANGE = 0.05  # in units of the standard deviation


def climatology(
    step: Callable[[Tensor], Tensor], start: Any, *, generator: Generator, name: str = "the model"
) -> Gaussian:
    """Mean (state,) and covariance (state, state) of a free run that has settled.

    64 trajectories run through blocks of time, each twice as long as the one before, until mean and
    standard deviation of every component change by less than a twentieth of the standard deviation
    from one block to the next. What came before the last block is spin-up. So neither the
    sampling interval nor the time that the model takes to its attractor need be known.

    Args:
        step: the map (..., state) -> (..., state) over one sampling interval.
        start: distribution of the initial states, with `draw(count, generator)`.
        name: of the model, for messages.

    Raises:
        ValueError: the run leaves every bound, or does not settle in 2^17 intervals.
    """
    x = start.draw(TRAJECTORIES, generator)
    length, latest = SHORTEST, None
    while length <= LONGEST:
        x, states = _block(step, x, length)
        if not states.isfinite().all():
            raise ValueError(
                f"a free run of {name} is not finite within {2 * length} intervals, so that it has "
                "no climatology; start it nearer to its attractor or give the filter a background"
            )
        mean, std = states.mean(0), states.std(0)
        if latest is not None and _settled(latest, (mean, std)):
            return Gaussian(mean, states.T.cov())
        latest, length = (mean, std), 2 * length
    raise ValueError(
        f"mean and standard deviation of a free run of {name} still change after {2 * LONGEST} "
        "intervals, so that it has no climatology; give the filter a background"
    )


def _block(step: Callable[[Tensor], Tensor], x: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The last states (trajectory, state), and states of the block (sample, state)."""
    taken = []
    for k in range(length):
        x = step(x)
        if k % (length // TIMES) == 0:
            taken.append(x)
    return x, torch.cat(taken)


def _settled(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> bool:
    """Whether means and standard deviations differ by little."""
    unit = CHANGE * after[1]
    return all(bool(((b - a).abs() <= unit).all()) for a, b in zip(before, after, strict=True))
