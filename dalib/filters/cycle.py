"""The one loop that runs every filter, and what it does with what diverges.

A policy for divergence is `Freeze`, `Raise` or `Reset`; `Open` looks at nothing. Its `guard` sees
each forecast before its analysis, and each analysis before the next forecast.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Filter, Gaussian, Weighted, at, scored
from dalib.filters.checks import (
    check_given,
    check_observe,
    check_some,
    check_step,
    explain,
    forecast_of,
)
from dalib.filters.linalg import plain, shared
from dalib.filters.steps import Move, Schedule, moving, wanted
from dalib.streams import Generator

BOUND = 1e8  # times the prior's largest value: a mean beyond has left any system we filter


class Step(NamedTuple):
    """One time of a filter.

    forecast, analysis: beliefs, as the policy shows them.
    belief: the one to go on with.
    judged: what was found beside the analysis, such as a `Likelihood`; None where nothing was.
    lost (...,): bool, which seeds have diverged, at this time or, with `Freeze`, before.
    """

    forecast: Any
    analysis: Any
    belief: Any
    judged: Any
    lost: Tensor | None


def analysed(filter: Filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """The analysis, and nothing beside it."""
    return filter.analyse(forecast, y, generator), None


def passage(
    filter: Filter,
    belief,
    times: Iterable[int],
    ys: Iterable[Tensor],
    generator: Generator,
    guard,
    *,
    judge: Callable = analysed,
    forecast: Callable = forecast_of,
) -> Iterator[Step]:
    """Forecast and analysis at each of `times`, from the belief before them.

        forecast = guard.before(M(belief))
        analysis, judged = judge(forecast, y)
        belief = guard.after(analysis, judged)

    Args:
        ys: y (..., obs) of each time.
        guard: of a policy; `guard.before` gives the forecast to analyse and the one to show,
            `guard.after` the belief to go on with and the one to show.
        judge: (filter, forecast, y, generator) -> (analysis, judged).
        forecast: (filter, belief, generator) -> forecast; by default one that refuses a step()
            that works in place.
    """
    for k, y in zip(times, ys, strict=True):
        now = at(filter, k)
        given, shown = guard.before(forecast(now, belief, generator))
        analysis, judged = judge(now, given, y, generator)
        belief, found = guard.after(analysis, judged)
        yield Step(shown, found, belief, judged, guard.lost)


# -- policies ------------------------------------------------------------------------------------


class Open:
    """Nothing is looked at; forecast states are clamped to ± `limit` where there is one."""

    judge = staticmethod(analysed)
    lost = None

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit

    def before(self, forecast) -> tuple:
        """The forecast with states within the limit, twice."""
        forecast = clamped(forecast, self.limit)
        return forecast, forecast

    def after(self, analysis, judged) -> tuple:
        """The analysis, twice."""
        return analysis, analysis


class Blind:
    """Nothing is looked at, since `torch.func` does not show values."""

    def guard(self, first, prior) -> Open:
        """That of no policy."""
        return Open()


@dataclass(frozen=True)
class Freeze:
    """What diverges is NaN from then on; inside, the belief at time 0 takes its place, so that no
    NaN meets the algebra of the other seeds.

    A seed diverges when its belief is no longer finite or its mean leaves [-bound, bound], by
    default 1e8 times the largest value or standard deviation of the prior, and at least 1e8.
    """

    bound: float | None = None

    def guard(self, first, prior) -> "Frozen":
        """For beliefs that start with `first`, of a prior (..., state)."""
        bound = BOUND * _largest(prior).clamp(min=1) if self.bound is None else self.bound
        return Frozen(first, bound)


class Frozen:
    """Which seeds are lost so far."""

    judge = staticmethod(analysed)

    def __init__(self, first, bound: float | Tensor) -> None:
        self.first, self.bound = first, bound
        mean = first.mean
        self.lost = torch.zeros(mean.shape[:-1], dtype=torch.bool, device=mean.device)
        self.far, self.partly = self.lost, self.lost  # by the bound; while other members are finite

    def before(self, forecast) -> tuple:
        """The forecast, with the first belief and with NaN where a seed is lost."""
        self._lose(forecast)
        shown = _replaced(forecast, self.lost, float("nan"))
        return _replaced(forecast, self.lost, self.first), shown

    def after(self, analysis, judged) -> tuple:
        """The analysis, with the first belief and with NaN where a seed is lost."""
        self._lose(analysis)
        shown = _replaced(analysis, self.lost, float("nan"))
        return _replaced(analysis, self.lost, self.first), shown

    def _lose(self, belief) -> None:
        strayed = _strayed(belief, self.bound)
        if strayed.any():
            finite = belief.mean.isfinite().all(-1)
            self.far = self.far | (strayed & finite & ~self.lost)
            if isinstance(belief, Ensemble):
                alive = belief.members.isfinite().all(-1).any(-1)
                self.partly = self.partly | (strayed & ~finite & alive & ~self.lost)
            self.lost = self.lost | strayed


@dataclass(frozen=True)
class Raise(Freeze):
    """What diverges, as `Freeze` has it, is an error."""

    def guard(self, first, prior) -> "Raising":
        """For beliefs that start with `first`, of a prior (..., state)."""
        return Raising(first, super().guard(first, prior).bound)


class Raising(Frozen):
    """Raises at the first seed that is lost."""

    def _lose(self, belief) -> None:
        super()._lose(belief)
        if self.lost.any():
            which = "by a mean beyond the bound" if self.far.any() else "not finite"
            raise FloatingPointError(
                f"{int(self.lost.sum())} of {self.lost.numel()} seeds diverged, {which}; "
                "divergence=Freeze() goes on with the others"
            )


@dataclass(frozen=True)
class Reset:
    """What diverges starts again from its belief at time 0.

    A seed diverges when its innovation d is more than `threshold` standard deviations away,
    dᵀ S⁻¹ d > threshold², or when its analysis or likelihood is not finite. Forecast states are
    clamped to ± `limit`; None for no limit.
    """

    threshold: float = 1e3
    limit: float | None = None

    def guard(self, first, prior) -> "Resetting":
        """For beliefs that start with `first`."""
        return Resetting(first, self)


class Resetting(Open):
    """Which seeds started again at the latest time."""

    judge = staticmethod(scored)

    def __init__(self, first, policy: Reset) -> None:
        super().__init__(policy.limit)
        self.first, self.threshold = first, policy.threshold

    def after(self, analysis, judged) -> tuple:
        """The analysis, with the first belief where a seed is lost."""
        self.lost = lost(analysis[0], judged.log_det, judged.misfit, self.threshold)
        belief = restarted(analysis, self.first, self.lost)
        return belief, belief


def clamped(belief, limit: float | None):
    """The belief with states within ± limit."""
    if limit is None:
        return belief
    return belief._replace(**{belief._fields[0]: belief[0].clamp(-limit, limit)})


@torch.no_grad()
def lost(states: Tensor, score: Tensor, distance: Tensor, threshold: float) -> Tensor:
    """(...,) bool: analysed states (..., [member,] state) or the score (...,) are not finite,
    or the squared distance dᵀ S⁻¹ d of the innovation is above that of `threshold`.
    """
    total = states.flatten(score.ndim).sum(-1) + score  # of one infinity or NaN, not finite
    return ~(total.isfinite() & (distance <= threshold**2))


def restarted(belief, first, lost: Tensor):
    """The belief, where lost (...,) is true the `first` in its place."""

    def choose(other: Tensor, own: Tensor) -> Tensor:
        return torch.where(lost.reshape(*lost.shape, *[1] * (own.ndim - lost.ndim)), other, own)

    return type(belief)(*map(choose, first, belief))


# -- the loop ------------------------------------------------------------------------------------


def cycle(
    filter: Filter,
    prior,
    observations: Tensor,
    generator: Generator,
    *,
    divergence: Freeze | Raise | Reset = Freeze(),  # noqa: B008
    schedule: Schedule | None = None,
) -> Iterator[tuple]:
    """Yield (forecast, analysis) for each time of `observations` (..., time, obs).

    The prior is at time 0, the first observation one sampling interval later, unless the `schedule`
    has other calls of the step. A `step` may work in place; prior and beliefs stay as they are.
    What diverges is frozen, starts again or is an error, as `divergence` says.
    """
    check_given(filter, prior, observations, generator)
    given = (filter, prior, observations, generator, divergence, schedule)
    return (step[:2] for step in Cycle(*given).steps())


def first_belief(filter: Filter, prior, generator: Generator):
    """The belief to begin with: that of a prior, or one that a filter had before, as it was.

    Weighted states are a prior of as many equally likely ones to a filter without weights.
    """
    if isinstance(prior, Weighted) and not hasattr(filter, "resample"):
        prior = Ensemble(prior.alike())
    if isinstance(prior, Gaussian | Ensemble):
        return filter.start(prior, generator)
    return prior


class Cycle:
    """A filter under way along its observations: all that changes from time to time."""

    def __init__(
        self,
        filter: Filter,
        prior,
        observations: Tensor,
        generator: Generator,
        divergence: Freeze | Raise | Reset,
        schedule: Schedule | None = None,
    ) -> None:
        observations = observations.to(prior[0].dtype)
        self.filter, self.observations, self.generator = filter, observations, generator
        self.prior, prior = prior, _expanded(prior, observations.shape[:-2])
        self.time, self.times = 0, observations.shape[-2]
        self.schedule, self.wants = schedule, wanted(filter)
        self.belief = first_belief(filter, prior, generator)
        self.guard = divergence.guard(self.belief, prior)
        if self.guard.judge is scored and not hasattr(filter, "likelihood"):
            raise TypeError(
                f"{type(filter).__name__} does not say how likely an observation is, by which "
                "Reset() finds what diverges; give divergence=Freeze() or Raise()"
            )
        self.begun, self.in_place = False, False
        if plain():
            check_observe(at(filter, 0).observe, self.belief.mean, observations)
            check_some(observations)

    def steps(self) -> Iterator[Step]:
        """All times that are left."""
        while self.time < self.times:
            yield self.advance()

    def advance(self) -> Step:
        """The next time."""
        begun = self.begun
        try:
            return self._advanced()
        except Exception as error:
            if not begun:
                explain(at(self.filter, self.time), self.belief, error)
            raise

    def _advanced(self) -> Step:
        y = self.observations[..., self.time, :]
        given = (self.filter, self.belief, [self.time], [y], self.generator, self.guard)
        (step,) = passage(*given, judge=self.guard.judge, forecast=self._forecast)
        self.belief, self.time = step.belief, self.time + 1
        return step

    def _forecast(self, now: Filter, belief, generator: Generator):
        """The forecast of the belief, by as many steps as lead to the present time."""
        if self.schedule is None and not self.wants:
            return self._moved(now, belief, generator)
        moves = [Move(self.time, 1.0)] if self.schedule is None else self.schedule[self.time]
        for move in moves:
            belief = self._moved(moving(now, self.wants, move, generator), belief, generator)
        return belief

    def _moved(self, now: Filter, belief, generator: Generator):
        """One step later; the belief stays as it is whatever step() does to its argument."""
        if not plain():
            return now.forecast(_copied(belief), generator)
        given = belief
        if self.in_place or not self.begun:
            given = _copied(given)
        before = _changes(given)
        forecast = now.forecast(given, generator)
        if not self.begun:
            check_step(belief.mean, forecast.mean)
            self.in_place = _changes(given) != before or not _equal(given, belief)
            self.begun = True
        elif not self.in_place and _changes(given) != before:
            raise ValueError(
                f"step() changed the states it was given at time {self.time}, and not before; let "
                "it work on x.clone()"
            )
        return forecast

    def state(self) -> dict:
        """All but the generator that is needed to continue; `restore` takes it."""
        return {
            "time": self.time,
            "first": list(_leaves(self.guard.first)),
            "belief": list(_leaves(self.belief)),
            "lost": self.guard.lost,
        }

    def restore(self, state: dict) -> None:
        """Continue from what `state` gave."""
        guard = self.guard
        self.time = state["time"]
        self.belief = _filled(guard.first, iter(state["belief"]))
        guard.first = _filled(guard.first, iter(state["first"]))
        guard.lost = state["lost"].to(guard.lost.device)


def _expanded(prior, leading: tuple[int, ...]):
    """The prior with the leading axes of the observations."""
    trailing = {"mean": 1, "cov": 2, "members": 2, "log_weights": 1, "dropped": 1}
    if not set(prior._fields) <= trailing.keys():
        return prior  # a belief of a kind that only its filter knows
    return type(prior)(
        *(
            value.expand(*leading, *value.shape[-trailing[name] :]) if value is not None else None
            for name, value in prior._asdict().items()
        )
    )


def _largest(prior) -> Tensor:
    """(...,), of the absolute values of a prior of each series, and of its standard deviations."""
    if isinstance(prior, Gaussian):
        variance = shared(prior.cov.detach()).diagonal(dim1=-2, dim2=-1).clamp(min=0)
        return (prior.mean.detach().abs() + variance.sqrt()).amax(-1)
    if hasattr(prior, "members"):
        return prior.members.detach().abs().amax((-2, -1))
    return (prior.mean.detach().abs() + prior.std.detach()).amax(-1)


def _copied(belief):
    """A belief in memory of its own."""
    return _filled(belief, (v.clone() if isinstance(v, Tensor) else v for v in _leaves(belief)))


def _changes(belief) -> list[int]:
    """How often each tensor of a belief was changed in place."""
    return [value._version for value in _tensors(belief) if not value.is_inference()]


def _equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(_tensors(a), _tensors(b), strict=True))


def _strayed(belief, bound: float | Tensor) -> Tensor:
    """(...,) bool: not finite, or the mean beyond the bound, a number or (...,)."""
    mean = belief.mean
    kept = mean.abs().amax(-1) <= bound  # false also for NaN
    logarithms = getattr(belief, "log_weights", None)
    for value in _tensors(belief):
        total = value.flatten(mean.ndim - 1).sum(-1)
        weightless = total.isneginf() if value is logarithms else False
        kept = kept & (total.isfinite() | weightless)
    return ~kept


def _tensors(belief) -> Iterator[Tensor]:
    """All tensors of a belief, those of states within it too."""
    for value in belief:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from _tensors(value)


def _leaves(belief) -> Iterator:
    """All values of a belief, tensors and others, those of states within it too."""
    for value in belief:
        if isinstance(value, tuple):
            yield from _leaves(value)
        else:
            yield value


def _filled(belief, leaves: Iterator):
    """A belief of the same kind from `leaves`, in their order, on the same device."""

    def value(old):
        if isinstance(old, tuple):
            return _filled(old, leaves)
        new = next(leaves)
        return new.to(old.device) if isinstance(old, Tensor) else new

    return type(belief)(*map(value, belief))


def _replaced(belief, lost: Tensor, by):
    """The belief, with the seeds that are lost taken from `by` (a belief or a number)."""
    if not lost.any():
        return belief
    others = by if isinstance(by, tuple) else [by] * len(belief)
    return type(belief)(
        *(_replaced_value(v, lost, other) for v, other in zip(belief, others, strict=True))
    )


def _replaced_value(value, lost: Tensor, other):
    if isinstance(value, tuple):
        return _replaced(value, lost, other)
    if not isinstance(value, Tensor):
        return value
    where = lost.reshape(lost.shape + (1,) * (value.ndim - lost.ndim))
    return torch.where(where, torch.as_tensor(other, dtype=value.dtype), value)
