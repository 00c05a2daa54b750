"""Minimisers of nonlinear least squares for many series at once, by products with derivatives.

    J(u) = ½ |u|² + ½ |r(u)|²        u (..., n), r (..., m)

A misfit r is that of each series alone, so that its derivative is taken for all together; no matrix
is formed. Series that have converged stand still. Derivatives with respect to what r depends on
follow the iterations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.kalman import apply
from dalib.filters.linalg import cholesky, jacobian

ENOUGH, HALVINGS = 1e-4, 30  # of the line search: Armijo's constant, and the shortest step
Misfit = Callable[[Tensor], Tensor]


def cost(misfit: Misfit, u: Tensor) -> Tensor:
    """J (...,)."""
    return 0.5 * u.square().sum(-1) + 0.5 * misfit(u).square().sum(-1)


@dataclass(frozen=True)
class GaussNewton:
    """Incremental Gauss-Newton (Courtier, Thépaut and Hollingsworth 1994).

    Each outer iteration linearises r at u and solves, of few controls by a Cholesky factor and of
    many by conjugate gradients with the tangent and the adjoint of r,

        (I + R'ᵀ R') s = -u - R'ᵀ r        u <- u + t s

    where t is the largest of 1, ½, ¼ ... at which J sinks enough (Armijo 1966). Where r is linear
    one outer iteration is exact.

    Attributes:
        outer, inner: iterations at most; the latter end where the residual has sunk by `residual`.
        tolerance: of the root mean square of s, at which a series has converged.
        direct: up to how many controls R' is formed, and I + R'ᵀ R' factored.
    """

    outer: int = 20
    inner: int = 200
    tolerance: float = 1e-7
    residual: float = 1e-12
    direct: int = 200

    def __call__(self, misfit: Misfit, u: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """(..., n), the minimiser that is found from u; `dtype` is that of what r comes from."""
        eps = torch.finfo(dtype).eps
        tolerance = max(self.tolerance, 10 * eps)
        moving = torch.ones_like(u[..., :1], dtype=torch.bool)
        for _ in range(self.outer):
            gradient, s = self._step(misfit, u)
            t = _share(lambda u: cost(misfit, u), u, s, (gradient * s).sum(-1), eps)
            u = torch.where(moving, u + t * s, u)
            moving = moving & (s.detach().square().mean(-1, keepdim=True) > tolerance**2)
            if not moving.any():
                break
        return u

    def _step(self, misfit: Misfit, u: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of J and s."""
        if u.shape[-1] <= self.direct:
            r, G = misfit(u), jacobian(misfit, u)
            gradient = u + apply(G.mT, r)
            one = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
            L = cholesky(one + G.mT @ G)
            return gradient, -torch.cholesky_solve(gradient[..., None], L)[..., 0]
        r, adjoint = torch.func.vjp(misfit, u)
        gradient = u + adjoint(r)[0]

        def hessian(v: Tensor) -> Tensor:
            return v + adjoint(torch.func.jvp(misfit, (u,), (v,))[1])[0]

        return gradient, conjugate_gradients(hessian, -gradient, self.inner, self.residual)


@dataclass(frozen=True)
class LBFGS:
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno (Nocedal 1980).

    Pairs of steps and changes of the gradient without positive curvature are left out.

    Attributes:
        iterations: at most.
        memory: pairs that are kept.
        tolerance: of the root mean square of the gradient, at which a series has converged.
    """

    iterations: int = 300
    memory: int = 20
    tolerance: float = 1e-8

    def __call__(self, misfit: Misfit, u: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """(..., n), the minimiser that is found from u; `dtype` is that of what r comes from."""
        eps = torch.finfo(dtype).eps
        pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        scale, gradient = None, _gradient(misfit, u)
        for _ in range(self.iterations):
            moving = gradient.detach().square().mean(-1, keepdim=True) > self.tolerance**2
            if not moving.any():
                break
            first = gradient.norm(dim=-1, keepdim=True).clamp(min=1).reciprocal()
            s = -_two_loops(gradient, pairs, first if scale is None else scale)
            t = _share(lambda u: cost(misfit, u), u, s, (gradient * s).sum(-1), eps)
            new = torch.where(moving, u + t * s, u)
            changed = _gradient(misfit, new)
            Δu, Δg = new - u, changed - gradient
            curvature = (Δu * Δg).sum(-1, keepdim=True)
            convex = curvature > 1e-14 * Δg.square().sum(-1, keepdim=True)
            ρ = torch.where(convex, 1 / torch.where(convex, curvature, 1.0), 0.0)
            pairs = [*pairs[1 - self.memory :], (Δu, Δg, ρ)] if self.memory > 1 else []
            along = curvature / torch.where(convex, Δg.square().sum(-1, keepdim=True), 1.0)
            scale = torch.where(convex, along, first if scale is None else scale)
            u, gradient = new, changed
        return u


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, most: int, residual: float
) -> Tensor:
    """(..., n): v of A v = b, A positive definite, by products A v (Hestenes and Stiefel 1952)."""
    v, r, p = torch.zeros_like(b), b, b
    rr = r.square().sum(-1, keepdim=True)
    floor = residual**2 * rr  # converged series stand still instead of dividing 0 by 0
    for _ in range(most):
        active = rr > floor
        if not active.any():
            break
        Ap = product(p)
        step = torch.where(active, rr, 0.0) / torch.where(active, (p * Ap).sum(-1, True), 1.0)
        v, r = v + step * p, r - step * Ap
        before, rr = rr, r.square().sum(-1, keepdim=True)
        p = r + torch.where(active, rr, 0.0) / torch.where(active, before, 1.0) * p
    return v


def _gradient(misfit: Misfit, u: Tensor) -> Tensor:
    r, adjoint = torch.func.vjp(misfit, u)
    return u + adjoint(r)[0]


def _two_loops(g: Tensor, pairs: list, scale: Tensor) -> Tensor:
    """H g with the inverse Hessian H of the pairs (Nocedal 1980, p. 779)."""
    shares = []
    for Δu, Δg, ρ in reversed(pairs):
        α = ρ * (Δu * g).sum(-1, keepdim=True)
        g = g - α * Δg
        shares.append(α)
    g = scale * g
    for (Δu, Δg, ρ), α in zip(pairs, reversed(shares), strict=True):
        g = g + (α - ρ * (Δg * g).sum(-1, keepdim=True)) * Δu
    return g


@torch.no_grad()
def _share(
    J: Callable[[Tensor], Tensor], u: Tensor, s: Tensor, slope: Tensor, eps: float
) -> Tensor:
    """t (..., 1): the largest of 1, ½, ¼ ... at which J sinks enough along s."""
    here, t = J(u), torch.ones_like(slope)
    slack = 50 * eps * here.abs()  # of round-off
    for _ in range(HALVINGS):
        enough = J(u + t[..., None] * s) <= here + ENOUGH * t * slope + slack
        if enough.all():
            break
        t = torch.where(enough, t, t / 2)  # of NaN too
    return t[..., None]
