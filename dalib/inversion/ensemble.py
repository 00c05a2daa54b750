"""Ensemble inversion: parameters from all observations at once, by runs of the model alone."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.ensemble import anomalies, centred_noise, draw_members, increments
from dalib.filters.etkf import transform
from dalib.filters.linalg import check_covariance, cholesky, like
from dalib.inversion.correlation import CorrelationTaper
from dalib.streams import Generator

logger = logging.getLogger(__name__)


class Inversion:
    """What inversions share: a gain from the sample covariances of parameters and predictions.

    With anomalies X of the parameters and Y of the predictions g(E), and errors of covariance α R,

        K = XᵀY [YᵀY + (N-1) α R]⁻¹            ρ ∘ K with a localisation

    in the smaller of the spaces of members and observations.
    """

    localisation: Tensor | CorrelationTaper | None
    deterministic: bool

    def taper(self, X: Tensor, Y: Tensor) -> Tensor | None:
        """ρ (..., parameter, obs), None for 1."""
        where = self.localisation
        if where is None or isinstance(where, Tensor):
            return where
        return where(X, Y)


@dataclass(frozen=True, kw_only=True)
class ESMDA(Inversion):
    """Ensemble smoother with multiple data assimilation (Emerick and Reynolds 2013).

        E <- E + (y + √α_i ε - g(E)) Kᵀ        ε ~ N(0, R)        Σ_i 1 / α_i = 1

    with the gain K of errors α_i R. In the linear case the result is that of one assimilation, and
    with many members the conditional Gaussian. Of one step it is the ensemble smoother.

    Attributes:
        steps: how many assimilations, each with α = `steps`; or α_1, α_2 ... themselves.
        localisation: weights (parameter, obs) of the gain, or a `CorrelationTaper`.
        deterministic: a symmetric square root of the update of the anomalies (ETKF) in the place of
            perturbed observations; not with a localisation.
    """

    steps: int | Sequence[float] = 4
    localisation: Tensor | CorrelationTaper | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) and abs(sum(1 / a for a in self.steps) - 1) > 1e-6:
            raise ValueError(
                f"the inverses of steps={tuple(self.steps)} have the sum "
                f"{sum(1 / a for a in self.steps):.4g}; it has to be 1, or y is used more than once"
            )
        if isinstance(self.steps, int) and self.steps < 1:
            raise ValueError(f"steps is {self.steps}; give 1 or more")
        if self.deterministic and self.localisation is not None:
            raise ValueError("a deterministic update takes no localisation; give perturbed ones")

    def inverted(
        self, forward: Callable, E: Tensor, y: Tensor, root: Tensor, generator: Generator
    ) -> Tensor:
        """(..., member, parameter) after all steps; `root` (obs, obs) is L of R = L Lᵀ."""
        steps = [float(self.steps)] * self.steps if isinstance(self.steps, int) else self.steps
        for α in steps:
            E, g = valid(E, forward(E))
            E = updated(self, E, g, y, root, α, generator)
        return E


@dataclass(frozen=True, kw_only=True)
class EKI(Inversion):
    """Ensemble Kalman inversion (Iglesias, Law and Stuart 2013) with a step that is chosen.

    The step from one to the next is that of `ESMDA` with α of the data misfit controller (Iglesias
    and Yang 2021, eq. 24): with the misfits Φ_n = ½ |y - g(E_n)|²_R of the members,

        1 / α = min{max[M / 2<Φ>, √(M / 2 var Φ)], 1 - Σ 1/α_i}

    of M observations, until Σ 1/α_i = 1. So it samples the posterior where ensembles can (linear g,
    many members), in as many steps as the problem asks for; `beyond` goes on towards the best fit.

    Attributes:
        localisation, deterministic: as of `ESMDA`.
        most: steps at most.
        beyond: Σ 1/α_i at which it stops; 1 for the posterior, more to come nearer to the data.
    """

    localisation: Tensor | CorrelationTaper | None = None
    deterministic: bool = False
    most: int = 50
    beyond: float = 1.0

    def __post_init__(self) -> None:
        if self.deterministic and self.localisation is not None:
            raise ValueError("a deterministic update takes no localisation; give perturbed ones")

    def inverted(
        self, forward: Callable, E: Tensor, y: Tensor, root: Tensor, generator: Generator
    ) -> Tensor:
        """(..., member, parameter); series that have arrived stand still."""
        passed = E.new_zeros(E.shape[:-2])
        for _ in range(self.most):
            E, g = valid(E, forward(E))
            share = self._share(g, y, root).minimum(self.beyond - passed)
            moving = share > 1e-12
            if not moving.any():
                return E
            α = 1 / torch.where(moving, share, 1.0)
            new = updated(self, E, g, y, root, α[..., None, None], generator)
            E = torch.where(moving[..., None, None], new, E)
            passed = passed + torch.where(moving, share, 0.0)
        if (passed < self.beyond - 1e-9).any():
            logger.warning(
                "EKI: %d steps came to %.3g of %g; more steps (most=), or a smaller prior",
                *(self.most, passed.min().item(), self.beyond),
            )
        return E

    def _share(self, g: Tensor, y: Tensor, root: Tensor) -> Tensor:
        """1 / α (...,)."""
        seen = ~y.isnan()
        r = torch.linalg.solve_triangular(root, _residual(g, y).mT, upper=False)
        Φ, M = 0.5 * r.square().sum(-2), seen.sum(-1).to(g)
        return torch.maximum(M / (2 * Φ.mean(-1)), (M / (2 * Φ.var(-1))).sqrt())


def invert(
    method: ESMDA | EKI,
    forward: Callable[[Tensor], Tensor],
    prior: Gaussian | Ensemble,
    y: Tensor,
    obs_error: Tensor | float,
    generator: Generator,
    *,
    members: int = 100,
) -> Ensemble:
    """Members of the posterior of parameters x of y = g(x) + N(0, R).

    Args:
        forward: g, (..., parameter) -> (..., obs); torch, or `black_box`.
        prior: `Gaussian`, of which members are drawn, or an `Ensemble`; leading axes are series.
        y: (..., obs), NaN where missing.
        obs_error: a number or (obs,), standard deviations, or R (obs, obs).
        members: how many are drawn of a Gaussian.
    """
    if isinstance(prior, Ensemble):
        members = prior.members.shape[-2]
    E = draw_members(prior, members, generator)
    root = _root(obs_error, y)
    return Ensemble(method.inverted(forward, E, y, root, generator))


def updated(
    method: Inversion,
    E: Tensor,
    g: Tensor,
    y: Tensor,
    root: Tensor,
    α: Tensor | float,
    generator: Generator,
) -> Tensor:
    """E (..., member, parameter) given y (..., obs) with errors of covariance α R, R = L Lᵀ.

    In units of the errors, with S = Y L⁻ᵀ / √α, the increments are D Sᵀ (S Sᵀ + N-1)⁻¹ X.
    """
    mean, X = anomalies(E)
    scale = torch.as_tensor(α, dtype=E.dtype).sqrt()
    white = torch.linalg.solve_triangular(root, _residual(g, y).mT, upper=False).mT / scale
    d, D = anomalies(white)  # y - g of the mean, and -S
    S = -D
    if method.deterministic:
        return mean + transform(S.double(), d.double()).to(E) @ X
    D = D + d + torch.where(y.isnan()[..., None, :], 0.0, centred_noise(S, generator))
    ρ = method.taper(X, S)
    if ρ is None:
        return E + increments(D.double(), S.double(), X)
    n = X.shape[-2] - 1
    C = S.mT @ S + n * torch.eye(S.shape[-1], dtype=S.dtype)
    K = torch.cholesky_solve(S.mT @ X, cholesky(C)).mT  # (..., parameter, obs), of whitened y
    return E + D @ (like(ρ, K) * K).mT


def valid(E: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Members and predictions, those of runs that failed drawn anew from the others.

    What failed is replaced by a copy of a member that did not, in turn, so that the count stays.

    Raises:
        ValueError: fewer than two of a series are left.
    """
    good = g.isfinite().all(-1)
    if good.all():
        return E, g
    left = good.sum(-1)
    if (left < 2).any():
        raise ValueError(
            f"only {int(left.min())} of {E.shape[-2]} runs gave finite values; two at least are "
            "needed, and far more for a covariance: is the prior inside of what the model takes?"
        )
    logger.warning("%d of %d runs failed and were left out", int((~good).sum()), good.numel())
    order = (~good).to(torch.int8).argsort(dim=-1, stable=True)  # those that are good come first
    place = torch.arange(E.shape[-2]).expand(good.shape)
    chosen = torch.where(good, place, order.gather(-1, place % left[..., None]))[..., None]
    E, g = (v.gather(-2, chosen.expand(*chosen.shape[:-1], v.shape[-1])) for v in (E, g))
    return E, g


def _residual(g: Tensor, y: Tensor) -> Tensor:
    """y - g (..., member, obs), 0 where y is missing."""
    return torch.where(y.isnan()[..., None, :], 0.0, y[..., None, :] - g)


def _root(obs_error: Tensor | float, y: Tensor) -> Tensor:
    """L (obs, obs) of R = L Lᵀ."""
    error = torch.as_tensor(obs_error, dtype=y.dtype)
    if error.ndim == 2 and error.shape != (y.shape[-1],) * 2:
        raise ValueError(f"R has shape {tuple(error.shape)}, but y has {y.shape[-1]} values")
    if error.ndim < 2:
        if not (error > 0).all():
            raise ValueError("standard deviations of observations have to be positive")
        return error.expand(y.shape[-1]).diag_embed()
    if y.isnan().any():
        raise ValueError("a matrix R takes no missing values; leave them out of y, g and R")
    return torch.linalg.cholesky(check_covariance(error, "R"))
