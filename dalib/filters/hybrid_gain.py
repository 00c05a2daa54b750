"""The hybrid gain: an ensemble analysis whose mean is corrected once more by a fixed covariance."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.covariance import check_number
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.etkf import etkf_analysis
from dalib.filters.kalman import apply, error_cov, gain, observation_matrix, without_missing
from dalib.filters.linalg import check_background, factor, like
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class HybridGain(EnsembleFilter):
    """ETKF with a hybrid gain (Penny 2014, algorithm of sec. 2b).

        E <- ETKF(E)                    m: its mean
        E <- E + w K (y - h(m))         K = B Hᵀ (H B Hᵀ + R)⁻¹,  B = a C

    so that the gain of the mean is K_e + w K (I - H K_e) with K_e that of the ensemble; the
    anomalies are those of the ETKF. With w = 0 it is the ETKF; members that cannot see an error,
    since they are few, leave it to the fixed covariance.

    Attributes:
        background: a `Gaussian`, of which the covariance C (..., state, state) is used.
        background_scale: a, a factor on it, a number or (...,).
        weight: w in [0, 1], of the fixed gain.
    """

    axes: ClassVar[dict] = {"background_scale": (), "weight": ()}

    background: Gaussian
    background_scale: Tensor | float = 1.0
    weight: Tensor | float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_number("weight", self.weight, lambda w: 0 <= w <= 1, "in [0, 1], of the fixed gain")
        positive = "positive: it scales variances"
        check_number("background_scale", self.background_scale, lambda a: a > 0, positive)

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Ensemble:
        """Members of the prior."""
        check_background(self.background.cov)
        return super().start(prior, generator)

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        E = etkf_analysis(E, predicted, y, self.obs_std)
        m = E.mean(-2)
        H, R = observation_matrix(self.observe, m), error_cov(self.obs_std, y)
        d, H, R = without_missing(y - self.observe(m), H, R, ~y.isnan())
        B = factor(self.background_scale, m) * like(self.background.cov, m)
        K = gain(B.double(), H.double(), R.double())
        move = apply(factor(self.weight, K) * K, d.double()).to(E)
        return E + move[..., None, :]
