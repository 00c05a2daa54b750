"""The ensemble Kalman smoother: each analysis updates the members of earlier times as well."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.enkf import EnKF
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.etkf import ETKF
from dalib.filters.inflation import AdaptiveInflation, Relaxation
from dalib.filters.rotation import rotated
from dalib.smoothers.base import Smoothed, check_lag, forward, of_ensemble
from dalib.streams import Generator


class Window(NamedTuple):
    """Members (..., member, state) of now, and of the latest analyses, past (..., member, 1 + lag,
    state), the oldest first."""

    members: Tensor
    past: Tensor

    @property
    def mean(self) -> Tensor:
        """(..., state), of now."""
        return Ensemble(self.members).mean

    @property
    def std(self) -> Tensor:
        """(..., state), of now."""
        return Ensemble(self.members).std


@dataclass(frozen=True, kw_only=True)
class EnsembleSmoother(EnsembleFilter):
    """What an ensemble Kalman filter makes of a trajectory (Evensen and van Leeuwen 2000).

    The update of members E is that of members of all times in the window, (E_{k-L}, ..., E_k), of
    which h sees the last: what moves E_k moves the others by their sample covariances with h(E_k).
    Inflation is of the present only. Global: it goes with filters without localisation.

    Attributes:
        lag: L, how many later times each state sees; None for all, which costs time squared.
    """

    lag: int | None = None

    def __post_init__(self):
        check_lag(self.lag)
        if isinstance(self.inflation, AdaptiveInflation):
            raise TypeError("an ensemble smoother takes no AdaptiveInflation; give a number")
        super().__post_init__()

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Window:
        """Members of the prior, which also stand for those before."""
        if self.lag is None:
            raise ValueError("a smoother that filters needs a lag; dalib.smooth takes one without")
        members = super().start(prior, generator).members
        shape = (*members.shape[:-1], self.lag + 1, members.shape[-1])
        return Window(members, members[..., None, :].expand(shape))

    def analyse(self, belief: Window, y: Tensor, generator: Generator) -> Window:
        """All members of the window given y (..., obs), without the oldest, which has settled."""
        E, past = belief.members, belief.past[..., 1:, :]
        size = E.shape[-1]
        trajectory = torch.cat([past.flatten(-2), E], -1)
        trajectory = self.updated(trajectory, self.observe(E), y, generator)
        if isinstance(self.inflation, Relaxation):
            now = self.inflation(trajectory[..., -size:], E, self.reached(E, y).to(E))
            trajectory = torch.cat([trajectory[..., :-size], now], -1)
        if self.rotate:  # members of all times alike, which stay trajectories
            trajectory = rotated(trajectory, generator)
        now = self.inflated(trajectory[..., -size:], E, y)
        past = trajectory[..., :-size].unflatten(-1, past.shape[-2:])
        return Window(now, torch.cat([past, now[..., None, :]], -2))

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
        times = observations.shape[-2]
        lag = times if self.lag is None else min(self.lag, times)
        settled: list[Tensor] = []

        def watch(step) -> None:
            past = step.analysis.past
            settled.append(past if len(settled) == times - 1 else past[..., 0, :])

        given = (replace(self, lag=lag), prior, observations, generator, watch)
        _, analyses, _ = forward(*given, **options)
        *early, last = settled
        members = torch.stack([*early[lag - 1 :], *last.unbind(-2)])
        return of_ensemble(members, analyses, kept)


@dataclass(frozen=True, kw_only=True)
class EnKS(EnsembleSmoother, ETKF):
    """Ensemble Kalman smoother of the ensemble transform Kalman filter."""


@dataclass(frozen=True, kw_only=True)
class StochasticEnKS(EnsembleSmoother, EnKF):
    """Ensemble Kalman smoother of the stochastic filter (Evensen and van Leeuwen 2000)."""
