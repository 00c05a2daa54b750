"""The local ensemble transform Kalman filter: one analysis for each column of a state."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.columns import by_eigenvalues, in_parts, localised, transformed
from dalib.filters.ensemble import EnsembleFilter, whiten
from dalib.filters.linalg import known, plain
from dalib.filters.local import Local, taper_seen
from dalib.filters.places import check_count
from dalib.localise import Localisation
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


@dataclass(frozen=True, kw_only=True)
class LETKF(Local, EnsembleFilter):
    """Local ensemble transform Kalman filter; see `letkf_analysis`.

    Components at the same place are updated together. Between places many columns are transformed
    side by side, by a rational function that is the root to rounding; where derivatives are asked
    for, or weights are given as a matrix, by eigenvalues.

    Attributes:
        localisation: places, distances and weights.
        radius: in place of that of the localisation, so that it can be tuned; None to leave it.
        most: how many observations a column has at most, the nearest that are not missing; of those
            equally far, which is left open. None for all that reach it.
    """

    localisation: Localisation | None = None
    radius: float | None = None
    most: int | None = 61

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.localisation, Localisation):
            raise ValueError(
                "LETKF needs a localisation, such as Ring(4.0).on(40), got "
                f"{type(self.localisation).__name__}; in a configuration "
                "localisation: {kind: ring, radius: 4.0}"
            )
        self._check_radius()
        if self.most is not None and self.most < 1:
            raise ValueError(f"most is {self.most}; a column needs at least 1 observation, or None")

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        if not self._between_places:
            taper = taper_seen(self.localisation, self.observe, E)
            check_count(taper.shape[-1], y)
            E = letkf_analysis(E, predicted, y, self.obs_std, taper)
        elif not known(y.isnan().all()):
            E = self._by_columns(E, predicted, y)
        return E

    def _by_columns(self, E: Tensor, predicted: Tensor, y: Tensor) -> Tensor:
        S, d = whiten(predicted, y, self.obs_std)
        leading = torch.broadcast_shapes(E.shape[:-2], y.shape[:-1])
        slopes = not plain() or E.requires_grad or S.requires_grad or d.requires_grad
        update = by_eigenvalues if slopes else transformed
        flat = [
            value.expand(*leading, -1, -1).reshape(-1, *value.shape[-2:]) for value in (E, S, d)
        ]
        alike = list(self._alike(E, y))
        if len(alike) == 1:
            return in_parts(update, *flat, alike[0][1]).reshape(*leading, *E.shape[-2:])
        updated = torch.cat([in_parts(update, *(v[i] for v in flat), own) for i, own in alike])
        back = torch.cat([series for series, _ in alike]).argsort()
        return updated[back].reshape(*leading, *E.shape[-2:])

    @property
    def _most(self) -> int | None:
        return self.most
