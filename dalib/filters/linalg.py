"""Symmetric matrices as filters use them: factors, checks, functions and their derivatives."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def like(value: Tensor | float, x: Tensor) -> Tensor:
    """A number or tensor with the dtype and on the device of x."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """(..., n, n) -> (..., n, n), the lower (or upper) factor of a positive definite matrix.

    NaN where there is none: one seed that is lost must not stop its batch, and `cycle` finds it by
    its NaN. What a user supplies is checked before, by `check_covariance`.
    """
    L, info = torch.linalg.cholesky_ex(A, upper=upper)
    return L.masked_fill((info > 0)[..., None, None], float("nan")) if info.any() else L


def symmetric(A: Tensor) -> Tensor:
    """(A + Aᵀ) / 2: products of matrices lose the symmetry of a covariance by round-off."""
    return (A + A.mT) / 2


def check_covariance(cov: Tensor, name: str) -> Tensor:
    """`cov` (..., n, n) itself, when it is symmetric and positive definite."""
    detached = cov.detach()
    if not detached.isfinite().all():
        raise ValueError(f"{name} has values that are not finite; was it estimated from NaN?")
    if not torch.allclose(detached, detached.mT, rtol=1e-8, atol=1e-12 * detached.abs().amax()):
        raise ValueError(f"{name} is not symmetric; give (C + Cᵀ) / 2")
    if torch.linalg.cholesky_ex(detached).info.any():
        smallest = torch.linalg.eigvalsh(detached).amin().item()
        raise ValueError(
            f"{name} is not positive definite: its smallest eigenvalue is {smallest:.3g}; a sample "
            "covariance needs more samples than variables (or localisation), and a variable known "
            "exactly needs a small variance instead of none"
        )
    return cov


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(..., state) -> (..., out, state), the derivative of `function` at x by torch.func."""
    rows = torch.func.vmap(torch.func.jacfwd(function))(x.reshape(-1, x.shape[-1]))
    return rows.reshape(*x.shape[:-1], *rows.shape[-2:])


def matrix_function(A: Tensor, f: Callable, slope: Callable) -> Tensor:
    """f(A) = V f(Λ) Vᵀ of a symmetric A = V Λ Vᵀ, (..., n, n) -> (..., n, n).

    The derivative is that of f(A), finite also where eigenvalues coincide, as they always do for
    the anomalies of an ensemble (Daleckii and Krein 1965):

        df = V (slope(λ_i, λ_j) ∘ (Vᵀ dA V)) Vᵀ

    Args:
        A: symmetric; where it is not finite the result is NaN.
        f: of the eigenvalues (..., n).
        slope: (f(a) - f(b)) / (a - b), written without cancellation; f'(a) where a = b.
    """
    return _MatrixFunction.apply(A, f, slope)


class _MatrixFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A: Tensor, f: Callable, slope: Callable) -> Tensor:
        finite = A.isfinite().all(-1).all(-1)[..., None, None]
        eigenvalues, V = torch.linalg.eigh(torch.where(finite, A, 0.0))  # LAPACK stops at NaN
        ctx.save_for_backward(eigenvalues, V)
        ctx.slope = slope
        value = (V * f(eigenvalues)[..., None, :]) @ V.mT
        return value if finite.all() else torch.where(finite, value, float("nan"))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        eigenvalues, V = ctx.saved_tensors
        ratios = ctx.slope(eigenvalues[..., :, None], eigenvalues[..., None, :])
        return V @ (ratios * (V.mT @ gradient @ V)) @ V.mT, None, None
