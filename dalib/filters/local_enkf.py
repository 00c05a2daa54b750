"""The local ensemble Kalman filter: perturbed observations, and covariances that reach so far."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Likelihood
from dalib.filters.covariance import CovarianceFilter, check_number
from dalib.filters.ensemble import anomalies, centred_noise, whiten
from dalib.filters.linalg import aside, factor, like, plain, solution
from dalib.filters.local import Local
from dalib.filters.places import check_count
from dalib.streams import Generator, normal


@dataclass(frozen=True, kw_only=True)
class LocalEnKF(Local, CovarianceFilter):
    """Stochastic ensemble Kalman filter with a tapered and scaled covariance, a ρ ∘ P.

    The factor is in the covariance, hence in the gain and the likelihood; the members are not
    spread by it. Between places, the covariances of and with observations are tapered,

        C = I + a ρ ∘ SᵀS / (N-1)
        E <- E + (d - S + ε) C⁻¹ (a ρ ∘ SᵀX) / (N-1)        ε ~ N(0, I)

    with X, S, d of `filters.ensemble` (Houtekamer and Mitchell 2001, eq. 6), for errors that are
    independent; of the second covariance, only what is not zero is formed. The likelihood is that
    of y in N(mean h(E), σ C σ). For observations in their thousands C is large; use `LETKF`.

    With weights that are given as a matrix, and without localisation, the filter is the
    `CovarianceFilter` of C = a ρ ∘ P, with the tangent of h at the mean. Where h selects components
    or is linear the two are the same.

    Attributes:
        scale: a > 0, a number or (...,).
        radius: in place of that of the localisation, so that it can be tuned; None to leave it.
    """

    axes: ClassVar[dict] = {"scale": ()}

    scale: Tensor | float = 1.0
    radius: float | None = None

    def __post_init__(self):
        super().__post_init__()
        self._check_radius()
        check_number("scale", self.scale, lambda a: a > 0, "positive: it scales variances")

    def covariance(self, x: Tensor) -> tuple[None, Tensor | float]:
        """C = 0 + a ρ ∘ P."""
        return None, factor(self.scale, x)

    def scored(
        self, forecast: Ensemble, y: Tensor, generator: Generator
    ) -> tuple[Ensemble, Likelihood]:
        """Members given y (..., obs), and how well they foretold it: one factor of C for both."""
        if not self._between_places:
            return super().scored(forecast, y, generator)
        E = forecast.members
        S, d = whiten(self.observe(E), y, self.obs_std)
        W, likelihood = self._solved(E, S, d - S + self._noise(S, y, generator), d, y)
        W = factor(self.scale, W) * W / (E.shape[-2] - 1)
        if not y.shape[-1]:
            return forecast, likelihood
        leading, X = torch.broadcast_shapes(E.shape[:-2], y.shape[:-1]), anomalies(E)[1]
        flat = (
            value.expand(*leading, -1, -1).reshape(-1, *value.shape[-2:]) for value in (S, X, W)
        )
        S, X, W = flat
        moves = X.new_zeros(X.shape)
        if not plain():  # as many as there are of what is given
            moves = (
                torch.zeros_like(X) + torch.zeros_like(S[..., :1]) + torch.zeros_like(W[..., :1])
            )
        for series, found in self._alike(E, y):
            own = slice(None) if len(series) == len(X) else series
            S_own, X_own, W_own = S[own], X[own], W[own]
            for components, seen, taper in found:
                index = components.flatten()
                covariance = S_own[..., seen].mT @ X_own[..., index].to(S)
                covariance = covariance * taper.to(S).repeat(1, len(components))
                move = (W_own[..., seen] @ covariance).to(E)
                if isinstance(own, slice):
                    moves[..., index] = move
                else:
                    moves[own[:, None], :, index] = move.transpose(1, 2)
        updated = E + moves.reshape(*leading, *E.shape[-2:])
        return self.finished(forecast, updated, y, generator), likelihood

    def likelihood(self, forecast: Ensemble, y: Tensor) -> Likelihood:
        """Of y (..., obs) in N(mean h(E), σ C σ)."""
        if not self._between_places:
            return super().likelihood(forecast, y)
        E = forecast.members
        S, d = whiten(self.observe(E), y, self.obs_std)
        return self._solved(E, S, S[..., :0, :], d, y)[1]

    def _solved(
        self, E: Tensor, S: Tensor, D: Tensor, d: Tensor, y: Tensor
    ) -> tuple[Tensor, Likelihood]:
        """D C⁻¹ and the likelihood of y. A missing y has unit variance and deviates by 0."""
        taper = self._taper(E)
        check_count(taper.shape[-1], y)
        C = factor(self.scale, S) * taper * (S.mT @ S) / (S.shape[-2] - 1)
        C.diagonal(dim1=-2, dim2=-1).add_(1)
        W, misfit, log_det = solution(C, D, d)
        seen, obs_std = ~y.isnan(), like(self.obs_std, d).expand_as(y)
        log_det = log_det + torch.where(seen, 2 * obs_std.log(), 0.0).sum(-1)
        return W, Likelihood(log_det.to(y), misfit.to(y), seen.sum(-1))

    def _noise(self, S: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """ε (..., member, obs); with `positive`, what makes y + σ ε its absolute value."""
        if self.centred:
            noise = centred_noise(S, generator)
        else:
            noise = normal(tuple(S.shape), generator, S.dtype).to(S.device)
        if not self.positive:
            return noise
        y, std = y.nan_to_num().to(S)[..., None, :], like(self.obs_std, S)
        std = std[..., None, :] if std.ndim else std
        return ((y + std * noise).abs() - y) / std

    def _taper(self, E: Tensor) -> Tensor:
        """ρ (obs, obs), or (..., obs, obs) where series differ."""
        with aside():
            points = self._points(self._stand(E))
            return self._known(
                "taper", points, E, lambda: self.reach.weights(points, points).to(E.device)
            )
