"""Ensemble Kalman filters that draw what would be observed, so that errors may be of any kind."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.ensemble import EnsembleFilter, anomalies
from dalib.filters.linalg import like
from dalib.streams import Generator, normal


def conditioned(E: Tensor, drawn: Tensor, y: Tensor) -> Tensor:
    """Members (..., member, state) given y (..., 1, obs), as if all were jointly Gaussian.

        E <- E + (y - ŷ) C_ŷŷ⁻¹ C_ŷx

    with sample covariances of members and of drawn observations ŷ (..., member, obs); the inverse
    is that of least squares where there are fewer members than values (Malik and Maulik 2024,
    arXiv:2409.14300; Matheron's rule). Columns of ŷ that do not vary count for nothing.
    """
    X, Y = anomalies(E)[1], anomalies(drawn)[1].double()
    D, inverse = (y - drawn).double(), torch.linalg.pinv(Y)
    if Y.shape[-1] <= Y.shape[-2]:  # the smaller of two matrices between
        return E + D.to(X) @ (inverse.to(X) @ X)
    return E + (D @ inverse).to(X) @ X


@dataclass(frozen=True, kw_only=True)
class CGEnKF(EnsembleFilter):
    """Conditional Gaussian EnKF, see `conditioned`: errors need not be additive nor Gaussian.

        ŷ_n = perturb(h(x_n))        by default h(x_n) + σ ε_n

    Attributes:
        perturb: (predicted (..., member, obs), generator) -> the same shape, one observation of
            each member with an error of the kind that y has; None for σ ε.
        obs_std: σ; with `perturb`, what `likelihood` and diagnostics take for the errors.
    """

    perturb: Callable[[Tensor, Generator], Tensor] | None = None

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        return conditioned(E, *self._drawn(predicted, y, generator))

    def _drawn(self, predicted: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """ŷ (..., member, obs) in float64 and y (..., 1, obs), both 0 where y is missing."""
        if self.perturb is None:
            noise = normal(tuple(predicted.shape), generator, predicted.dtype).to(predicted.device)
            drawn = predicted.double() + like(self.obs_std, y.double()) * noise
        else:
            drawn = self.perturb(predicted, generator)
            if not isinstance(drawn, Tensor) or drawn.shape != predicted.shape:
                found = getattr(drawn, "shape", type(drawn).__name__)
                raise ValueError(
                    f"perturb() turns predicted observations of shape {tuple(predicted.shape)} "
                    f"into {found}; it has to keep it"
                )
        seen = ~y.isnan()[..., None, :]
        return torch.where(seen, drawn, 0.0), y.nan_to_num()[..., None, :].to(drawn)


@dataclass(frozen=True, kw_only=True)
class NSEnKF(CGEnKF):
    """Normal-score EnKF: `conditioned` of variables that are made Gaussian one by one.

        z = Φ⁻¹(F(x)) with F the distribution of the members, ζ likewise of ŷ, y by that of ŷ
        z <- z + (ζ(y) - ζ) C_ζζ⁻¹ C_ζz        x <- F⁻¹(Φ(z))

    (Zhou et al. 2011; Malik and Maulik 2024.) F has (n - ½)/N at the n-th member and is linear in
    between, in z; beyond the outer members x goes on as σ z, σ the standard deviation (ours). Of a
    linear Gaussian problem with many members it is the conditional Gaussian filter.
    """

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        drawn, y = self._drawn(predicted, y, generator)
        table, seen = Scores(E), Scores(drawn)
        z = conditioned(table.of_members(), seen.of_members(), seen.scores(y))
        return torch.where((z == table.of_members()).all(-2, keepdim=True), E, table.values(z))


class Scores:
    """Members (..., member, value) sorted, and the normal scores of their ranks."""

    def __init__(self, members: Tensor) -> None:
        N = members.shape[-2]
        columns = members.mT
        self.sorted, self.order = columns.sort(-1)
        levels = (torch.arange(N, dtype=members.dtype, device=members.device) + 0.5) / N
        self.levels = torch.special.ndtri(levels).expand_as(columns).contiguous()
        deviation = columns - columns.mean(-1, keepdim=True)
        self.std = (deviation.square().sum(-1, keepdim=True) / (N - 1)).clamp(min=1e-30).sqrt()

    def of_members(self) -> Tensor:
        """(..., member, value), z of the members themselves; 0 where they are all alike."""
        z = torch.empty_like(self.levels).scatter(-1, self.order, self.levels)
        varies = self.sorted[..., -1:] > self.sorted[..., :1]
        return torch.where(varies, z, 0.0).mT

    def scores(self, x: Tensor) -> Tensor:
        """z of values (..., n, value)."""
        return _between(self.sorted, self.levels, x.mT, 1 / self.std).mT

    def values(self, z: Tensor) -> Tensor:
        """x of scores (..., n, value)."""
        return _between(self.levels, self.sorted, z.mT, self.std).mT


def _between(at: Tensor, values: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    """Values at x (..., n), linear between ascending places `at` (..., N), with `slope` outside."""
    N = at.shape[-1]
    x = x.expand(*at.shape[:-1], x.shape[-1])
    upper = torch.searchsorted(at.detach().contiguous(), x.detach().contiguous()).clamp(1, N - 1)
    lower = upper - 1
    x0, x1 = at.gather(-1, lower), at.gather(-1, upper)
    v0, v1 = values.gather(-1, lower), values.gather(-1, upper)
    gap = x1 - x0
    share = (x - x0) / torch.where(gap > 0, gap, 1.0)
    inside = v0 + share * (v1 - v0)
    low, high = x < at[..., :1], x > at[..., -1:]
    below = values[..., :1] + slope * (x - at[..., :1])
    above = values[..., -1:] + slope * (x - at[..., -1:])
    return torch.where(low, below, torch.where(high, above, inside))
