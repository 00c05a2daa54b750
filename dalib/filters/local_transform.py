"""The square root of the ETKF for many small ensembles side by side.

Operations run over the last axis, one column after the other in memory, so that each of the few
hundred that a matrix of members takes serves all columns: on a processor more than twice as fast
as eigenproblems one by one, and only the rows that are asked for are transformed.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from scipy.special import ellipj, ellipkm1
from torch import Tensor


def trace(rows: Tensor) -> float:
    """Of the largest A of `local_transform`, 0 where none is finite; no eigenvalue exceeds it."""
    return rows[: rows.shape[1]].diagonal().sum(-1).nan_to_num(0.0).amax().item()


def local_transform(rows: Tensor, largest: float | None = None) -> Tensor:
    """W and w of `etkf.etkf_analysis` applied to anomalies, for each column.

        (W + w) X        W = (1 + A)^-½        w = b W W / (N-1)

    W by a rational function r(A) = Σ_j c_j (1 + A + s_j)⁻¹ of the tridiagonal T = Qᵀ A Q.

    Args:
        rows: (N + 1 + v, N, column): A = S Sᵀ / (N-1), b = d Sᵀ and v variables X. Overwritten.
        largest: bound on the eigenvalues of 1 + A, by default its trace. Rounding errors are those
            of `largest` against 1: its product with the precision has to be far below 1.

    Returns:
        (v, N, column), new deviations from the prior means; NaN where `rows` are not finite.
    """
    N = rows.shape[1]
    largest = 1 + trace(rows) if largest is None else largest
    reflectors, beside = _tridiagonalise(rows)
    T = Tridiagonal(rows[:N].diagonal().mT + 1, beside)
    X = _inverse_root(T, rows[N:], *poles(largest, rows.dtype))
    b, X = X[0], X[1:]
    w_X = (b * X).sum(1, keepdim=True).div_(N - 1)
    return _reflected(X, reflectors).add_(w_X)


class Tridiagonal(NamedTuple):
    """Symmetric matrices: `diagonal` (N, column), and `beside` it N-1 times (column,)."""

    diagonal: Tensor
    beside: list[Tensor]


def poles(largest: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """s and c, (pole,), with x^-½ = Σ_j c_j / (x + s_j) for 1 <= x <= largest, to rounding.

    The trapezoidal rule after a conformal map, as good as the best rational function of its
    degree up to a factor (Hale, Higham and Trefethen 2008, sec. 4, method 3).
    """
    exponent = min(max(math.ceil(math.log2(largest)), 1), 45)  # beyond, rounding prevails anyway
    return _poles(exponent, dtype)


@lru_cache(maxsize=128)
def _poles(exponent: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    digits = -math.log(4 * torch.finfo(dtype).eps)
    count = math.ceil((exponent * math.log(2) + 3) * digits / (2 * math.pi**2))
    k2 = 2.0**-exponent
    K = ellipkm1(k2)
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) * K / count
    sn, cn, dn, _ = (torch.as_tensor(value) for value in ellipj(middles.numpy(), 1 - k2))
    shifts, weights = (sn / cn) ** 2, 2 * K / (math.pi * count) * dn / cn**2
    return shifts.to(dtype), weights.to(dtype)


def _tridiagonalise(rows: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Householder's reduction (Golub and Van Loan 2013, sec. 8.3.1), in place.

    A <- H A H and X <- X H with H = 1 - u uᵀ, for one row of A after the other. Returns the u,
    (N-1-k, column), and what stands beside the diagonal.
    """
    N = rows.shape[1]
    products = torch.empty_like(rows)
    reflectors, beside = [], []
    for k in range(N - 2):
        u = rows[k, k + 1 :].clone()
        length = torch.copysign(u.square().sum(0).sqrt_(), u[0])
        u[0] += length
        half_square = length * u[0]
        u *= torch.where(half_square > 0, half_square.rsqrt(), half_square)  # 0 if nothing is left
        tail = rows[k + 1 :, k + 1 :]
        p = torch.mul(tail, u, out=products[k + 1 :, k + 1 :]).sum(1)
        q = p[: N - 1 - k]
        q.addcmul_((q * u).sum(0), u, value=-0.5)  # A - u qᵀ - q uᵀ: half of u (uᵀ A u) uᵀ each
        tail.addcmul_(p[:, None], u, value=-1)
        tail[: N - 1 - k].addcmul_(u[:, None], q, value=-1)
        reflectors.append(u)
        beside.append(length.neg_())
    beside.append(rows[N - 2, N - 1])
    return reflectors, beside


def _inverse_root(T: Tridiagonal, X: Tensor, shifts: Tensor, weights: Tensor) -> Tensor:
    """Σ_j c_j (T + s_j)⁻¹ X for X (row, N, column), by L D Lᵀ factors of all poles at once."""
    s, c = (value.to(X.device)[:, None] for value in (shifts, weights))
    N = X.shape[1]
    pivot, z = T.diagonal[0] + s, X[:, 0].expand(len(s), -1, -1)
    done, lower, scaled = [z], [], []
    for i in range(1, N):  # L z = X, pole by row by column
        inverse = pivot.reciprocal_()
        below = inverse * T.beside[i - 1]
        scaled.append(inverse.mul_(c)[:, None])
        pivot = torch.addcmul(T.diagonal[i] + s, below, T.beside[i - 1], value=-1)
        lower.append(below[:, None])
        z = torch.addcmul(X[:, i], lower[-1], z, value=-1)
        done.append(z)
    scaled.append(pivot.reciprocal_().mul_(c)[:, None])

    result = torch.empty_like(X)
    x = done[-1] * scaled[-1]
    torch.sum(x, 0, out=result[:, N - 1])
    for i in range(N - 2, -1, -1):  # D Lᵀ x = z
        x = (done[i] * scaled[i]).addcmul_(lower[i], x, value=-1)
        torch.sum(x, 0, out=result[:, i])
    return result


def _reflected(X: Tensor, reflectors: list[Tensor]) -> Tensor:
    """X Qᵀ, in place."""
    for k in range(len(reflectors) - 1, -1, -1):
        u, tail = reflectors[k], X[:, k + 1 :]
        tail.addcmul_((tail * u).sum(1, keepdim=True), u, value=-1)
    return X
