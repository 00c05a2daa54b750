"""What a smoother is, and the two passes of which most are made.

A smoother is a frozen dataclass with the settings of a filter; it is that filter too, so that
`assimilate` takes it. States are counted from time 0, that of the prior: T observations are of the
times 1 ... T, and T + 1 states are smoothed. Inside, time is the first axis of stacked beliefs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from dalib.filters.assimilation import filtered
from dalib.filters.base import Analyses, Ensemble, Filter, Gaussian
from dalib.filters.checks import check_given
from dalib.filters.cycle import Cycle, Freeze, Step
from dalib.filters.steps import Move, Schedule
from dalib.streams import Generator

Stack = tuple[Tensor, ...]  # parts of beliefs, time first


class Smoothed(NamedTuple):
    """Beliefs over a series given all of its observations: mean and std (..., time, state).

    initial: the belief at time 0, the prior given the observations.
    analyses: those of the filter on the way.
    cov (..., time, state, state), and cross_cov, the covariance of each x_k with x_{k-1}, the first
        with the state at time 0: of Gaussian smoothers, the latter without a lag.
    members (..., time, member, component): of the components that were asked for, of ensembles.

    Where a series diverged, all that depends on its later beliefs is NaN.
    """

    mean: Tensor
    std: Tensor
    initial: Gaussian | Ensemble
    analyses: Analyses
    cov: Tensor | None = None
    cross_cov: Tensor | None = None
    members: Tensor | None = None

    @property
    def diverged_at(self) -> Tensor:
        """(...,), the first time index whose filtered belief diverged, -1 where none did."""
        return self.analyses.diverged_at

    @property
    def diverged(self) -> Tensor:
        """(...,) bool."""
        return self.analyses.diverged


class Smoother(Protocol):
    """What `smooth` runs."""

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        kept: Tensor | None = None,
        **options: Any,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`; `options` are those of `forward`."""


def check_lag(lag: int | None) -> None:
    """A lag counts observation times."""
    if lag is not None and (isinstance(lag, bool) or not isinstance(lag, int) or lag < 1):
        raise ValueError(f"lag={lag!r}; give a whole number of observation times, or None for all")


class Watched(Cycle):
    """A cycle whose steps are seen by `watch`."""

    watch: Callable[[Step], None]

    def advance(self) -> Step:
        """The next time."""
        step = super().advance()
        self.watch(step)
        return step

    def moves(self, k: int) -> tuple[Move, ...]:
        """The calls of the model's step that lead to the k-th observation."""
        return (Move(k, 1.0),) if self.schedule is None else self.schedule[k]

    @property
    def regular(self) -> bool:
        """Whether all times are led to by the same step."""
        return self.schedule is None and not self.wants


def forward(
    filter: Filter,
    prior: Gaussian | Ensemble,
    observations: Tensor,
    generator: Generator | None,
    watch: Callable[[Step], None],
    *,
    progress: bool = False,
    bound: float | None = None,
    diagnostics: bool = False,
    schedule: Schedule | None = None,
) -> tuple[Any, Analyses, Watched]:
    """The filter along the observations: its first belief, its `Analyses`, and what has run.

    `watch` sees each step; the other arguments are those of `dalib.smoothers.smooth`.
    """
    check_given(filter, prior, observations, generator)
    run = Watched(filter, prior, observations, generator, Freeze(bound), schedule)
    run.watch, first = watch, run.belief
    return first, filtered(run, progress=progress, diagnostics=diagnostics), run


def stacked(beliefs: list[tuple]) -> Stack:
    """The parts of beliefs of equal shape, with time as a first axis."""
    parts = zip(*beliefs, strict=True)
    return tuple(torch.stack(torch.broadcast_tensors(*values)) for values in parts)


def backward(states: Stack, step: Callable[[slice, Stack], Stack], lag: int | None) -> Stack:
    """All T + 1 states given the observations until `lag` times later; None for all of them.

    With a lag, all windows of that length go back together, one step for each time of the lag:

        s[k | k + l] = step(k, s[k + 1 | k + l])

    Args:
        states: filtered, time first: s[k | k].
        step: (k, s[k + 1 | ...]) -> s[k | ...], for a slice of times k and as many states.
    """
    T = len(states[0]) - 1
    windows = lag is not None and lag < T
    current = states if windows else tuple(part[-1:] for part in states)
    late = [tuple(part[-1:] for part in states)]  # which see all observations, the last one first
    for back in range(1, (lag if windows else T) + 1):
        if windows:
            current = step(slice(0, T - back + 1), tuple(part[1:] for part in current))
        else:
            current = step(slice(T - back, T - back + 1), current)
        late.append(tuple(part[-1:] for part in current))
    late[-1] = current  # all windows have arrived
    return tuple(torch.cat(parts[::-1]) for parts in zip(*late, strict=True))


def of_ensemble(members: Tensor, analyses: Analyses, kept: Tensor | None) -> Smoothed:
    """From members (time, ..., member, state), the first at time 0."""
    series = members[1:].movedim(0, -3)
    belief = Ensemble(series)
    some = None if kept is None else series[..., kept]
    return Smoothed(belief.mean, belief.std, Ensemble(members[0]), analyses, members=some)
