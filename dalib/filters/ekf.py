"""The extended Kalman filter: the Kalman filter of the model linearised along its own estimate."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Gaussian
from dalib.filters.kalman import (
    GaussianFilter,
    Transition,
    error_cov,
    observation_matrix,
    update,
)
from dalib.filters.linalg import jacobian, like
from dalib.filters.noise import ModelNoise
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class NonlinearGaussianFilter(ModelNoise, GaussianFilter):
    """What Gaussian filters of nonlinear models share: additive noise, and inflation.

    Attributes:
        model_error_std: q per sampling interval, a number or (state,), in state units; or Q itself,
            see `noise.ModelNoise`.
        inflation: a, factor on deviations after each analysis (amplitude, a² on the covariance, as
            in ensemble filters), a number or (...,); 1 where nothing was observed.
    """

    inflation: Tensor | float = 1.0

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed, and then P <- a² P."""
        return self.inflated(super().analyse(belief, y, generator), y)

    def inflated(self, analysis: Gaussian, y: Tensor) -> Gaussian:
        """The analysis of y (..., obs) with P <- a² P."""
        if isinstance(self.inflation, (int, float)) and self.inflation == 1:
            return analysis
        mean, cov = analysis
        a = torch.where(y.isnan().all(-1), 1.0, like(self.inflation, cov))
        return Gaussian(mean, a.square()[..., None, None] * cov)


@dataclass(frozen=True, kw_only=True)
class EKF(NonlinearGaussianFilter):
    """Extended Kalman filter (Jazwinski 1970, ch. 8.3).

        m <- M(m)        P <- F P Fᵀ + Q        F = dM/dx at m,  Q = q² I

    and the analysis of the Kalman filter, with h linearised at m, and then P <- a² P.

    Attributes:
        tangent: m -> (M(m), F), the exact tangent of the step over one sampling interval.
        step: M alone; F then comes from torch.func.
    """

    tangent: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    step: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.tangent is None and self.step is None:
            raise ValueError("the extended Kalman filter needs tangent (x -> (x', F)) or step")

    def transition(self, belief: Gaussian) -> Transition:
        """M(m), F and Q."""
        if self.tangent is not None:
            mean, F = self.tangent(belief.mean)
        else:
            mean, F = self._moved(belief.mean), jacobian(self._moved, belief.mean)
        return Transition(mean, F, self.noise_covariance(mean))

    def _moved(self, x: Tensor) -> Tensor:
        return self.step(x.clone())  # F is that at x, also of a step that works in place


@dataclass(frozen=True, kw_only=True)
class IteratedEKF(EKF):
    """Iterated extended Kalman filter: the analysis is the mode (Bell and Cathey 1993).

        x_0 = m        x_{i+1} = m + K_i (y - h(x_i) - H_i (m - x_i))

    with the tangent H_i of h at x_i and its gain K_i: Gauss-Newton steps to the minimum of
    |x - m|² / P + |y - h(x)|² / R. P is that of the last tangent. Forecast and likelihood are those
    of the extended filter, which this one is with one iteration.

    Attributes:
        iterations: of Gauss-Newton; of a linear h the first is exact.
    """

    iterations: int = 5

    def __post_init__(self):
        super().__post_init__()
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}; the analysis needs at least 1")

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed; linearised at the analysis itself."""
        found, seen = belief, ~y.isnan()
        R = error_cov(self.obs_std, y)
        for _ in range(self.iterations):
            x = found.mean
            H = observation_matrix(self.observe, x)
            back = (H @ (belief.mean - x)[..., None])[..., 0]
            found = update(belief, y - self.observe(x) - back, H, R, seen)
        return self.inflated(found, y)
