"""Random numbers: one named stream for each experiment, seed and purpose.

The same name gives the same numbers, however the seeds are laid out in batches and whatever else
was drawn before. A `generator` is a `torch.Generator` or `Streams`, and is always the last
argument of a function that draws.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

HEADER, WORDS = 3, 624  # of the state of torch's Mersenne Twister, in numbers of 64 bits


@dataclass(frozen=True)
class Streams:
    """One generator for each slice along the first axis (the seed) of what is drawn."""

    generators: tuple[torch.Generator, ...]

    def __len__(self) -> int:
        return len(self.generators)


Generator = torch.Generator | Streams


class Stream(torch.Generator):
    """A generator that knows the names it was seeded by."""

    names: tuple[object, ...] = ()


def stream(*names: object) -> Stream:
    """A generator seeded by the SHA-256 of the names, e.g. `stream("2026/dkf/base", 3, "truth")`.

    All 256 bits count: `manual_seed` keeps 32 of them, with which two of 1e5 streams would
    coincide with probability 0.69. They are spread over the 624 words of the Mersenne Twister by
    numpy's SeedSequence.
    """
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    generator = Stream()
    generator.names = names
    generator.manual_seed(int.from_bytes(digest[:4], "little"))
    state = generator.get_state()
    words = np.random.SeedSequence(int.from_bytes(digest, "little")).generate_state(WORDS)
    state.numpy().view(np.uint64)[HEADER : HEADER + WORDS] = words
    generator.set_state(state)
    return generator


def purpose(generator: Generator, name: str) -> Generator:
    """The stream of the same experiment and seed for another purpose; of Streams each one's.

        purpose(stream("e", 3, "fit"), "watched")  is  stream("e", 3, "watched")

    So what a method draws for one purpose does not hang on how much it drew for another. Of a
    generator without names the stream is named by the next number that it draws.
    """
    if isinstance(generator, Streams):
        return Streams(tuple(purpose(one, name) for one in generator.generators))
    if isinstance(generator, Stream) and generator.names:
        return stream(*generator.names[:-1], name)
    return stream(int(integers(2**62, (), generator)), name)


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


@contextmanager
def lent(generator: torch.Generator) -> Iterator[None]:
    """Inside, torch's global generator of the CPU goes on where `generator` stands, and it after.

    For code that draws from the global one and takes no other: first weights of layers, dropout.
    Outside it is as if nothing had been drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())


def normal(
    shape: tuple[int, ...], generator: Generator | None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Standard normal numbers; with Streams, `shape[0]` is the number of seeds.

    They are drawn in float32 and widened, five times cheaper than float64 draws: seven digits of
    randomness are enough, what is computed from them keeps all of its own. They lie on the
    generator's device. Streams lie on the CPU, so that another device computes from the same.
    """
    return _fill(_empty(shape, torch.float32, generator), Tensor.normal_, generator).to(dtype)


def normal_like(x: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal numbers with the shape, dtype, device and order in memory of x.

    That order has no influence on which numbers stand where.
    """
    return torch.empty_like(x).copy_(normal(tuple(x.shape), generator, torch.float32))


def uniform(
    shape: tuple[int, ...], generator: Generator | None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Numbers uniform on [0, 1); with Streams, `shape[0]` is the number of seeds."""
    return _fill(_empty(shape, dtype, generator), Tensor.uniform_, generator)


def integers(high: int, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Integers uniform on 0 ... high - 1; with Streams, `shape[0]` is the number of seeds."""

    def draw(out: Tensor, generator: torch.Generator | None) -> Tensor:
        return out.random_(0, high, generator=generator)

    return _fill(_empty(shape, torch.int64, generator), draw, generator)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, generator: Generator | None) -> Tensor:
    """Room for numbers on the device of the generator that draws them."""
    devices = {one.device for one in each(generator)} or {torch.device("cpu")}
    if len(devices) > 1:
        raise ValueError(
            f"streams that draw together lie on one device, got {', '.join(map(str, devices))}"
        )
    return torch.empty(shape, dtype=dtype, device=devices.pop())


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
