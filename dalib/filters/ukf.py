"""Kalman filters that see the model at sigma points: unscented and cubature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Gaussian
from dalib.filters.ekf import NonlinearGaussianFilter
from dalib.filters.kalman import Transition, error_cov
from dalib.filters.sigma_points import Rule, cubature, regression, unscented


@dataclass(frozen=True, kw_only=True)
class SigmaPointFilter(NonlinearGaussianFilter):
    """The Kalman filter of the `regression` of step and operator on the belief before each.

        m <- μ_M        P <- F P Fᵀ + Ω_M + Q        H, Ω_h of h in the forecast
        K = P Hᵀ (H P Hᵀ + Ω_h + R)⁻¹        m <- m + K (y - μ_h)        P <- a² (P - K S Kᵀ)

    Covariances are in Joseph's form. No derivative of step or operator is needed.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
    """

    step: Callable[[Tensor], Tensor]

    def rule(self, n: int) -> Rule:
        """Sigma points and weights for n components."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its points are")

    def transition(self, belief: Gaussian) -> Transition:
        """Of the regression of the step."""
        mean, F, error = regression(self.step, belief, self.rule(belief.mean.shape[-1]))
        Q = error.to(mean) + self.noise_covariance(mean)
        return Transition(mean, F.to(mean), Q)

    def innovation(self, belief: Gaussian, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """y - μ_h, H, Ω_h + R, which values are observed."""
        seen = ~y.isnan()
        mean, H, error = regression(self.observe, belief, self.rule(belief.mean.shape[-1]), seen)
        innovation = torch.where(seen, y - mean, 0.0)
        return innovation, H, error + error_cov(self.obs_std, y).double(), seen


@dataclass(frozen=True, kw_only=True)
class UKF(SigmaPointFilter):
    """Unscented Kalman filter (Julier and Uhlmann 1997) with scaled sigma points, see `unscented`.

    Attributes:
        alpha, beta, kappa: the points are √(α² (n + κ)) standard deviations away; β = 2 is best for
            Gaussian beliefs. With the α = 1 and κ >= 0 here no weight is negative, so that
            covariances stay positive definite; a small α looks closer around the mean.
    """

    alpha: float = 1.0
    beta: float = 2.0
    kappa: float = 0.0

    def rule(self, n: int) -> Rule:
        """2n + 1 points."""
        return unscented(n, self.alpha, self.beta, self.kappa)


@dataclass(frozen=True, kw_only=True)
class CubatureKalman(SigmaPointFilter):
    """Cubature Kalman filter (Arasaratnam and Haykin 2009): 2n points of equal weight."""

    def rule(self, n: int) -> Rule:
        """2n points."""
        return cubature(n)
