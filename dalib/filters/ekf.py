"""The extended Kalman filter: the Kalman filter of the model linearised along its own estimate."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Gaussian
from dalib.filters.kalman import GaussianFilter
from dalib.filters.linalg import jacobian, like, symmetric
from dalib.filters.noise import ModelNoise
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class EKF(ModelNoise, GaussianFilter):
    """Extended Kalman filter (Jazwinski 1970, ch. 8.3).

        m <- M(m)        P <- F P Fᵀ + Q        F = dM/dx at m,  Q = q² I

    and the analysis of the Kalman filter, with h linearised at m, and then P <- a² P.

    Attributes:
        tangent: m -> (M(m), F), the exact tangent of the step over one sampling interval.
        step: M alone; F then comes from torch.func.
        model_error_std: q per sampling interval, a number or (state,), in state units; or Q itself,
            see `noise.ModelNoise`.
        inflation: a, factor on deviations after each analysis (amplitude, a² on the covariance, as
            in ensemble filters), a number or (...,); 1 where nothing was observed.
    """

    tangent: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    step: Callable[[Tensor], Tensor] | None = None
    inflation: Tensor | float = 1.0

    def __post_init__(self):
        if self.tangent is None and self.step is None:
            raise ValueError("the extended Kalman filter needs tangent (x -> (x', F)) or step")

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """One sampling interval."""
        if self.tangent is not None:
            mean, F = self.tangent(belief.mean)
        else:
            mean, F = self._moved(belief.mean), jacobian(self._moved, belief.mean)
        Q = self.noise_covariance(mean)
        return Gaussian(mean, symmetric(F @ belief.cov @ F.mT + Q))

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed; linearised at the mean of the belief."""
        mean, cov = super().analyse(belief, y, generator)
        if isinstance(self.inflation, (int, float)) and self.inflation == 1:
            return Gaussian(mean, cov)
        a = torch.where(y.isnan().all(-1), 1.0, like(self.inflation, cov))
        return Gaussian(mean, a.square()[..., None, None] * cov)

    def _moved(self, x: Tensor) -> Tensor:
        return self.step(x.clone())  # F is that at x, also of a step that works in place
