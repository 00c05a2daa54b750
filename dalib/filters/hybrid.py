"""Hybrid of a fixed and a flow-dependent covariance."""

from dataclasses import dataclass

from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.ensemble import EnsembleFilter, centred_noise
from dalib.filters.kalman import (
    error_cov,
    gain,
    log_likelihood,
    observation_matrix,
    without_missing,
)
from dalib.filters.linalg import check_covariance, like
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class Ens3DVar(EnsembleFilter):
    """Hybrid ensemble-3DVar with perturbed observations (Hamill and Snyder 2000, eq. 6).

        C = (1 - w) a B + w ρ ∘ P        P: sample covariance of the members
        E <- E + (y + σ ε - h(E)) Kᵀ     K = C Hᵀ (H C Hᵀ + R)⁻¹,  ε ~ N(0, I), centred

    with H the tangent of h at the ensemble mean. For linear h the mean of weight 0 is the 3DVar
    analysis of the forecast mean, weight 1 without taper is the stochastic EnKF.

    Attributes:
        background: a `Gaussian`, of which the covariance B is used.
        background_scale: a, a factor on it.
        weight: w in [0, 1], of the ensemble.
        taper: ρ (state, state), or None for no localisation.
    """

    background: Gaussian
    background_scale: float = 1.0
    weight: float = 0.5
    taper: Tensor | None = None

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Ensemble:
        """Members of the prior."""
        check_covariance(self.background.cov, "the background covariance")
        return super().start(prior, generator)

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        mean, C = self._moments(E)
        noise = centred_noise(predicted, generator)
        D = (y[..., None, :] - predicted + noise * like(self.obs_std, y)).nan_to_num()
        H = observation_matrix(self.observe, mean)
        _, H, R = without_missing(y, H, error_cov(self.obs_std, y))
        return E + D @ gain(C, H, R).mT

    def log_likelihood(self, forecast: Ensemble, y: Tensor) -> Tensor:
        """(...,), log-density of y under a Gaussian with the ensemble mean and covariance C."""
        mean, C = self._moments(forecast.members)
        H = observation_matrix(self.observe, mean)
        innovation = y - self.observe(mean)
        return log_likelihood(Gaussian(mean, C), innovation, H, error_cov(self.obs_std, y))

    def _moments(self, E: Tensor) -> tuple[Tensor, Tensor]:
        mean, P = Ensemble(E).mean, Ensemble(E).cov
        localised = P if self.taper is None else self.taper * P
        fixed = self.background_scale * self.background.cov
        return mean, (1 - self.weight) * fixed + self.weight * localised
