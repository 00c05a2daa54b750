"""Inflation of ensembles beside a constant factor: relaxation to the prior, and adaptive.

Each is given to a filter in the place of its `inflation`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble
from dalib.filters.linalg import like
from dalib.filters.local import taper_seen


class Relaxation:
    """Anomalies that partly return to what they were before the analysis.

    A subclass is called with members E (..., member, state), the `forecast` that they were, and the
    share (..., 1) or (..., state) of components that observations reach.
    """

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(
                f"a relaxation has the weight {self.weight}; give 0, for none, to 1, for the prior"
            )


@dataclass(frozen=True)
class RTPS(Relaxation):
    """Relaxation to prior spread (Whitaker and Hamill 2012, eq. 2).

        X <- X [1 + α (σ_f - σ_a) / σ_a]

    with the standard deviations σ of each component in forecast and analysis.

    Attributes:
        weight: α in [0, 1].
    """

    weight: float

    def __call__(self, E: Tensor, forecast: Tensor, share: Tensor) -> Tensor:
        """(..., member, state)."""
        before, after = Ensemble(forecast).std, Ensemble(E).std
        certain = after == 0  # and stays so
        ratio = torch.where(certain, 1.0, before) / torch.where(certain, 1.0, after)
        factor = 1 + self.weight * share * (ratio - 1)
        return torch.lerp(E.mean(-2, keepdim=True), E, factor[..., None, :])


@dataclass(frozen=True)
class RTPP(Relaxation):
    """Relaxation to prior perturbations (Zhang et al. 2004, eq. 5).

        X_a <- (1 - α) X_a + α X_f

    Attributes:
        weight: α in [0, 1].
    """

    weight: float

    def __call__(self, E: Tensor, forecast: Tensor, share: Tensor) -> Tensor:
        """(..., member, state)."""
        mean, before = E.mean(-2, keepdim=True), forecast.mean(-2, keepdim=True)
        return torch.lerp(E, forecast - before + mean, (self.weight * share)[..., None, :])


class Inflated(NamedTuple):
    """Equally likely states with what is known of their inflation.

    members (..., member, state), as inflated; inflation λ (..., state), of their variance.
    """

    members: Tensor
    inflation: Tensor

    @property
    def mean(self) -> Tensor:
        """(..., state)."""
        return Ensemble(self.members).mean

    @property
    def cov(self) -> Tensor:
        """(..., state, state), divisor N-1."""
        return Ensemble(self.members).cov

    @property
    def std(self) -> Tensor:
        """(..., state), divisor N-1."""
        return Ensemble(self.members).std

    def inflated(self, E: Tensor) -> "Inflated":
        """With members E (..., member, state) of a forecast, their variance λ times as large."""
        mean = E.mean(-2, keepdim=True)
        return self._replace(members=torch.lerp(mean, E, self.inflation.sqrt()[..., None, :]))


@dataclass(frozen=True)
class AdaptiveInflation:
    """Inflation of the forecast in each component, learned from innovations (Anderson 2009).

    The variance inflation λ_i has the prior N(λ̄_i, s²). An innovation D of an observation with
    variance r, seen by the forecast with variance σ² before it was inflated, has

        θ² = [1 + γ (√λ - 1)]² σ² + r        p(D | λ) ∝ θ⁻¹ exp(-D² / 2 θ²)
        γ = ρ |c|                            c: correlation of component and observation

    With the slope g of log p at λ̄ (eq. A.6) the mode of N(λ̄, s²) (1 + g (λ - λ̄)) is

        λ <- λ̄ + 2 g s² / (1 + √(1 + 4 g² s²))

    for one observation after the other. Before each forecast λ returns to 1 by `damping`.

    Attributes:
        std: s, constant (the paper's sec. 4d).
        damping: share of λ - 1 that stays from one time to the next.
        lowest: bound on λ from below.
    """

    std: float = 0.6
    damping: float = 0.9
    lowest: float = 1.0

    def __post_init__(self) -> None:
        if not (self.std > 0 and 0 <= self.damping <= 1 and 0 < self.lowest <= 1):
            raise ValueError(
                f"adaptive inflation with std={self.std}, damping={self.damping} and "
                f"lowest={self.lowest}; std is positive, damping in [0, 1], lowest in (0, 1]"
            )

    def begin(self, belief: Ensemble) -> Inflated:
        """Members that are not yet inflated."""
        return Inflated(belief.members, torch.ones_like(belief.members[..., 0, :]))

    def learned(self, forecast: Inflated, filter, y: Tensor) -> Inflated:
        """The forecast with λ of the next time, given y (..., obs) and the filter's operator."""
        E, predicted = forecast.members, filter.observe(forecast.members)
        gone = y.isnan()
        predicted = torch.where(gone[..., None, :], 0.0, predicted)
        X, Y = E - E.mean(-2, keepdim=True), predicted - predicted.mean(-2, keepdim=True)
        D2 = (y.nan_to_num() - predicted.mean(-2)).square()
        variance = Y.square().sum(-2) / (E.shape[-2] - 1)
        r = like(filter.obs_std, y).square().expand_as(y)
        useful = ~gone & (variance > 0)
        γ = self._shares(filter, X, Y, useful)
        λ = forecast.inflation
        for j in range(y.shape[-1]):
            new = self._mode(
                λ, γ[..., j], variance[..., j, None], D2[..., j, None], r[..., j, None]
            )
            λ = torch.where(useful[..., j, None], new, λ)
        λ = (1 + self.damping * (λ - 1)).clamp(min=self.lowest)
        return forecast._replace(inflation=λ)

    def _shares(self, filter, X: Tensor, Y: Tensor, useful: Tensor) -> Tensor:
        """γ (..., state, obs)."""
        x2, y2 = X.square().sum(-2)[..., :, None], Y.square().sum(-2)[..., None, :]
        known = (x2 > 0) & useful[..., None, :]
        c = (X.mT @ Y).abs() / torch.where(known, x2 * y2, 1.0).sqrt()
        γ = torch.where(known, c, 0.0).clamp(max=1)
        localisation = getattr(filter, "localisation", None)
        if localisation is None:
            return γ
        radius = getattr(filter, "radius", None)
        return γ * taper_seen(localisation.within(radius), filter.observe, X)

    def _mode(self, λ: Tensor, γ: Tensor, variance: Tensor, D2: Tensor, r: Tensor) -> Tensor:
        """(..., state); `variance` is that of the inflated forecast."""
        root = λ.sqrt()
        share = 1 + γ * (root - 1)
        σ2 = variance / share.square()
        θ2 = variance + r
        slope = 0.5 * σ2 * γ * share / root  # θ dθ/dλ
        g = (D2 / θ2 - 1) * slope / θ2
        s2 = self.std**2
        return (λ + 2 * g * s2 / (1 + (1 + 4 * g.square() * s2).sqrt())).clamp(min=self.lowest)
