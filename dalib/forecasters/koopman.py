"""Linear maps of nonlinear features: extended dynamic mode decomposition."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.forecasters.base import TrainingData, complete, free_run, past
from dalib.forecasters.nvar import BLOCK, monomials
from dalib.forecasters.ridge import ridge
from dalib.forecasters.scaling import Standard
from dalib.streams import Generator


@dataclass(frozen=True)
class EDMDForecast:
    """K (feature, feature). Its own state z: the features, which move linearly.

    degree: of the monomials that the features are.
    reencode: steps after which z is made anew from the state that it stands for; 0 for never.
    """

    K: Tensor
    scaling: Standard
    degree: int
    reencode: int

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, feature), and the number of steps done."""
        x = self.scaling(past(context, len(self.scaling.mean))[:, -1])
        z = monomials(x, self.degree)
        return torch.cat([z, torch.zeros_like(z[:, :1])], -1)

    def step(self, z: Tensor) -> Tensor:
        """(..., feature + 1): z <- z K, lifted again every `reencode` steps."""
        z, done = z[..., :-1] @ self.K, z[..., -1:] + 1
        if self.reencode:
            lifted = monomials(self._linear(z), self.degree)
            z = torch.where(done % self.reencode == 0, lifted, z)
        return torch.cat([z, done], -1)

    def state(self, z: Tensor) -> Tensor:
        """(..., feature + 1) -> (..., state)."""
        return self.scaling.invert(self._linear(z))

    def eigenvalues(self) -> Tensor:
        """(feature,), of K, complex: those of the Koopman operator over a sampling interval."""
        return torch.linalg.eigvals(self.K)

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)

    def _linear(self, z: Tensor) -> Tensor:
        return z[..., 1 : 1 + len(self.scaling.mean)]  # the monomials of degree 1


@dataclass(frozen=True)
class EDMD:
    """Extended dynamic mode decomposition (Williams et al. 2015) with monomials as the dictionary.

        K = argmin Σ_t |ψ(x_{t+1}) - ψ(x_t) K|² + λ |K|²,    x̂_{t+h} = B ψ(x_t) K^h

    on standardised states; B picks the monomials of degree 1. `degree: 1` is dynamic mode
    decomposition with a constant. Making ψ anew from the state (periodic re-encoding, Fathi et al.
    2024) keeps z on the image of ψ, which K alone leaves.

    Args:
        degree: of the monomials.
        penalty: λ of the ridge.
        reencode: steps between two re-encodings; 0 for none.
    """

    degree: int = 3
    penalty: float = 1e-6
    reencode: int = 0
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        limits.at_least(1, degree=self.degree)
        limits.at_least(0, penalty=self.penalty, reencode=self.reencode)

    def fit(self, data: TrainingData, generator: Generator | None = None) -> EDMDForecast:
        series = complete(data.train, "the training data")
        if series.shape[1] < 2:
            raise ValueError("EDMD needs training series of at least 2 samples, got 1")
        scaling = Standard.of(series)
        x = scaling(series)
        before, after = x[:, :-1].flatten(0, 1), x[:, 1:].flatten(0, 1)
        pairs = (
            (monomials(a, self.degree), monomials(b, self.degree))
            for a, b in zip(before.split(BLOCK), after.split(BLOCK), strict=True)
        )
        return EDMDForecast(ridge(pairs, self.penalty), scaling, self.degree, self.reencode)
