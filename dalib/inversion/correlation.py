"""Localisation without places: by the correlations of parameters and predictions."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.localise import gaspari_cohn


@dataclass(frozen=True)
class CorrelationTaper:
    """Weights of a gain by how far correlations c stand out of their noise (Luo and Bhakta 2020).

        ρ = g[(1 - |c|) / (1 - θ)]        θ = min(1, τ / √N)

    with g of Gaspari and Cohn: 1 at |c| = 1, 0.2 at |c| = θ, 0 at 2θ - 1. Correlations of N
    members that have none vary by 1 / √N.

    Attributes:
        threshold: τ, in these standard deviations.
        hard: 1 where |c| > θ and 0 elsewhere, in the place of g.
    """

    threshold: float = 3.0
    hard: bool = False

    def __call__(self, X: Tensor, Y: Tensor) -> Tensor:
        """ρ (..., parameter, obs) of anomalies (..., member, parameter) and (..., member, obs)."""
        x2, y2 = X.square().sum(-2)[..., :, None], Y.square().sum(-2)[..., None, :]
        known = (x2 > 0) & (y2 > 0)
        c = torch.where(known, (X.mT @ Y).abs() / torch.where(known, x2 * y2, 1.0).sqrt(), 0.0)
        θ = min(1.0, self.threshold / math.sqrt(X.shape[-2]))
        if self.hard:
            return (c > θ).to(X)
        return gaspari_cohn((1 - c).clamp(min=0) / max(1 - θ, 1e-12))
