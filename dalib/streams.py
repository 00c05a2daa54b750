"""Random numbers: one named stream for each experiment, seed and purpose.

The same name gives the same numbers, however the seeds are laid out in batches and whatever else
was drawn before. A `generator` is a `torch.Generator` or `Streams`, and is always the last
argument of a function that draws.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Streams:
    """One generator for each slice along the first axis (the seed) of what is drawn."""

    generators: tuple[torch.Generator, ...]

    def __len__(self) -> int:
        return len(self.generators)


Generator = torch.Generator | Streams


def stream(*names: object) -> torch.Generator:
    """A generator seeded by the SHA-256 of the names, e.g. `stream("2026/dkf/base", 3, "truth")`.

    torch's CPU generator keeps 32 bits of a seed: among a thousand streams, two coincide with
    probability 1e-4.
    """
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


def streams(experiment: str, seeds: Iterable[int], purpose: str) -> Streams:
    """One stream per seed of an experiment, for one purpose ("truth", "observations", ...)."""
    return Streams(tuple(stream(experiment, seed, purpose) for seed in seeds))


def each(generator: Generator | None) -> tuple[torch.Generator, ...]:
    """The generators that a `generator` consists of."""
    if isinstance(generator, Streams):
        return generator.generators
    return () if generator is None else (generator,)


def positions(generator: Generator | None) -> list[Tensor]:
    """How far each generator has come; `continue_from` takes it."""
    return [one.get_state() for one in each(generator)]


def continue_from(saved: list[Tensor], generator: Generator | None) -> None:
    """Set each generator to where it had come."""
    for one, position in zip(each(generator), saved, strict=True):
        one.set_state(position)


def normal(
    shape: tuple[int, ...], generator: Generator | None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Standard normal numbers; with Streams, `shape[0]` is the number of seeds.

    They are drawn in float32 and widened, five times cheaper than float64 draws: seven digits of
    randomness are enough, what is computed from them keeps all of its own.
    """
    drawn = _fill(torch.empty(shape, dtype=torch.float32), Tensor.normal_, generator)
    return drawn.to(dtype)


def normal_like(x: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal numbers with the shape, dtype, device and order in memory of x.

    That order has no influence on which numbers stand where.
    """
    return torch.empty_like(x).copy_(normal(tuple(x.shape), generator, torch.float32))


def uniform(
    shape: tuple[int, ...], generator: Generator | None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Numbers uniform on [0, 1); with Streams, `shape[0]` is the number of seeds."""
    return _fill(torch.empty(shape, dtype=dtype), Tensor.uniform_, generator)


def integers(high: int, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Integers uniform on 0 ... high - 1; with Streams, `shape[0]` is the number of seeds."""

    def draw(out: Tensor, generator: torch.Generator | None) -> Tensor:
        return out.random_(0, high, generator=generator)

    return _fill(torch.empty(shape, dtype=torch.int64), draw, generator)


def _fill(out: Tensor, draw: Callable[..., Tensor], generator: Generator | None) -> Tensor:
    if not isinstance(generator, Streams):
        return draw(out, generator=generator)
    if out.ndim == 0 or len(out) != len(generator):
        raise ValueError(
            f"{len(generator)} streams draw arrays whose first axis has length {len(generator)}, "
            f"got shape {tuple(out.shape)}"
        )
    for part, one in zip(out.unbind(), generator.generators, strict=True):
        draw(part, generator=one)
    return out
