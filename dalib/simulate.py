"""Truths: trajectories of a system on its attractor, one for each seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.integrate import trajectory
from dalib.streams import Streams, normal, uniform

ESCAPED = 1e8  # in state units; no system here comes near it


@dataclass(frozen=True)
class Start:
    """Where trajectories start: around a point, normal or uniform, each component by itself.

        x_0 ~ N(mean, std^2 I)    or    x_0 ~ U(mean - half_width, mean + half_width)

    Args:
        mean: (state,), a point near the attractor.
        std, half_width: one of the two, a number or (state,), in state units.
        positive: take the absolute value of every component, for states that are amounts.
    """

    mean: Sequence[float] | Tensor
    std: float | Sequence[float] | Tensor | None = None
    half_width: float | Sequence[float] | Tensor | None = None
    positive: bool = False

    def __post_init__(self) -> None:
        if (self.std is None) == (self.half_width is None):
            raise ValueError(
                "a start is normal with `std` or uniform with `half_width` around its mean: give "
                "exactly one of the two"
            )

    def draw(self, seeds: int, generator: Streams) -> Tensor:
        """(seed, state), one initial state from each stream."""
        x = self._drawn(seeds, generator)
        return x.abs() if self.positive else x

    def _drawn(self, seeds: int, generator: Streams) -> Tensor:
        mean = torch.as_tensor(self.mean, dtype=torch.float64)
        shape = (seeds, *mean.shape)
        if self.std is not None:
            return mean + torch.as_tensor(self.std) * normal(shape, generator)
        return mean + torch.as_tensor(self.half_width) * (2 * uniform(shape, generator) - 1)


def simulate(
    step: Callable[[Tensor], Tensor],
    start: Start,
    samples: int,
    *,
    seeds: Sequence[int | str],
    spinup: int = 0,
    noise_std: float = 0.0,
    generator: Streams,
) -> Tensor:
    """(seed, samples + 1, state): trajectories after the spin-up, sampled every interval.

        x_0 ~ start    x <- step(x) + noise_std N(0, I)

    Args:
        step: the map (..., state) -> (..., state) over one sampling interval.
        start: distribution of the initial states.
        samples: intervals kept after the spin-up.
        seeds: names of the streams, for messages.
        spinup: intervals run before the first sample, with the same noise.
        noise_std: model noise per interval, in state units.
        generator: one stream per seed.

    Raises:
        ValueError: some trajectory is not finite or escapes; its seeds and the time are named.
    """
    x0 = start.draw(len(seeds), generator)
    states = trajectory(step, x0, spinup + samples, noise_std, generator)
    refuse_escapes(states, seeds)
    return states[:, spinup:].clone()


def refuse_escapes(states: Tensor, seeds: Sequence[int | str]) -> None:
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
