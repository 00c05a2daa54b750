"""What a generator is: settings that are fitted to states, and then draw states like them."""

from typing import ClassVar, Protocol

from torch import Tensor

from dalib import streams
from dalib.forecasters.base import TrainingData


class FittedGenerator(Protocol):
    """A generator that is ready: a frozen dataclass of arrays, numbers and texts."""

    def sample(self, count: int, generator: streams.Generator) -> Tensor:
        """(sample, state), `count` independent states in the units of the data."""
        ...


class Generator(Protocol):
    """A frozen dataclass of settings; `needs` as of a `Forecaster`."""

    needs: ClassVar[frozenset[str]]

    def fit(self, data: TrainingData, generator: streams.Generator) -> FittedGenerator:
        """The generator fitted to the states of `data`, whose order in time does not count."""
        ...
