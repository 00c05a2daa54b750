"""Truths: trajectories of a system on its attractor, one for each seed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dalib.integrate import trajectory
from dalib.streams import Streams, normal

ESCAPED = 1e8  # in state units; no system here comes near it


def simulate(
    step: Callable[[Tensor], Tensor],
    start_mean: Sequence[float] | Tensor,
    start_std: float | Tensor,
    samples: int,
    *,
    seeds: Sequence[int],
    spinup: int = 0,
    noise_std: float = 0.0,
    generator: Streams,
) -> Tensor:
    """(seed, samples + 1, state): trajectories after the spin-up, sampled every interval.

        x_0 ~ N(start_mean, start_std^2 I)    x <- step(x) + noise_std N(0, I)

    Args:
        step: the map (..., state) -> (..., state) over one sampling interval.
        start_mean: (state,), a point near the attractor.
        start_std: a number or (state,).
        samples: intervals kept after the spin-up.
        seeds: names of the streams, for messages.
        spinup: intervals run before the first sample, with the same noise.
        noise_std: model noise per interval, in state units.
        generator: one stream per seed.

    Raises:
        ValueError: some trajectory is not finite or escapes; its seeds and the time are named.
    """
    mean = torch.as_tensor(start_mean, dtype=torch.float64)
    x0 = mean + start_std * normal((len(seeds), *mean.shape), generator)
    states = trajectory(step, x0, spinup + samples, noise_std, generator)
    refuse_escapes(states, seeds)
    return states[:, spinup:].clone()


def refuse_escapes(states: Tensor, seeds: Sequence[int]) -> None:
    """Raise when a trajectory of `states` (seed, time, state) leaves every attractor."""
    lost = ~(states.abs() <= ESCAPED).all(-1)  # NaN is not <= either
    if not lost.any():
        return
    names = [str(seed) for seed, gone in zip(seeds, lost.any(1).tolist(), strict=True) if gone]
    first = int(lost.any(0).nonzero()[0])
    raise ValueError(
        f"expected bounded trajectories, but {len(names)} of {len(lost)} leave {ESCAPED:g} or are "
        f"not finite from interval {first} on (seed {', '.join(names[:5])}"
        f"{', ...' if len(names) > 5 else ''}); use a shorter step dt, less noise, or a start "
        "nearer to the attractor"
    )
