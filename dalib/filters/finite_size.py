"""The finite-size ensemble Kalman filter (EnKF-N): inflation that N members ask for by themselves.

Mean and covariance of N members are those of a sample; with a Jeffreys prior on the true ones
(Bocquet 2011) the weights w of the anomalies, with d and S of `filters.ensemble`, minimise

    J(w) = ½ |d - w S|² + ½ (N-1) c log(ε + |w|²)                       (primal)

which is the analysis of a forecast whose anomalies are inflated by l. With a = l²,

    D(a) = min_w {½ |d - w S|² + ½ (N-1) |w|² / a} + ½ (N-1) (ε / a + c log a)      (dual)

has the same stationary points, those of a = (ε + |w|²) / c (Bocquet, Raanes and Hannart 2015,
sec. 3).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.ensemble import EnsembleFilter, anomalies, whiten
from dalib.filters.etkf import transform
from dalib.filters.linalg import eigen, known
from dalib.streams import Generator

ROUNDS, HALVINGS = 60, 20  # at most, of Newton's method and of its step
GRID = 64  # values of l², from which the lowest is taken first


class Hyperprior(NamedTuple):
    """ε and c of the prior of the weights, each (...,)."""

    offset: Tensor
    weight: Tensor


def hyperprior(S: Tensor, certainty: float = 1.0) -> Hyperprior:
    """ε = x (1 + 1/N) / m and c = x m N / (N-1), of S (..., member, obs).

    m = (1 - 1/N²)^(s/2) moves the mode of l to 1 as observations say less (Bocquet, Raanes and
    Hannart 2015, eq. 36), where s = tr[(S Sᵀ + N-1)⁻¹] (N-1) / N is the share of the forecast in
    the analysis. By the `certainty` x the prior of l is as that of x N members: 1 for a random
    sample, 2 for models that are chaotic without noise (Raanes, Bocquet and Carrassi 2019).
    """
    N = S.shape[-2]
    share = (N - 1) / (_eigenvalues(S) + N - 1)
    m = (1 - 1 / N**2) ** (share.mean(-1) / 2)
    return Hyperprior(certainty * (1 + 1 / N) / m, certainty * m * N / (N - 1))


def dual_inflation(S: Tensor, d: Tensor, prior: Hyperprior) -> Tensor:
    """l² (...,), the a of the dual at its lowest minimum, by Newton's method from a grid.

        f(a) = c a - ε - |w|² = 0        w = d Sᵀ (S Sᵀ + (N-1) / a)⁻¹

    D has a second minimum, of large a, where d is far outside of what the members allow.
    """
    S0, d0, (ε, c) = S.detach(), d.detach(), (value.detach()[..., None] for value in prior)
    λ, V, finite = eigen(S0 @ S0.mT)
    b, λ, n = torch.where(finite, d0 @ S0.mT @ V, 0.0), λ[..., None, :], S.shape[-2] - 1
    b2, most = b.square(), (ε + _fitted(b, λ).square().sum(-1)) / c
    grid = (ε / c) * (most / (ε / c)) ** torch.linspace(0, 1, GRID).to(S)

    def dual(a: Tensor) -> Tensor:
        fit = (b2 / (λ + n / a[..., None])).sum(-1)
        return n * (ε / a + c * a.log()) - fit

    a = grid.gather(-1, dual(grid).argmin(-1, keepdim=True))
    low, high = ε / c, most
    for _ in range(ROUNDS):
        shifted = a[..., None] * λ + n
        f = c * a - ε - a.square() * (b2 / shifted.square()).sum(-1)
        slope = c - 2 * n * a * (b2 / shifted**3).sum(-1)
        low, high = torch.where(f < 0, a, low), torch.where(f > 0, a, high)
        new = a - f / slope
        inside = (new >= low) & (new <= high) & (slope > 0)
        new = torch.where(inside, new, (low * high).sqrt())
        moved, a = (new - a).abs() > 1e-14 * a, new
        if known(~moved.any()):
            break
    a = torch.where(finite[..., 0], a, torch.nan)[..., 0]
    return _differentiable(a, S, d, prior) if _differentiated(S, d, *prior) else a


def primal_weights(S: Tensor, d: Tensor, prior: Hyperprior) -> Tensor:
    """w (..., 1, member), where J is lowest, by Newton's method from w = 0 and from w S = d.

        J' = (w S - d) Sᵀ + ζ w                    ζ = (N-1) c / (ε + |w|²)
        J'' = S Sᵀ + ζ - 2 ζ wᵀ w / (ε + |w|²)     without the last term where it is not positive

    with steps that are halved until J sinks.
    """
    ε, c = (value[..., None, None] for value in prior)
    λ, V, _ = eigen((S @ S.mT).detach())
    λ, n = λ[..., None, :], S.shape[-2] - 1
    b = d @ S.mT @ V
    z = torch.stack([torch.zeros_like(b), _fitted(b, λ)])  # w in the basis V

    def cost(z: Tensor) -> Tensor:
        fit = 0.5 * (λ * z.square()).sum(-1, keepdim=True) - (b * z).sum(-1, keepdim=True)
        return fit + 0.5 * n * c * (ε + z.square().sum(-1, keepdim=True)).log()

    for _ in range(ROUNDS):
        r = ε + z.square().sum(-1, keepdim=True)
        ζ = n * c / r
        gradient, H = λ * z - b + ζ * z, λ + ζ
        u, k = z / H, 2 * ζ / r
        curved = 1 - k * (z * u).sum(-1, keepdim=True)  # of J'' = H - k zᵀ z, if positive
        step = -gradient / H
        rank_one = k * u * (z * step).sum(-1, keepdim=True) / torch.where(curved > 0, curved, 1.0)
        step = torch.where(curved > 0.01, step + rank_one, step)
        here, t = cost(z), torch.ones_like(ζ)
        for _ in range(HALVINGS):
            enough = cost(z + t * step) <= here + 1e-14 * here.abs()
            if known(enough.all()):
                break
            t = torch.where(enough, t, t / 2)
        z = z + t * step
        if known(~(step.abs() > 1e-13 * (1 + z.abs())).any()):
            break
    return torch.where(cost(z[0]) <= cost(z[1]), *z) @ V.mT


def primal_inflation(S: Tensor, d: Tensor, prior: Hyperprior) -> Tensor:
    """l² = (ε + |w|²) / c (...,) of the w of the primal."""
    w = primal_weights(S.detach(), d.detach(), Hyperprior(*(value.detach() for value in prior)))
    a = (prior.offset.detach() + w.square().sum((-2, -1))) / prior.weight.detach()
    return _differentiable(a, S, d, prior) if _differentiated(S, d, *prior) else a


def finite_size_analysis(
    ensemble: Tensor,
    predicted: Tensor,
    y: Tensor,
    obs_std: Tensor | float,
    certainty: float = 1.0,
    primal: bool = False,
) -> Tensor:
    """The ETKF update of a forecast whose anomalies are l times as large, l of the EnKF-N.

    Arguments and result are those of `etkf.etkf_analysis`, and the `certainty` of the `hyperprior`.
    """
    mean, X = anomalies(ensemble)
    S, d = whiten(predicted, y, obs_std)
    inflation = primal_inflation if primal else dual_inflation
    l = inflation(S, d, hyperprior(S, certainty)).sqrt()[..., None, None]  # noqa: E741
    return mean + (l * transform(l * S, d)).to(X) @ X


@dataclass(frozen=True, kw_only=True)
class EnKFN(EnsembleFilter):
    """Finite-size ensemble Kalman filter; see `finite_size_analysis`. It needs no inflation.

    Attributes:
        certainty: x of the `hyperprior`.
        primal: find the weights by the primal cost in place of the inflation by the dual.
    """

    certainty: float = 1.0
    primal: bool = False

    def __post_init__(self):
        super().__post_init__()
        if not self.certainty > 0:
            raise ValueError(f"certainty is {self.certainty}; give a positive number, 1 or 2")

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        return finite_size_analysis(E, predicted, y, self.obs_std, self.certainty, self.primal)


def _fitted(b: Tensor, λ: Tensor) -> Tensor:
    """b / λ, the weights with w S nearest to d; 0 where λ is round-off."""
    some = λ > 1e-12 * λ.amax(-1, keepdim=True)
    return torch.where(some, b, 0.0) / torch.where(some, λ, 1.0)


def _eigenvalues(S: Tensor) -> Tensor:
    """Λ (..., member) of S Sᵀ."""
    A = S @ S.mT
    finite = A.detach().isfinite().all(-1).all(-1)[..., None]
    λ = torch.linalg.eigvalsh(torch.where(finite[..., None], A, 0.0)).clamp(min=0)
    return torch.where(finite, λ, torch.nan)


def _differentiated(*values: Tensor) -> bool:
    return torch.is_grad_enabled() and any(value.requires_grad for value in values)


def _differentiable(a: Tensor, S: Tensor, d: Tensor, prior: Hyperprior) -> Tensor:
    """The root a with its first and second derivatives: two of Newton's steps, from the root."""
    n = S.shape[-2] - 1
    one = torch.eye(n + 1, dtype=S.dtype, device=S.device)
    for _ in range(2):
        A = S @ S.mT + n / a[..., None, None] * one
        w = torch.linalg.solve_ex(A, d @ S.mT, left=False)[0]
        f = prior.weight * a - prior.offset - w.square().sum((-2, -1))
        along = torch.linalg.solve_ex(A, w, left=False)[0] * n
        a = a - f / (prior.weight - 2 * (w * along).sum((-2, -1)) / a.square())
    return a
