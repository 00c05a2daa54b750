"""Serial ensemble filters: one observation after the other, by regression (Anderson 2003).

An observation y_j is first assimilated by what the members predict of it, whitened, of which the
anomalies are s (member,). What moves these predictions, δ (member,), moves all components and all
predictions by linear regression,

    E <- E + δ sᵀX / sᵀs        S <- S + δ sᵀS / sᵀs

with X, S of `filters.ensemble`, before the next observation is taken. With a localisation these
coefficients are tapered by ρ between y_j and what is moved. Filters differ in δ alone.

Observation errors are independent.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.ensemble import EnsembleFilter, anomalies, centred_noise, whiten
from dalib.filters.local import Local, stand_of, taper_seen
from dalib.filters.places import check_count
from dalib.localise import Localisation
from dalib.streams import Generator


@dataclass(frozen=True, kw_only=True)
class SerialFilter(Local, EnsembleFilter):
    """What serial filters share; a subclass says how one observation moves its predictions.

    Attributes:
        localisation: places, distances and weights, or None for ρ = 1.
        radius: in place of that of the localisation, so that it can be tuned; None to leave it.
    """

    localisation: Localisation | None = None
    radius: float | None = None

    def __post_init__(self):
        super().__post_init__()
        self._check_radius()

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        mean, X = anomalies(E.double())
        S, d = whiten(predicted, y, self.obs_std)
        noise, ρ, Z = self.noise(S, generator), self._tapers(E, y), torch.cat([X, S], -1)
        first = X.shape[-1]
        for j in range(y.shape[-1]):
            moved = Z[..., first + j]  # deviations from the mean of the forecast
            s = moved - moved.mean(-1, keepdim=True)
            δ = self.increments(s, d[..., 0, j] - moved.mean(-1), noise[..., j])
            squares = s.square().sum(-1)[..., None, None]
            known = squares > 0
            slope = s[..., None, :] @ Z / torch.where(known, squares, 1.0)
            if ρ is not None:
                slope = slope * ρ[..., None, :, j]
            Z = torch.addcmul(Z, torch.where(known, δ[..., None], 0.0), slope)
        return (mean + Z[..., :first]).to(E)

    def increments(self, s: Tensor, d: Tensor, noise: Tensor) -> Tensor:
        """δ (..., member) of predictions s (..., member), less their mean.

        d (...,) is the innovation of their mean, whose error has variance 1, and `noise`
        (..., member) what `noise` gave for this observation.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how predictions are moved")

    def noise(self, S: Tensor, generator: Generator) -> Tensor:
        """(..., member, obs), what `increments` needs; none by default."""
        return S

    def _tapers(self, E: Tensor, y: Tensor) -> Tensor | None:
        """ρ (..., state + obs, obs) between components or observations, and observations."""
        where = self.localisation
        if where is None:
            return None
        if self._between_places:
            points = self._points(self._stand(E))
            check_count(points.shape[-2], y)

            def made() -> Tensor:
                places = where.places.to(points).expand(*points.shape[:-2], -1, -1)
                both = torch.cat([places, points], -2)
                return self.reach.weights(both, points).to(E.device)

            return self._known("serial", points, E, made)
        ρ, place = taper_seen(where, self.observe, E), stand_of(where, self.observe, E)
        check_count(ρ.shape[-1], y)
        rows = place[..., :, None].expand(*place.shape, ρ.shape[-1])
        leading = torch.broadcast_shapes(rows.shape[:-2], ρ.shape[:-2])
        ρ, rows = (v.expand(*leading, -1, -1) for v in (ρ, rows))
        return torch.cat([ρ, ρ.gather(-2, rows)], -2).double()


@dataclass(frozen=True, kw_only=True)
class SerialEnSRF(SerialFilter):
    """Serial square root filter (Whitaker and Hamill 2002), the EAKF (Anderson 2001) of one y_j.

        v = sᵀs / (N-1)        δ = v / (1 + v) d + [(1 + v)^-½ - 1] s

    For linear h and without localisation, mean and covariance are those of the Kalman update of the
    sample moments, whatever the order of the observations.
    """

    def increments(self, s: Tensor, d: Tensor, noise: Tensor) -> Tensor:
        """δ (..., member)."""
        v = s.square().sum(-1, keepdim=True) / (s.shape[-1] - 1)
        return v / (1 + v) * d[..., None] + ((1 + v).rsqrt() - 1) * s


@dataclass(frozen=True, kw_only=True)
class SerialEnKF(SerialFilter):
    """Serial filter with perturbed observations (Houtekamer and Mitchell 2001).

    δ = v / (1 + v) (d - s + ε)        ε ~ N(0, 1), centred over the members
    """

    def increments(self, s: Tensor, d: Tensor, noise: Tensor) -> Tensor:
        """δ (..., member)."""
        v = s.square().sum(-1, keepdim=True) / (s.shape[-1] - 1)
        return v / (1 + v) * (d[..., None] - s + noise)

    def noise(self, S: Tensor, generator: Generator) -> Tensor:
        """ε (..., member, obs)."""
        return centred_noise(S, generator)
