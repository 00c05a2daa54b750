"""The local ensemble transform Kalman filter: one analysis for each state component."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib.filters.ensemble import EnsembleFilter, anomalies, whiten
from dalib.filters.etkf import rotated, transform
from dalib.filters.linalg import like
from dalib.filters.places import check_count, places_of
from dalib.streams import Generator


def letkf_analysis(
    ensemble: Tensor, predicted: Tensor, y: Tensor, obs_std: Tensor | float, taper: Tensor
) -> Tensor:
    """Local update (Hunt et al. 2007, sec. 3): at component i the precision of y_j is ρ_ij / σ_j².

        E_i <- mean_i + (w + W) X_i        w + W: `etkf.transform` of S √ρ_i and d √ρ_i

    All components are one batch. With ρ = 1 this is the ETKF.

    Args:
        ensemble: (..., member, state), prior states.
        predicted: (..., member, obs), the same members seen through the observation operator.
        y: (..., obs), the observation; NaN where missing.
        obs_std: a number or (obs,), of independent errors, in the units of y.
        taper: (..., state, obs), ρ >= 0.

    Returns:
        (..., member, state), posterior states.
    """
    return localised(ensemble, *whiten(predicted, y, obs_std), taper)


def localised(ensemble: Tensor, S: Tensor, d: Tensor, taper: Tensor) -> Tensor:
    """`letkf_analysis`, from S (..., member, obs) and d (..., 1, obs) of `filters.ensemble`."""
    mean, X = anomalies(ensemble)
    taper = taper.to(S)
    root = torch.where(taper > 0, taper, 1.0).sqrt() * (taper > 0)  # no slope where it is zero
    root = root[..., :, None, :]
    weights = transform(S[..., None, :, :] * root, d[..., None, :, :] * root)
    return mean + (weights @ X.mT[..., None].to(S))[..., 0].mT.to(X)


@dataclass(frozen=True, kw_only=True)
class LETKF(EnsembleFilter):
    """Local ensemble transform Kalman filter; see `letkf_analysis`.

    Attributes:
        taper: (..., state, state), ρ between the places of state components.
        obs_places: (obs,), the component at whose place each observation stands; None for that
            which its operator looks at (see `filters.places`).
        rotate: as in the ETKF, the same rotation everywhere.
    """

    axes: ClassVar[dict] = {"taper": ("state", "state")}

    taper: Tensor | None = None
    obs_places: Tensor | None = None
    rotate: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.taper is None:
            raise ValueError(
                "the LETKF needs a taper (state, state), e.g. Ring(4.0)(sites, sites, size); "
                "in a configuration localisation: {kind: ring, radius: 4.0}"
            )

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        taper = self._taper(E)
        check_count(taper.shape[-1], y)
        E = letkf_analysis(E, predicted, y, self.obs_std, taper)
        return rotated(E, generator) if self.rotate else E

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., state), min(1, Σ_j ρ_ij) over the y_j that are not missing."""
        taper = self._taper(forecast)
        return (taper * ~y.isnan()[..., None, :]).sum(-1).clamp(max=1)

    def _taper(self, E: Tensor) -> Tensor:
        """ρ (..., state, obs)."""
        if self.taper.shape[-2:] != (E.shape[-1],) * 2:
            raise ValueError(
                f"the taper is between state components, ({E.shape[-1]}, {E.shape[-1]}); got "
                f"{tuple(self.taper.shape)}"
            )
        place, taper = places_of(self.observe, self.obs_places, E), like(self.taper, E)
        if place.is_floating_point():
            raise ValueError(
                "obs_places are points; the LETKF with a taper between components takes the "
                "components at which observations stand, LocalLETKF takes points"
            )
        if place.ndim == 1:
            return taper[..., place]
        place = place[..., None, :].expand(*place.shape[:-1], taper.shape[-1], -1)
        return taper.expand(*place.shape[:-2], -1, -1).gather(-1, place)  # each series its own
