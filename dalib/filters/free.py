"""The model by itself: what an ensemble does that is never corrected."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dalib.filters.base import Ensemble
from dalib.filters.ensemble import EnsembleFilter
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class FreeRun(EnsembleFilter):
    """Forecasts alone; observations are not used."""

    looks: ClassVar[bool] = False

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        """The forecast."""
        return belief
