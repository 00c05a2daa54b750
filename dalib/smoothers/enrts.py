"""The ensemble Rauch-Tung-Striebel smoother: members go back by regression on their forecasts."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.enkf import EnKF
from dalib.filters.ensemble import EnsembleFilter, anomalies
from dalib.filters.etkf import ETKF
from dalib.smoothers.base import Smoothed, Stack, backward, check_lag, forward, of_ensemble
from dalib.streams import Generator


class Gains(NamedTuple):
    """X'⁺ (..., state, member) of forecasts and X (..., member, state) of the analyses before."""

    inverse: Tensor
    anomalies: Tensor

    def __call__(self, change: Tensor) -> Tensor:
        """change X'⁺ X, (..., member, state); of matrices no larger than the smaller space."""
        members, state = self.anomalies.shape[-2:]
        if members > state:
            return change.double() @ (self.inverse @ self.anomalies)
        return (change.double() @ self.inverse) @ self.anomalies


def gains(analysis: Tensor, forecast: Tensor) -> Gains:
    """Of members (..., member, state) before and after a step, in float64; NaN where a forecast is
    not finite."""
    X, later = (anomalies(value.double())[1] for value in (analysis, forecast))
    finite = later.isfinite().all(-1).all(-1)[..., None, None]
    inverse = torch.linalg.pinv(torch.where(finite, later, 0.0))
    return Gains(torch.where(finite, inverse, float("nan")), X)


@dataclass(frozen=True, kw_only=True)
class EnsembleBackwardPass(EnsembleFilter):
    """The backward pass over the members of an ensemble filter (Raanes 2016, eq. 26).

        E_k <- E_k + r (E_{k+1} - E'_{k+1}) X'⁺_{k+1} X_k

    with the forecasts E' and anomalies X. Global: it goes with filters without localisation.

    Attributes:
        lag: how many later times each state sees; None for all. All windows go back together.
        correlation: r, a factor on the gain for one interval, below 1 against spurious correlations
            of small ensembles.
    """

    lag: int | None = None
    correlation: float = 1.0

    def __post_init__(self):
        check_lag(self.lag)
        if not 0 <= self.correlation <= 1:
            raise ValueError(f"correlation={self.correlation}; give a factor from 0 to 1")
        super().__post_init__()

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        kept: Tensor | None = None,
        **options: Any,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`."""
        forecasts: list[Tensor] = []
        found: list[Tensor] = []

        def watch(step) -> None:
            forecasts.append(step.forecast.members)
            found.append(step.analysis.members)

        given = (self, prior, observations, generator, watch)
        first, analyses, _ = forward(*given, **options)
        E, later = torch.stack([first.members, *found]), torch.stack(forecasts)
        back = gains(E[:-1], later)

        def step(k: slice, states: Stack) -> Stack:
            change = Gains(*(part[k] for part in back))(states[0] - later[k])
            return (E[:-1][k] + self.correlation * change.to(E),)

        return of_ensemble(*backward((E,), step, self.lag), analyses, kept)


@dataclass(frozen=True, kw_only=True)
class EnRTS(EnsembleBackwardPass, ETKF):
    """Ensemble RTS smoother of the ensemble transform Kalman filter."""


@dataclass(frozen=True, kw_only=True)
class StochasticEnRTS(EnsembleBackwardPass, EnKF):
    """Ensemble RTS smoother of the stochastic filter."""
