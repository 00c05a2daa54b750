"""Particle filters that look at y before they move: the optimal proposal, and the auxiliary filter.

Both need noise in the model. A belief keeps where particles were before that noise, x̂_n = M(x_n).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian, Likelihood, Weighted
from dalib.filters.kalman import observation_matrix
from dalib.filters.linalg import like
from dalib.filters.particle import BootstrapParticle, _take, _without_lost
from dalib.filters.resampling import CHOICES, TRANSPORT
from dalib.streams import Generator

NONLINEAR = 1e-4  # of what is observed: more than rounding in single precision


class Proposed(NamedTuple):
    """A `Weighted` belief that also has `centres` (..., member, state), before the model noise."""

    members: Tensor
    log_weights: Tensor
    dropped: Tensor
    centres: Tensor

    mean = Weighted.mean
    std = Weighted.std
    alike = Weighted.alike


@dataclass(frozen=True, kw_only=True)
class _Proposing(BootstrapParticle):
    """A bootstrap filter that keeps centres."""

    def __post_init__(self):
        super().__post_init__()
        if self.perfect and not self.jitter_std > 0:
            raise ValueError(
                f"{type(self).__name__} proposes where model noise may carry particles, but "
                f"model_error_std is {self.model_error_std}; give a positive one, or use a "
                "bootstrap particle filter, to which it comes down without noise"
            )

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Proposed:
        """Equally weighted particles of the prior."""
        if isinstance(prior, Proposed):
            return prior
        belief = super().start(prior, generator)
        return Proposed(*belief, belief.members)

    def forecast(self, belief: Proposed, generator: Generator) -> Proposed:
        """Resample if needed, then one sampling interval."""
        belief = self.resample(belief, generator)
        centres = self.step(belief.members)
        moved = Weighted(self.moved(centres, generator), belief.log_weights, belief.dropped)
        found = _without_lost(moved)
        if found is not moved:
            alive = centres.isfinite().all(-1, keepdim=True)
            centres = torch.where(alive, centres, found.members)
        return Proposed(*found, centres)


@dataclass(frozen=True, kw_only=True)
class OptimalParticle(_Proposing):
    """Particles drawn given y, of which weights do not depend (Doucet et al. 2000, sec. II.D).

    For additive noise Q = s² and linear observations y = H x + e, with S = H Q Hᵀ + R and
    K = Q Hᵀ S⁻¹,

        x_n ~ p(x | x̂_n, y) = N(x̂_n + K (y - H x̂_n), (1 - K H) Q)
        w_n ~ w_n p(y | x̂_n) = w_n N(y; H x̂_n, S)

    the former as x̃_n + K (y - e_n - H x̃_n), from the particle x̃_n = x̂_n + s ξ_n of the forecast
    and an error e_n that is drawn. Of all proposals the one with the least variance of weights. An
    operator that is not linear is refused.
    """

    def analyse(self, belief: Proposed, y: Tensor, generator: Generator) -> Proposed:
        """Particles and weights given y (..., obs)."""
        HQ, seen, L = self._predicted(belief, y)
        misfit, _ = self._misfit(belief, y, seen, L)
        e = like(self.obs_std, y) * self._normal(self.observe(belief.members), generator)
        d = y.nan_to_num()[..., None, :] - e - self.observe(belief.members)
        d = torch.where(seen[..., None, :], d, 0.0)
        members = belief.members + torch.cholesky_solve(d.mT, L).mT @ HQ
        log_weights = (belief.log_weights - 0.5 * misfit).log_softmax(-1)
        return Proposed(members, log_weights, belief.dropped, members)

    def likelihood(self, forecast: Proposed, y: Tensor) -> Likelihood:
        """Of y (..., obs): Σ w_n N(y; H x̂_n, S), with noise integrated out."""
        _, seen, L = self._predicted(forecast, y)
        misfit, log_det = self._misfit(forecast, y, seen, L)
        exponent = (forecast.log_weights - 0.5 * misfit).logsumexp(-1)
        return Likelihood(log_det, -2 * exponent, seen.sum(-1))

    def _predicted(self, belief: Proposed, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """H Q (..., obs, state), seen (..., obs), and the Cholesky factor of S.

        Of what is missing, rows of H are 0 and those of R the identity's.
        """
        middle = Weighted(belief.centres, belief.log_weights).mean
        H = observation_matrix(self.observe, middle)
        self._check_linear(H, middle, belief.centres)
        seen = ~y.isnan()
        H = torch.where(seen[..., None], H, 0.0)
        if self.correlated:
            HQ = H @ self.noise_covariance(middle)
        else:
            HQ = H * self._noise_std(middle).square()
        R = torch.where(seen, like(self.obs_std, y).square(), 1.0)
        return HQ, seen, torch.linalg.cholesky(HQ @ H.mT + R.diag_embed())

    def _misfit(
        self, belief: Proposed, y: Tensor, seen: Tensor, L: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(y - H x̂)ᵀ S⁻¹ (y - H x̂) (..., member), and log det S (...,)."""
        d = y.nan_to_num()[..., None, :] - self.observe(belief.centres)
        d = torch.where(seen[..., None, :], d, 0.0)
        white = torch.linalg.solve_triangular(L, d.mT, upper=False)
        return white.square().sum(-2), 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @torch.no_grad()
    def _check_linear(self, H: Tensor, middle: Tensor, centres: Tensor) -> None:
        apart = (centres - middle[..., None, :]) @ H.mT
        found = self.observe(centres) - self.observe(middle)[..., None, :]
        off, size = (found - apart).abs(), found.abs().amax()
        if (off > NONLINEAR * size).any():
            raise ValueError(
                "the optimal proposal needs linear observations, and observe() is off its "
                f"tangent by {off.nan_to_num().max().item():.3g}; use the auxiliary or bootstrap "
                "particle filter"
            )


@dataclass(frozen=True, kw_only=True)
class AuxiliaryParticle(_Proposing):
    """Particles chosen by how likely y is where they are about to go (Pitt and Shephard 1999).

    λ_n ~ w_n p(y | x̂_n)        i(n) drawn from λ        x_n = x̂_i(n) + s ξ_n
    w_n ~ p(y | x_n) / p(y | x̂_i(n))
    """

    def __post_init__(self):
        super().__post_init__()
        if self.resampling == TRANSPORT:
            raise ValueError(
                "an auxiliary filter chooses particles; transport moves them: give resampling "
                f"{', '.join(CHOICES)}"
            )

    def analyse(self, belief: Proposed, y: Tensor, generator: Generator) -> Proposed:
        """Particles and weights given y (..., obs)."""
        before, _, _ = self._errors(belief.centres, y)
        first = (belief.log_weights - 0.5 * before).log_softmax(-1)
        index = CHOICES[self.resampling](first.detach(), generator)
        centres = _take(belief.centres, index)
        members = self.moved(centres, generator)
        after, _, _ = self._errors(members, y)
        log_weights = (0.5 * (before.gather(-1, index) - after)).log_softmax(-1)

        some = (~y.isnan()).any(-1)[..., None]
        members = torch.where(some[..., None], members, belief.members)
        log_weights = torch.where(some, log_weights, belief.log_weights)
        return Proposed(members, log_weights, belief.dropped, members)
