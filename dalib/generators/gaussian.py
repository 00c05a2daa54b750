"""The normal distribution with the moments of the data: what a generator has to beat."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, complete
from dalib.streams import Generator, normal


@dataclass(frozen=True)
class FittedGaussian:
    """mean (state,), and root (state, state) with root rootᵀ = covariance."""

    mean: Tensor
    root: Tensor

    def sample(self, count: int, generator: Generator) -> Tensor:
        """(sample, state), x = mean + root w with w ~ N(0, I)."""
        return self.mean + normal((count, len(self.mean)), generator) @ self.root.T


@dataclass(frozen=True)
class GaussianGenerator:
    """N(m, C), m and C the mean and the covariance (divisor n - 1) of the training states."""

    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def fit(self, data: TrainingData, generator: Generator | None = None) -> FittedGaussian:
        x = complete(data.train, "the training data").flatten(0, 1)
        if len(x) < 2:
            raise ValueError(f"a covariance needs at least 2 training states, got {len(x)}")
        λ, V = torch.linalg.eigh(torch.atleast_2d(x.T.cov()))
        return FittedGaussian(x.mean(0), V * λ.clamp(min=0).sqrt())  # -1e-16 is round-off
