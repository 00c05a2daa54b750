"""The ensemble transform Kalman filter: a symmetric square root in the smaller space."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.ensemble import EnsembleFilter, anomalies, whiten
from dalib.filters.linalg import matrix_function, plain
from dalib.streams import Generator


def etkf_analysis(
    ensemble: Tensor, predicted: Tensor, y: Tensor, obs_std: Tensor | float
) -> Tensor:
    """Ensemble transform Kalman update (Bishop et al. 2001; Hunt et al. 2007, sec. 2.3).

        W    = [(N-1) (S Sᵀ + N-1)⁻¹]^½        symmetric square root
        w    = d Sᵀ W W / (N-1)                mean weights
        E   <- mean + (w + W) X

    with X, S, d of `filters.ensemble`. Exact for linear observations: the posterior sample mean and
    covariance are those of the Kalman filter run on the prior sample mean and covariance.

    Args:
        ensemble: (..., member, state), prior states.
        predicted: (..., member, obs), the same members seen through the observation operator.
        y: (..., obs), the observation; NaN where missing.
        obs_std: a number or (obs,), of independent errors, in the units of y.

    Returns:
        (..., member, state), posterior states.
    """
    mean, X = anomalies(ensemble)
    return mean + transform(*whiten(predicted, y, obs_std)).to(X) @ X


def transform(S: Tensor, d: Tensor) -> Tensor:
    """w + W of `etkf_analysis`, (..., member, member), from S (..., member, obs), d (..., 1, obs).

    Row n has the weights of the prior anomalies in posterior member n.
    """
    if plain() and not (S.requires_grad or d.requires_grad) and _extreme(S):
        return _by_singular_values(S, d)
    W = square_root(S)
    w = d @ S.mT @ W @ W / (S.shape[-2] - 1)
    return w + W


@dataclass(frozen=True, kw_only=True)
class ETKF(EnsembleFilter):
    """Ensemble transform Kalman filter; see `etkf_analysis`."""

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        return etkf_analysis(E, predicted, y, self.obs_std)


def square_root(S: Tensor) -> Tensor:
    """[n (S Sᵀ + n)⁻¹]^½ with n = N-1, (..., N, N), from the smaller of two eigenproblems.

    S Sᵀ = V Λ Vᵀ:   V f(Λ) Vᵀ,            f(λ) = [n / (λ + n)]^½
    SᵀS = U Λ Uᵀ:    I - S U g(Λ) Uᵀ Sᵀ,   g(λ) = (1 - f(λ)) / λ

    With a, b, c = (λ + n)^½, (μ + n)^½, (ν + n)^½, the divided differences of f are

        f[λ, μ] = -√n / (a b (a + b))
        f[λ, μ, ν] = √n (a + b + c) / (a b c (a + b) (b + c) (c + a))

    and g is -f[λ, 0], so that its own are those of f one order higher, with √n for the last.
    """
    N, p = S.shape[-2:]
    m = math.sqrt(N - 1)

    def root(λ: Tensor) -> Tensor:
        return (λ + m**2).sqrt()

    def f(λ: Tensor) -> Tensor:
        return m / root(λ)

    def f_slope(λ: Tensor, μ: Tensor) -> Tensor:
        a, b = root(λ), root(μ)
        return -m / (a * b * (a + b))

    def f_curve(λ: Tensor, μ: Tensor, ν: Tensor) -> Tensor:
        a, b, c = root(λ), root(μ), root(ν)
        return m * (a + b + c) / (a * b * c * (a + b) * (b + c) * (c + a))

    def g(λ: Tensor) -> Tensor:
        a = root(λ)
        return 1 / (a * (a + m))

    def g_slope(λ: Tensor, μ: Tensor) -> Tensor:
        a, b = root(λ), root(μ)
        return -(a + b + m) / ((a + b) * a * (a + m) * b * (b + m))

    def g_curve(λ: Tensor, μ: Tensor, ν: Tensor) -> Tensor:
        a, b, c = root(λ), root(μ), root(ν)
        sums = (a + b) * (a + c) * (b + c) * (a + m) * (b + m) * (c + m)
        p, s = a + m, b + c
        return (p * a * m + s * b * c + s * p * (p + s)) / (a * b * c * sums)

    if p >= N:
        return matrix_function(S @ S.mT, f, f_slope, f_curve)
    one = torch.eye(N, dtype=S.dtype, device=S.device)
    return one - S @ matrix_function(S.mT @ S, g, g_slope, g_curve) @ S.mT


def _extreme(S: Tensor) -> bool:
    """Whether rounding errors of S Sᵀ are to be seen beside 1."""
    largest = S.detach().square().sum((-2, -1)).nan_to_num(0.0, posinf=0.0)
    return bool((largest * torch.finfo(S.dtype).eps > 1e-4).any())


def _by_singular_values(S: Tensor, d: Tensor) -> Tensor:
    """`transform` without forming S Sᵀ, for errors a hundred thousand times below the spread.

    S = U Σ Vᵀ:   W = I - U σ² / (a (a + √n)) Uᵀ,   w = d V σ / a² Uᵀ,   a = (σ² + n)^½,  n = N-1
    """
    N = S.shape[-2]
    finite = S.isfinite().all(-1).all(-1)[..., None, None]
    U, σ, Vt = torch.linalg.svd(torch.where(finite, S, 0.0), full_matrices=False)
    a2 = σ.square() + N - 1
    a = a2.sqrt()
    one = torch.eye(N, dtype=S.dtype, device=S.device)
    W = one - (U * (σ.square() / (a * (a + math.sqrt(N - 1))))[..., None, :]) @ U.mT
    w = (d @ Vt.mT * (σ / a2)[..., None, :]) @ U.mT
    return torch.where(finite, w + W, float("nan"))
