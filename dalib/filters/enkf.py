"""Ensemble Kalman filters that move each member by a gain: stochastic and deterministic."""

from dataclasses import dataclass

from torch import Tensor

from dalib.filters.ensemble import EnsembleFilter, centred_noise, moved, whiten
from dalib.filters.linalg import plain
from dalib.streams import Generator


def enkf_analysis(
    ensemble: Tensor, predicted: Tensor, y: Tensor, obs_std: Tensor | float, generator: Generator
) -> Tensor:
    """Stochastic update, each member with a perturbed observation (Burgers et al. 1998).

        E <- E + (d - S + ε) Sᵀ (S Sᵀ + N-1)⁻¹ X        ε ~ N(0, I), centred over the members

    with X, S, d of `filters.ensemble`. The mean is exactly that of the Kalman update of the sample
    moments, the covariance in expectation.

    Args:
        ensemble: (..., member, state), prior states.
        predicted: (..., member, obs), the same members seen through the observation operator.
        y: (..., obs), the observation; NaN where missing.
        obs_std: a number or (obs,), of independent errors, in the units of y.
        generator: draws ε.

    Returns:
        (..., member, state), posterior states.
    """
    S, d = whiten(predicted, y, obs_std)
    noise = centred_noise(S, generator)
    if plain():
        D = noise.sub_(S).add_(d)  # in place: large arrays cost their memory
    else:
        D = noise - S + d
    return moved(ensemble, predicted, y, obs_std, D, S)


def denkf_analysis(
    ensemble: Tensor, predicted: Tensor, y: Tensor, obs_std: Tensor | float
) -> Tensor:
    """Deterministic update, half the gain for the anomalies (Sakov and Oke 2008, eq. 14-15).

        E <- E + (d - ½ S) Sᵀ (S Sᵀ + N-1)⁻¹ X

    with X, S, d of `filters.ensemble`; arguments and result as in `enkf_analysis`. The covariance
    exceeds that of the Kalman update by ¼ K H P Hᵀ Kᵀ.
    """
    S, d = whiten(predicted, y, obs_std)
    return moved(ensemble, predicted, y, obs_std, d - S / 2, S)


@dataclass(frozen=True, kw_only=True)
class EnKF(EnsembleFilter):
    """Stochastic ensemble Kalman filter; see `enkf_analysis`."""

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        return enkf_analysis(E, predicted, y, self.obs_std, generator)


@dataclass(frozen=True, kw_only=True)
class DEnKF(EnsembleFilter):
    """Deterministic ensemble Kalman filter; see `denkf_analysis`."""

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        return denkf_analysis(E, predicted, y, self.obs_std)
