"""Statistical linear regression: the line through a function that a Gaussian belief sees.

A rule of sigma points, with points ξ_i (n,) and weights of the mean v_i and of covariances w_i,
integrates N(0, I): Σ v_i = 1, Σ w_i ξ_i = 0, Σ w_i ξ_i ξ_iᵀ = I.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Gaussian
from dalib.filters.linalg import cholesky, known


class Rule(NamedTuple):
    """points ξ (point, n), mean_weights v and cov_weights w (point,), all in float64."""

    points: Tensor
    mean_weights: Tensor
    cov_weights: Tensor


def unscented(n: int, alpha: float, beta: float, kappa: float) -> Rule:
    """2n + 1 scaled points (Julier 2002; Wan and van der Merwe 2000, eq. 15).

    ξ = 0, ± √(n+λ) e_i        λ = α² (n + κ) - n
    v_0 = λ / (n+λ),  w_0 = v_0 + 1 - α² + β,  others 1 / (2 (n+λ))
    """
    spread = alpha**2 * (n + kappa)  # n + λ
    if not spread > 0:
        raise ValueError(
            f"alpha={alpha}, kappa={kappa} put the sigma points of {n} components at a distance of "
            f"√{spread:g}; give alpha above 0 and kappa above {-n}"
        )
    axes = math.sqrt(spread) * torch.eye(n, dtype=torch.float64)
    points = torch.cat([torch.zeros_like(axes[:1]), axes, -axes])
    v = torch.full((2 * n + 1,), 1 / (2 * spread), dtype=torch.float64)
    v[0] = 1 - n / spread
    w = v.clone()
    w[0] += 1 - alpha**2 + beta
    return Rule(points, v, w)


def cubature(n: int) -> Rule:
    """2n points ± √n e_i of equal weight, of degree 3 (Arasaratnam and Haykin 2009, eq. 32)."""
    axes = math.sqrt(n) * torch.eye(n, dtype=torch.float64)
    weights = torch.full((2 * n,), 1 / (2 * n), dtype=torch.float64)
    return Rule(torch.cat([axes, -axes]), weights, weights)


class Regression(NamedTuple):
    """f(x) ≈ mean + F (x - m) + e, e ~ N(0, Ω): mean (..., out), matrix F, error_cov Ω."""

    mean: Tensor
    matrix: Tensor
    error_cov: Tensor


def regression(
    function: Callable[[Tensor], Tensor], belief: Gaussian, rule: Rule, seen: Tensor | None = None
) -> Regression:
    """The statistical linear regression of f in N(m, P), P = L Lᵀ (García-Fernández et al. 2015).

        Y_i = f(m + L ξ_i)        μ = Σ v_i Y_i
        A = Σ w_i ξ_i (Y_i - μ)ᵀ        F = Aᵀ L⁻¹
        r_i = Y_i - μ - Aᵀ ξ_i          Ω = Σ w_i r_i r_iᵀ

    so that F P is the covariance of f with x, and F P Fᵀ + Ω that of f. Of a linear f, F is its
    matrix and Ω = 0. F and Ω are in float64.

    Args:
        function: (..., state) -> (..., out).
        seen: (..., out), bool; what else f gives is taken as 0, also where it is not defined.
    """
    m, P = belief.mean, belief.cov.double()
    points, v, w = (value.to(m.device) for value in rule)
    L = cholesky(P)
    X = m[..., None, :] + (points @ L.mT).to(m)
    Y = function(X)
    if seen is not None and not known(seen.all()):
        Y = torch.where(seen[..., None, :], Y, 0.0)
    Y = Y.double()
    origin = Y[..., :1, :]  # large values of f lose no digits
    mean = origin + (v @ (Y - origin))[..., None, :]
    D, weights = Y - mean, w[:, None]
    A = points.mT @ (weights * D)
    r = D - points @ A
    F = torch.linalg.solve_triangular(L.mT, A, upper=True).mT
    return Regression(mean[..., 0, :].to(m), F, r.mT @ (weights * r))
