"""What followed the most similar past: forecasting by analogues (Lorenz 1969)."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, complete, past
from dalib.forecasters.scaling import Standard
from dalib.streams import Generator

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


@dataclass(frozen=True)
class AnalogueForecast:
    """The training series (case, time, state), in which similar pasts are looked for."""

    series: Tensor
    scaling: Standard
    delays: int
    neighbours: int

    @cached_property
    def _library(self) -> tuple["cKDTree", np.ndarray, np.ndarray]:
        """All delay vectors that something follows, with the case and time of their last sample."""
        from scipy.spatial import cKDTree  # half a second, which no other method pays

        cases, times = self.series.shape[:2]
        case, time = np.divmod(np.arange(cases * (times - self.delays)), times - self.delays)
        windows = self.scaling(self.series).unfold(1, self.delays, 1)[:, :-1]
        vectors = windows.flatten(2).flatten(0, 1).numpy()
        return cKDTree(vectors), case, time + self.delays - 1

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        context = past(context, self.series.shape[-1], self.delays)[:, -self.delays :]
        return torch.stack([self._continued(x, horizon) for x in context]).unsqueeze(0)

    def _continued(self, x: Tensor, horizon: int) -> Tensor:
        """(delays, state) -> (horizon, state); looks again where the training series ends."""
        while len(x) < self.delays + horizon:
            x = torch.cat([x, self._followed(x[-self.delays :])])
        return x[self.delays : self.delays + horizon]

    def _followed(self, v: Tensor) -> Tensor:
        """(delays, state) -> (some, state): mean of what followed the nearest, while all last."""
        tree, case, time = self._library
        distance, index = tree.query(self.scaling(v).T.flatten().numpy(), [*self._ranks])
        w = torch.from_numpy(weights(distance))
        length = self.series.shape[1] - 1 - time[index].max()
        after = [self.series[case[i], time[i] + 1 : time[i] + 1 + length] for i in index]
        return torch.einsum("k,k...->...", w, torch.stack(after)) if len(after) > 1 else after[0]

    @property
    def _ranks(self) -> range:
        return range(1, self.neighbours + 1)


def weights(distance: np.ndarray) -> np.ndarray:
    """(k,), w_i ∝ exp(-d_i / d_1) of ascending distances (Sugihara and May 1990), Σ w_i = 1.

    Where a vector of the library is met exactly, d_1 = 0, only such vectors count.
    """
    nearest = distance[0]
    w = np.exp(-distance / nearest) if nearest > 0 else (distance == 0).astype(float)
    return w / w.sum()


@dataclass(frozen=True)
class Analogue:
    """The continuation of the nearest training states in delay space.

        v_t = (x_{t-E+1}, ..., x_t)                       standardised
        i_1 ... i_k = the times of the k nearest v_i in the training data
        x̂_{t+h} = Σ_j w_j x_{i_j+h},   w_j ∝ exp(-d_j / d_1)

    until the first of these training series ends; then the neighbours of the forecast itself are
    looked for. With k = 1 a stretch of the training series is copied (Lorenz 1969; Farmer and
    Sidorowich 1987); several neighbours are simplex projection (Sugihara and May 1990), better for
    noisy data and short leads, and towards the mean at long ones.

    Args:
        delays: E, samples in a delay vector.
        neighbours: k, nearest past states whose successors are averaged.
    """

    delays: int = 10
    neighbours: int = 1
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        for name in ("delays", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def fit(self, data: TrainingData, generator: Generator | None = None) -> AnalogueForecast:
        series = complete(data.train, "the training data")
        vectors = len(series) * max(series.shape[1] - self.delays, 0)
        if vectors < self.neighbours:
            raise ValueError(
                f"{self.neighbours} neighbours with {self.delays} delays need as many training "
                f"samples with {self.delays - 1} before and one after them, got {vectors} in data "
                f"of shape {tuple(series.shape)}; give longer series or lower `delays`"
            )
        return AnalogueForecast(series.clone(), Standard.of(series), self.delays, self.neighbours)
