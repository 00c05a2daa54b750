"""The ensemble Kalman smoother: each analysis updates the members of earlier times as well."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.enkf import EnKF
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.etkf import ETKF
from dalib.smoothers.base import Smoothed, check_lag, forward, of_ensemble
from dalib.streams import Generator


class Window(NamedTuple):
    """Members (..., member, state) of now, and of the `lag` times before: past (..., member, lag,
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
        super().__post_init__()

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Window:
        """Members of the prior, which also stand for those before."""
        if self.lag is None:
            raise ValueError("a smoother that filters needs a lag; dalib.smooth takes one without")
        members = super().start(prior, generator).members
        return Window(members, members[..., None, :].expand(*members.shape[:-1], self.lag, -1))

    def forecast(self, belief: Window, generator: Generator) -> Window:
        """One sampling interval, which the window moves on."""
        members = super().forecast(Ensemble(belief.members), generator).members
        past = torch.cat([belief.past[..., 1:, :], belief.members[..., None, :]], -2)
        return Window(members, past)

    def analyse(self, belief: Window, y: Tensor, generator: Generator) -> Window:
        """All members of the window given y (..., obs)."""
        E, past = belief
        trajectory = torch.cat([past.flatten(-2), E], -1)
        moved = self.updated(trajectory, self.observe(E), y, generator)
        size = E.shape[-1]
        now = self.inflated(moved[..., -size:], E, y)
        return Window(now, moved[..., :-size].unflatten(-1, past.shape[-2:]))

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        progress: bool = False,
        bound: float | None = None,
        kept: Tensor | None = None,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`."""
        times = observations.shape[-2]
        lag = times if self.lag is None else min(self.lag, times)
        smoother, windows = replace(self, lag=lag), []

        def watch(step) -> None:
            windows.append(step.analysis if len(windows) == times - 1 else oldest(step.analysis))

        given = (smoother, prior, observations, generator, watch)
        _, analyses = forward(*given, progress=progress, bound=bound)
        *early, last = windows
        settled = [oldest(last), *last.past.unbind(-2)[1:], last.members]
        return of_ensemble(torch.stack([*early[lag - 1 :], *settled]), analyses, kept)


def oldest(belief: Window) -> Tensor:
    """(..., member, state), which no later observation moves."""
    return belief.past[..., 0, :]


@dataclass(frozen=True, kw_only=True)
class EnKS(EnsembleSmoother, ETKF):
    """Ensemble Kalman smoother of the ensemble transform Kalman filter."""


@dataclass(frozen=True, kw_only=True)
class StochasticEnKS(EnsembleSmoother, EnKF):
    """Ensemble Kalman smoother of the stochastic filter (Evensen and van Leeuwen 2000)."""
