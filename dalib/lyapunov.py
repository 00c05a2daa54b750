"""Lyapunov exponents: how fast nearby states part, direction by direction."""

from collections.abc import Callable

import torch
from torch import Tensor


def lyapunov_spectrum(
    tangent: Callable[[Tensor], tuple[Tensor, Tensor]],
    x0: Tensor,
    count: int,
    every: int = 1,
    *,
    interval: float = 1.0,
    discard: int = 0,
) -> Tensor:
    """(..., state) -> (..., state), exponents in descending order (Benettin et al. 1980).

    A frame of vectors is carried by the tangent map and made orthonormal `every` steps,

        F Q_old = Q_new R        lambda_i = sum of log |R_ii| / (count interval)

    Args:
        tangent: x -> (x', F) over one interval, F (..., state, state).
        x0: (..., state), a state on the attractor.
        count: intervals averaged over, a multiple of `every`.
        every: intervals between two orthonormalisations; more is faster, until the frame is
            too ill conditioned.
        interval: model time of an interval; exponents are per unit of it.
        discard: intervals before the average, in which the frame aligns; a multiple of `every`.
    """
    if count % every or discard % every:
        raise ValueError(f"count {count} and discard {discard} must be multiples of every {every}")
    x, Q = x0, torch.eye(x0.shape[-1], dtype=x0.dtype, device=x0.device)
    growth = torch.zeros_like(x0)
    for k in range(1, discard + count + 1):
        x, F = tangent(x)
        Q = F @ Q
        if k % every == 0:
            Q, R = torch.linalg.qr(Q)
            if k > discard:
                growth += R.diagonal(dim1=-2, dim2=-1).abs().log()
    return (growth / (count * interval)).sort(dim=-1, descending=True).values


def leading_exponent(
    step: Callable[[Tensor], Tensor],
    z0: Tensor,
    count: int = 20_000,
    *,
    interval: float = 1.0,
    discard: int = 1000,
) -> Tensor:
    """(..., z) -> (...), the largest exponent of a differentiable map z' = F(z) on its own orbit.

        v = J(z) v_old / |J(z) v_old|        lambda_1 = sum of log |J(z) v_old| / (count interval)

    the first column of the QR method, without the others: products of the Jacobian J with one
    vector, by forward-mode derivatives. NaN where an orbit leaves to infinity.

    Args:
        step: F, (..., z) -> (..., z), e.g. of a `OneStepMap`; leading axes are orbits.
        z0: (..., z), a state on the attractor.
        count: intervals averaged over.
        interval: model time of an interval; the exponent is per unit of it.
        discard: intervals before the average, in which the vector aligns.
    """
    z, v = z0, torch.ones_like(z0)
    growth = z0.new_zeros(z0.shape[:-1])
    for k in range(discard + count):
        z, v = torch.func.jvp(step, (z,), (v,))
        norm = torch.linalg.vector_norm(v, dim=-1)
        v = v / norm[..., None]
        if k >= discard:
            growth += norm.log()
    return torch.where(z.isfinite().all(-1), growth / (count * interval), torch.nan)


def kaplan_yorke(exponents: Tensor) -> Tensor:
    """(..., state) -> (...), dimension of the attractor (Kaplan and Yorke 1979).

        D = j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|

    with the exponents in descending order and j the most of them with a sum that is not negative;
    0 where the first is negative, the state's size where their whole sum is not negative.
    """
    size = exponents.shape[-1]
    sums = exponents.cumsum(-1)
    j = (sums >= 0).sum(-1)
    sum_j = torch.nn.functional.pad(sums, (1, 0)).gather(-1, j[..., None])[..., 0]
    following = exponents.gather(-1, j.clamp(max=size - 1)[..., None])[..., 0]
    return torch.where(j == size, float(size), j + sum_j / following.abs())
