"""Truths: trajectories of a system on its attractor, one for each seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib.integrate import trajectory
from dalib.streams import Streams, normal, normal_like, uniform

ESCAPED = 1e8  # times the largest initial component, or 1; no system here comes near it
LARGE = 10_000  # components


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

    def draw(
        self, shape: int | tuple[int, ...], generator: Streams, dtype: torch.dtype = torch.float64
    ) -> Tensor:
        """(*shape, state), initial states; the first axis of the shape is the seed."""
        shape = (shape,) if isinstance(shape, int) else shape
        x = self._drawn(shape, generator, dtype)
        return x.abs() if self.positive else x

    def _drawn(self, shape: tuple[int, ...], generator: Streams, dtype: torch.dtype) -> Tensor:
        mean = torch.as_tensor(self.mean, dtype=dtype)
        shape = (*shape, *mean.shape)
        if self.std is not None:
            return mean + torch.as_tensor(self.std, dtype=dtype) * normal(shape, generator, dtype)
        width = torch.as_tensor(self.half_width, dtype=dtype)
        return mean + width * (2 * uniform(shape, generator, dtype) - 1)


@dataclass(frozen=True)
class Formed:
    """Starts that a system forms of random numbers, e.g. a bump at a random place.

    Args:
        former: with `states(uniform, normal)`, and how many of each a state takes: `uniforms` and
            `normals`.
    """

    former: Any

    def draw(
        self, shape: int | tuple[int, ...], generator: Streams, dtype: torch.dtype = torch.float64
    ) -> Tensor:
        """(*shape, state), initial states; the first axis of the shape is the seed."""
        shape = (shape,) if isinstance(shape, int) else shape
        uniforms = uniform((*shape, self.former.uniforms), generator)
        return self.former.states(uniforms, normal((*shape, self.former.normals), generator, dtype))


@dataclass(frozen=True)
class Shocked:
    """A step that shakes the state after each of several short ones (Bao et al. 2024, shocks).

        x <- step(x)    x_i <- x_i + s_i |x_i| N(0, 1)    s_i = sum of the sizes that strike i

    Args:
        step: (..., state) -> (..., state), a short step.
        count: short steps in one.
        sizes, probabilities: of the kinds of shocks; each strikes a component independently.
    """

    step: Callable[[Tensor], Tensor]
    count: int
    sizes: Sequence[float]
    probabilities: Sequence[float]
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.probabilities) or not all(
            0 <= p <= 1 for p in self.probabilities
        ):
            raise ValueError(
                "shocks have as many sizes as probabilities, each from 0 to 1; got "
                f"{list(self.sizes)} and {list(self.probabilities)}"
            )

    def __call__(self, x: Tensor, generator: Streams) -> Tensor:
        """(seed, ..., state) -> (seed, ..., state)."""
        for _ in range(self.count):
            x = self.step(x)
            size = torch.zeros_like(x)
            for s, p in zip(self.sizes, self.probabilities, strict=True):
                size += s * (uniform(tuple(x.shape), generator, x.dtype) < p)
            x = torch.addcmul(x, size * x.abs(), normal_like(x, generator))
        return x


def simulate(
    step: Callable[..., Tensor],
    start: Any,
    samples: int,
    *,
    seeds: Sequence[int | str],
    spinup: int = 0,
    noise_std: float = 0.0,
    dtype: torch.dtype = torch.float64,
    generator: Streams,
) -> Tensor:
    """(seed, samples + 1, state): trajectories after the spin-up, sampled every interval.

        x_0 ~ start    x <- step(x) + noise_std N(0, I)

    Args:
        step: the map (..., state) -> (..., state) over one sampling interval.
        start: distribution of the initial states, with `draw(seeds, generator, dtype)`.
        samples: intervals kept after the spin-up.
        seeds: names of the streams, for messages.
        spinup: intervals run before the first sample, with the same noise.
        noise_std: model noise per interval, in state units.
        dtype: in which all is computed.
        generator: one stream per seed.

    Raises:
        ValueError: some trajectory is not finite or escapes; its seeds and the time are named.
    """
    x0 = start.draw(len(seeds), generator, dtype)
    if spinup and x0.shape[-1] > LARGE:  # of a large state, no spin-up is kept
        for _ in range(spinup):
            x0 = trajectory(step, x0, 1, noise_std, generator)[:, -1]
        spinup = 0
    states = trajectory(step, x0, spinup + samples, noise_std, generator)
    refuse_escapes(states, seeds)
    return states[:, spinup:].clone() if spinup else states


def whole_intervals(time: float, interval: float, what: str) -> int:
    """How many sampling intervals a time has.

    Raises:
        ValueError: it is no multiple of the interval; the message names the nearest ones.
    """
    count = round(time / interval)
    if abs(time - count * interval) > 1e-6 * interval:
        below = int(time // interval) * interval
        raise ValueError(
            f"{what} is {time:g}, no multiple of the sampling interval {interval:g}; the nearest "
            f"are {below:g} and {below + interval:g}"
        )
    return count


def refuse_escapes(states: Tensor, seeds: Sequence[int | str]) -> None:
    """Raise when a trajectory of `states` (seed, time, state) leaves every attractor.

    That is measured by the states from which it starts, so that their units make no difference.
    """
    first = states[:, 0].nan_to_num(0.0, 0.0, 0.0)
    limit = ESCAPED * max(1.0, first.abs().max().item())
    lost = ~(states.abs() <= limit).all(-1)  # NaN is not <= either
    if not lost.any():
        return
    names = [str(seed) for seed, gone in zip(seeds, lost.any(1).tolist(), strict=True) if gone]
    first = int(lost.any(0).nonzero()[0])
    raise ValueError(
        f"expected bounded trajectories, but {len(names)} of {len(lost)} leave {limit:g} or are "
        f"not finite from interval {first} on (seed {', '.join(names[:5])}"
        f"{', ...' if len(names) > 5 else ''}); use a shorter step dt, less noise, or a start "
        "nearer to the attractor"
    )
