"""Hybrid of a fixed and a flow-dependent covariance."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.covariance import CovarianceFilter, check_number
from dalib.filters.linalg import check_background, factor, like
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class Ens3DVar(CovarianceFilter):
    """Hybrid ensemble-3DVar with perturbed observations (Hamill and Snyder 2000, eq. 6).

        C = (1 - w) a B + w b ρ ∘ P        P: sample covariance of the members

    and the update of a `CovarianceFilter`. For linear h and centred noise the mean of weight 0 is
    the 3DVar analysis of the forecast mean; weight 1 without taper is the stochastic EnKF.

    Attributes:
        background: a `Gaussian`, of which the covariance B (..., state, state) is used.
        background_scale: a, a factor on it, a number or (...,).
        weight: w in [0, 1], of the ensemble, a number or (...,).
        ensemble_scale: b > 0, a factor on the sample covariance, a number or (...,).
    """

    axes: ClassVar[dict] = {"background_scale": (), "weight": (), "ensemble_scale": ()}

    background: Gaussian
    background_scale: Tensor | float = 1.0
    weight: Tensor | float = 0.5
    ensemble_scale: Tensor | float = 1.0

    def __post_init__(self):
        super().__post_init__()
        check_number("weight", self.weight, lambda w: 0 <= w <= 1, "in [0, 1], of the ensemble")
        for name in ("background_scale", "ensemble_scale"):
            check_number(
                name, getattr(self, name), lambda a: a > 0, "positive: it scales variances"
            )

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Ensemble:
        """Members of the prior."""
        check_background(self.background.cov)
        return super().start(prior, generator)

    def covariance(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """(1 - w) a B and w b."""
        w, a = factor(self.weight, x), factor(self.background_scale, x)
        return (1 - w) * a * like(self.background.cov, x), w * factor(self.ensemble_scale, x)
