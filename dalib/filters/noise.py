"""Model errors: noise with covariance Q that is added after each step.

Q is that of independent components, a matrix, or given by a factor B, Q = B Bᵀ.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dalib.filters.linalg import (
    check_semidefinite,
    kept,
    like,
    matrix_function,
    plain,
    symmetric,
)
from dalib.streams import Generator, normal, normal_like

NOISES = ("sampled", "square_root")


@dataclass(frozen=True, kw_only=True)
class ModelNoise:
    """What filters share whose model has errors: one of the three says how large they are.

    Attributes:
        model_error_std: q of independent errors, Q = q² I, a number or (state,), in state units.
        model_error_cov: Q (..., state, state).
        model_error_factor: B (..., state, rank), Q = B Bᵀ.
    """

    axes: ClassVar[dict] = {"model_error_cov": ("state", "state")}

    model_error_std: Tensor | float = 0.0
    model_error_cov: Tensor | None = None
    model_error_factor: Tensor | None = None

    def noise_covariance(self, x: Tensor) -> Tensor:
        """Q (..., state, state) for states x (..., state)."""
        if self.model_error_cov is not None:
            return like(self.model_error_cov, x)
        if self.model_error_factor is not None:
            B = like(self.model_error_factor, x)
            return B @ B.mT
        std = like(self.model_error_std, x)
        return std.square().expand(*std.shape[:-1], x.shape[-1]).diag_embed()

    @kept
    def noise_factor(self, x: Tensor) -> Tensor:
        """B (..., state, rank) for states x (..., state)."""
        if self.model_error_factor is not None:
            return like(self.model_error_factor, x)
        return root(self.noise_covariance(x))

    @property
    def correlated(self) -> bool:
        """Whether errors of the model have a matrix or a factor."""
        return self.model_error_cov is not None or self.model_error_factor is not None

    @property
    def perfect(self) -> bool:
        """Whether the model has no errors."""
        std = self.model_error_std
        return not self.correlated and isinstance(std, (int, float)) and std == 0


def root(Q: Tensor) -> Tensor:
    """B with B Bᵀ = Q (..., n, n): the Cholesky factor; symmetric where Q is singular."""
    L, info = torch.linalg.cholesky_ex(Q)
    if not plain() or not info.any():
        return L
    eigenvalues, V = torch.linalg.eigh(Q)
    return V * eigenvalues.clamp(min=0).sqrt()[..., None, :]


def perturbed(filter: ModelNoise, E: Tensor, generator: Generator) -> Tensor:
    """E (..., member, state) with noise of its own for each member."""
    if not filter.correlated:
        noise = normal_like(E, generator)
        return torch.addcmul(E, like(filter.model_error_std, E), noise)
    B = filter.noise_factor(E)
    return E + _normal(E, B, generator) @ B.mT


def square_root_noise(E: Tensor, B: Tensor, generator: Generator) -> Tensor:
    """E (..., member, state) with covariance P + Q, Q = B Bᵀ (Raanes et al. 2015, sec. 3).

        X <- T X        T = [I + (N-1) X⁺ᵀ Q X⁺]^½

    Where Q has parts outside the span of the anomalies X, as it has where members are few, they are
    sampled, (B - X⁺ X B) ξ (their Sqrt-Add-Z); inside nothing is, and the mean stays.
    """
    N = E.shape[-2]
    mean = E.mean(-2, keepdim=True)
    X, B = (E - mean).double(), B.double()
    G = torch.linalg.pinv(X).mT @ B  # (..., member, rank)
    outside = B - X.mT @ G
    G = math.sqrt(N - 1) * G
    X = matrix_function(symmetric(G @ G.mT), _root, _slope, _curve) @ X
    return (mean + X + _normal(E, B, generator).double() @ outside.mT).to(E)


def _root(λ: Tensor) -> Tensor:
    """√(1 + λ)."""
    return (1 + λ).sqrt()


def _slope(λ: Tensor, μ: Tensor) -> Tensor:
    return 1 / (_root(λ) + _root(μ))


def _curve(λ: Tensor, μ: Tensor, ν: Tensor) -> Tensor:
    a, b, c = _root(λ), _root(μ), _root(ν)
    return -1 / ((a + b) * (b + c) * (c + a))


def _normal(E: Tensor, B: Tensor, generator: Generator) -> Tensor:
    """(..., member, rank), of the type of E."""
    return normal((*E.shape[:-1], B.shape[-1]), generator, E.dtype).to(E.device)


def check_noise(filter: Any, state: int) -> None:
    """Refuse a Q that is no covariance, or is given twice, for states of `state` components."""
    cov, factor = filter.model_error_cov, filter.model_error_factor
    std = torch.as_tensor(filter.model_error_std)
    if (cov is not None) + (factor is not None) + bool((std != 0).any()) > 1:
        raise ValueError(
            "model errors are given more than once; give one of model_error_std, model_error_cov "
            "and model_error_factor"
        )
    if cov is not None:
        check_semidefinite(cov, "model_error_cov")
    if factor is not None and (not isinstance(factor, Tensor) or factor.ndim < 2):
        raise TypeError(f"model_error_factor is {factor!r}; give a tensor (state, rank)")
    if factor is not None and factor.shape[-2] != state:
        raise ValueError(
            f"model_error_factor has shape {tuple(factor.shape)}, of a state of {state} "
            f"components; give ({state}, rank)"
        )
