"""What of a filter can be learned: from a number in the configuration to a field of the filter.

Each has `learnable(runs, size, observed)`, the first values with a leading axis of runs, and
`field(value)`, what the filter is given; `runs` stand before the trajectories of a batch.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dalib.filters.base import Gaussian
from dalib.learn.parameters import Learnable
from dalib.localise import Localisation, weights


@dataclass(frozen=True)
class Noise:
    """Variances of the model noise, one a component: Q = diag(q), started at `start`."""

    start: float

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        return Learnable(torch.full((runs, size), self.start), "softplus", "noise")

    def field(self, q: Tensor) -> dict[str, Any]:
        return {"model_error_std": q.sqrt()[:, None, None, :]}


@dataclass(frozen=True)
class Errors:
    """Variances of the observations, one a value: R = diag(r), started at `start`."""

    start: float

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        return Learnable(torch.full((runs, observed), self.start), "softplus", "noise")

    def field(self, r: Tensor) -> dict[str, Any]:
        return {"obs_std": r.sqrt()[:, None]}


@dataclass(frozen=True)
class Scale:
    """φ of a covariance that is inflated to (1 + φ) C."""

    start: float

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        return Learnable(torch.full((runs,), self.start), "sigmoid", "filter")

    def field(self, phi: Tensor) -> dict[str, Any]:
        return {"scale": 1 + phi[:, None]}


@dataclass(frozen=True)
class Weight:
    """Weight of the ensemble in a hybrid covariance."""

    start: float

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        return Learnable(torch.full((runs,), self.start), "sigmoid", "filter")

    def field(self, weight: Tensor) -> dict[str, Any]:
        return {"weight": weight[:, None]}


@dataclass(frozen=True)
class Inflation:
    """Factor on the anomalies after each analysis."""

    start: float

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        return Learnable(torch.full((runs,), self.start), "softplus", "filter")

    def field(self, inflation: Tensor) -> dict[str, Any]:
        return {"inflation": inflation[:, None]}


@dataclass(frozen=True)
class Background:
    """A fixed covariance c I + B Bᵀ with B (state, rank), at first `start` times rows of I.

    Where the rank is less than the size of the state, column k of B begins with `start` at the
    components k, k + rank, ...
    """

    start: float
    fixed: float = 0.0
    rank: int | None = None

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        rank = self.rank or size
        B = torch.zeros(size, rank)
        B[torch.arange(size), torch.arange(size) % rank] = self.start
        return Learnable(B.repeat(runs, 1, 1), "identity", "filter")

    def field(self, B: Tensor) -> dict[str, Any]:
        C = B @ B.mT
        if self.fixed:
            C = C + self.fixed * torch.eye(C.shape[-1], dtype=C.dtype, device=C.device)
        return {"background": Gaussian(C.new_zeros(C.shape[-1]), C[:, None])}


@dataclass(frozen=True)
class Gain:
    """The gain itself, K (state, obs), at first `start` at the observed components."""

    start: float
    index: tuple[int, ...] = ()

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        K = torch.zeros(size, observed)
        K[list(self.index), torch.arange(observed)] = self.start
        return Learnable(K.repeat(runs, 1, 1), "identity", "filter")

    def field(self, K: Tensor) -> dict[str, Any]:
        return {"gain": K[:, None]}


@dataclass(frozen=True)
class Radius:
    """Half the support of the taper on a ring, c of Gaspari and Cohn, in sites."""

    start: float
    size: int = 0

    def learnable(self, runs: int, size: int, observed: int) -> Learnable:
        return Learnable(torch.full((runs,), self.start), "softplus", "filter")

    def field(self, c: Tensor) -> dict[str, Any]:
        sites = torch.arange(self.size, dtype=c.dtype, device=c.device)
        apart = (sites[:, None] - sites)[..., None]
        taper = weights(apart, c[:, None, None], [self.size])[:, None]
        return {"localisation": Localisation(matrix=taper)}


FIELDS = {
    "noise": Noise,
    "errors": Errors,
    "scale": Scale,
    "weight": Weight,
    "inflation": Inflation,
    "background": Background,
    "gain": Gain,
    "radius": Radius,
}
