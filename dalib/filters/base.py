"""Beliefs about a state, what a filter is, and the one loop that runs every filter.

A filter is a frozen dataclass of callables and tuning with three pure methods. Everything
broadcasts: leading axes (seeds) of beliefs and observations stand before the shapes given here.
Missing observations are NaN and are left out, for each seed its own.
"""

import dataclasses
import logging
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from dalib.filters import innovations
from dalib.filters.checks import (
    check_given,
    check_observe,
    check_some,
    check_step,
    explain,
)
from dalib.filters.linalg import shared
from dalib.resumable import Resumable, Save
from dalib.streams import Generator

logger = logging.getLogger(__name__)

BOUND = 1e8  # times the prior's largest value: a mean beyond has left any system we filter


class Gaussian(NamedTuple):
    """A normal distribution: mean (..., state), cov (..., state, state)."""

    mean: Tensor
    cov: Tensor

    @property
    def std(self) -> Tensor:
        """(..., state), standard deviation of each component."""
        return self.cov.diagonal(dim1=-2, dim2=-1).sqrt().expand_as(self.mean)


class Ensemble(NamedTuple):
    """Equally likely states: members (..., member, state)."""

    members: Tensor

    @property
    def mean(self) -> Tensor:
        """(..., state)."""
        return self.members.mean(-2)

    @property
    def cov(self) -> Tensor:
        """(..., state, state), divisor N-1."""
        X = self.members - self.mean[..., None, :]
        return X.mT @ X / (self.members.shape[-2] - 1)

    @property
    def std(self) -> Tensor:
        """(..., state), divisor N-1."""
        X = self.members - self.mean[..., None, :]  # ten times faster than torch.std
        return (X.square().sum(-2) / (self.members.shape[-2] - 1)).sqrt()


class Weighted(NamedTuple):
    """Weighted states: members (..., member, state), normalised log_weights (..., member).

    `dropped` (..., 1) is how many were not finite since the start, and got no weight.
    """

    members: Tensor
    log_weights: Tensor
    dropped: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """(..., state)."""
        weights, members = self.log_weights.exp()[..., None, :], self.members
        if members.dtype == torch.float64:
            return (weights @ members)[..., 0, :]
        origin = members[..., :1, :]  # the digits that weights lack of a sum of 1 would count
        return (origin + weights @ (members - origin))[..., 0, :]

    @property
    def std(self) -> Tensor:
        """(..., state), of the weighted distribution."""
        X = self.members - self.mean[..., None, :]
        return (self.log_weights.exp()[..., None, :] @ X.square())[..., 0, :].sqrt()

    def alike(self, index: Tensor | slice = slice(None)) -> Tensor:
        """(..., member, component), as many states of equal weight, each as often as it counts."""
        middle = torch.full_like(self.log_weights[..., :1], 0.5)
        chosen = picked(self.log_weights, middle)[..., None]
        members = self.members[..., index]
        return members.gather(-2, chosen.expand(*chosen.shape[:-1], members.shape[-1]))


def picked(log_weights: Tensor, u: Tensor) -> Tensor:
    """(..., member) -> (..., member), ascending indices of systematic resampling (Kitagawa 1996).

    Index i is taken once for each n with (n + u) / N in its interval of the cumulated weights,
    u (..., 1) in [0, 1); so N w_i times on average, never off by one or more.
    """
    N = log_weights.shape[-1]
    cumulated = log_weights.exp().cumsum(-1)
    # how many of the N points lie below the end of interval i; counting sort replaces N searches
    below = (N * cumulated / cumulated[..., -1:] - u).floor() + 1
    below = below.nan_to_num(N).clamp(0, N).long()
    ends = torch.zeros((*below.shape[:-1], N + 1), dtype=torch.long, device=below.device)
    ends = ends.scatter_add(-1, below, torch.ones_like(below))
    return ends[..., :N].cumsum(-1).clamp(max=N - 1)


class Likelihood(NamedTuple):
    """How well a forecast N(h(m), S) foretold an observation y; missing values count for nothing.

    log_det (...,): log det S.
    misfit (...,): (y - h(m))ᵀ S⁻¹ (y - h(m)).
    count (...,): how many values were observed.
    """

    log_det: Tensor
    misfit: Tensor
    count: Tensor

    @property
    def log_density(self) -> Tensor:
        """(...,), -½ (log det S + misfit + count log 2π)."""
        count = self.count.to(self.misfit)  # an integer times a number would be of single precision
        return -0.5 * (self.log_det + self.misfit + count * math.log(2 * math.pi))


class Filter(Protocol):
    """What `cycle` runs. `observe` (..., state) -> (..., obs) is what an observation sees.

    An `observe` that changes with time has `at(k)`, the operator of the k-th observation from 0.
    A filter that never uses observations has `looks = False`. Parameters of its own whose shape is
    to be checked are described by `axes`, see `checks`.
    """

    observe: object

    def start(self, prior, generator: Generator):
        """The belief at time 0, from a `Gaussian` or an `Ensemble`."""

    def forecast(self, belief, generator: Generator):
        """The belief one sampling interval later."""

    def analyse(self, belief, y: Tensor, generator: Generator):
        """The belief given also y (..., obs)."""


def scored(filter: Filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """(analysis, `Likelihood`) of y (..., obs), by the filter's own `scored` where it has one.

    That one factorises S once for both; the result is that of `analyse` and `likelihood`.
    """
    if hasattr(filter, "scored"):
        return filter.scored(forecast, y, generator)
    return filter.analyse(forecast, y, generator), filter.likelihood(forecast, y)


class Analyses(NamedTuple):
    """Beliefs over a series: all (..., time, state), and which seeds were lost.

    `diverged_at` (...,) is the first time index whose belief diverged, -1 where none did; from
    there on the seed's values are NaN. `members` (..., time, member, component) are those of the
    analyses, equally likely, of the components that were asked for; None without. `chi_square`
    (...,) is the mean of d² / S over the values observed, of the innovations d of the forecasts and
    the variances S that spread and obs_std give them: 1 where they agree, more where the filter is
    too sure; None where S is not known.
    """

    mean: Tensor
    std: Tensor
    forecast_mean: Tensor
    forecast_std: Tensor
    diverged_at: Tensor
    members: Tensor | None = None
    chi_square: Tensor | None = None

    @property
    def diverged(self) -> Tensor:
        """(...,) bool."""
        return self.diverged_at >= 0


def cycle(
    filter: Filter,
    prior,
    observations: Tensor,
    generator: Generator,
    *,
    bound: float | None = None,
) -> Iterator[tuple]:
    """Yield (forecast, analysis) for each time of `observations` (..., time, obs).

    The prior is at time 0, the first observation one sampling interval later. A `step` may work in
    place; prior and beliefs stay as they are.

    A seed diverges when its belief is no longer finite or its mean leaves [-bound, bound], by
    default 1e8 times the largest value or standard deviation of the prior, and at least 1e8. Its
    beliefs are NaN from then on; inside, the belief at time 0 takes its place, so that no NaN meets
    the algebra of the other seeds.
    """
    check_given(filter, prior, observations, generator)
    return _beliefs(_Run(filter, prior, observations, generator, bound))


def _beliefs(run: "_Run") -> Iterator[tuple]:
    while run.time < run.times:
        yield run.advance()


class _Run:
    """A filter under way along its observations: all that changes from time to time."""

    def __init__(
        self,
        filter: Filter,
        prior,
        observations: Tensor,
        generator: Generator,
        bound: float | None,
    ) -> None:
        observations = observations.to(prior[0].dtype)
        self.filter, self.observations, self.generator = filter, observations, generator
        self.prior, prior = prior, _expanded(prior, observations.shape[:-2])
        self.bound = BOUND * _largest(prior).clamp(min=1) if bound is None else bound
        self.time, self.times = 0, observations.shape[-2]
        self.first = filter.start(prior, generator)
        self.belief = self.first
        mean = self.belief.mean
        check_observe(at(filter, 0).observe, mean, observations)
        check_some(observations)
        self.lost = torch.zeros(mean.shape[:-1], dtype=torch.bool, device=mean.device)
        self.far, self.partly = self.lost, self.lost  # by the bound; while other members are finite
        self.begun, self.in_place = False, False

    def advance(self) -> tuple:
        """(forecast, analysis) of the next time."""
        begun = self.begun
        try:
            return self._advanced()
        except Exception as error:
            if not begun:
                explain(at(self.filter, self.time), self.belief, error)
            raise

    def _advanced(self) -> tuple:
        now, y = at(self.filter, self.time), self.observations[..., self.time, :]
        forecast = self._forecast(now)
        self._lose(forecast)
        shown = _replaced(forecast, self.lost, float("nan"))
        belief = now.analyse(_replaced(forecast, self.lost, self.first), y, self.generator)
        self._lose(belief)
        self.belief = _replaced(belief, self.lost, self.first)
        self.time += 1
        return shown, _replaced(belief, self.lost, float("nan"))

    def _forecast(self, now: Filter):
        """The forecast of the belief, which stays as it is whatever step() does to its argument."""
        given = self.belief
        if self.in_place or not self.begun:
            given = _copied(given)
        before = _changes(given)
        forecast = now.forecast(given, self.generator)
        if not self.begun:
            check_step(self.belief.mean, forecast.mean)
            self.in_place = _changes(given) != before or not _equal(given, self.belief)
            self.begun = True
        elif not self.in_place and _changes(given) != before:
            raise ValueError(
                f"step() changed the states it was given at time {self.time}, and not before; let "
                "it work on x.clone()"
            )
        return forecast

    def _lose(self, belief) -> None:
        strayed = _strayed(belief, self.bound)
        if strayed.any():
            finite = belief.mean.isfinite().all(-1)
            self.far = self.far | (strayed & finite & ~self.lost)
            if isinstance(belief, Ensemble):
                alive = belief.members.isfinite().all(-1).any(-1)
                self.partly = self.partly | (strayed & ~finite & alive & ~self.lost)
            self.lost = self.lost | strayed

    def state(self) -> dict:
        """All but the generator that is needed to continue; `restore` takes it."""
        return {
            "time": self.time,
            "first": list(_leaves(self.first)),
            "belief": list(_leaves(self.belief)),
            "lost": self.lost,
        }

    def restore(self, state: dict) -> None:
        """Continue from what `state` gave."""
        self.time = state["time"]
        self.belief = _filled(self.first, iter(state["belief"]))
        self.first = _filled(self.first, iter(state["first"]))
        self.lost = state["lost"].to(self.lost.device)


def assimilate(
    filter: Filter,
    prior,
    observations: Tensor,
    generator: Generator,
    *,
    progress: bool = False,
    bound: float | None = None,
    kept: Tensor | None = None,
    save: Save | None = None,
    resume: dict | None = None,
) -> Analyses:
    """Means and standard deviations of all forecasts and analyses of `observations`.

    Warns where seeds diverged, and where innovations are far larger than spread and `obs_std` say.

    Args:
        filter: any `Filter`.
        prior: `Gaussian` or `Ensemble` at time 0; its leading axes broadcast to the observations'.
        observations: (..., time, obs), NaN where missing; computed with in the prior's dtype.
        generator: one for all, or one per seed (`Streams`).
        progress: show a progress bar.
        bound: see `cycle`.
        kept: index of components whose members are kept too, of a filter with an ensemble; of
            weighted ones, as many that are equally likely.
        save, resume: after every time, see `resumable`; what is of another filter, prior or series
            of observations is left aside.
    """
    check_given(filter, prior, observations, generator)
    run = _Assimilation(_Run(filter, prior, observations, generator, bound), kept)
    return run.run(save=save, resume=resume, progress=run.name if progress else None)


class _Assimilation(Resumable):
    """A filter under way, and the moments of its beliefs so far."""

    what, unit = "other data or of another filter", "time"

    def __init__(self, run: _Run, kept: Tensor | None) -> None:
        self.cycle, self.generator, self.total = run, run.generator, run.times
        self.name, self.way = type(run.filter).__name__, innovations.way(run.filter)
        self.kept = kept if hasattr(run.belief, "members") else None
        self.rows: list[list[Tensor]] = []

    @property
    def done(self) -> int:
        """Times that are done."""
        return self.cycle.time

    def decides(self) -> tuple:
        """Filter, prior and observations, and whose members are kept."""
        run = self.cycle
        return run.filter, run.prior, run.observations, self.kept

    def advance(self) -> None:
        """The next time."""
        run = self.cycle
        forecast, analysis = run.advance()
        row = [analysis.mean, analysis.std, forecast.mean, forecast.std]
        if self.way == "time":
            now, y = at(run.filter, run.time - 1), run.observations[..., run.time - 1, :]
            row.append(innovations.of_time(now, forecast, y))
        if self.kept is not None:
            row.append(_equally_likely(analysis, self.kept))
        self.rows.append(row)

    def changing(self) -> dict[str, Any]:
        """The beliefs, and the moments of those before."""
        return self.cycle.state() | {"rows": _stacked(self.rows, self.cycle.lost.ndim)}

    def restore(self, state: dict) -> None:
        """Take back what `changing` gave."""
        self.cycle.restore(state)
        lost = self.cycle.lost
        saved = (values.to(lost.device).unbind(lost.ndim) for values in state["rows"])
        self.rows = list(zip(*saved, strict=True))

    def finish(self) -> Analyses:
        """All moments, with a warning of what went wrong."""
        run = self.cycle
        mean, std, forecast_mean, forecast_std, *others = _stacked(self.rows, run.lost.ndim)
        members = others.pop() if self.kept is not None else None
        if self.way == "series":
            moments = (forecast_mean, forecast_std, run.observations)
            chi_square = innovations.of_series(run.filter, *moments)
        else:
            chi_square = innovations.of_times(*others) if others else None
        moments = (mean, std, forecast_mean, forecast_std)
        analyses = Analyses(*moments, first_nan(mean), members=members, chi_square=chi_square)
        _tell(self.name, analyses, run)
        return analyses


def _tell(name: str, analyses: Analyses, run: _Run) -> None:
    """Warn of what went wrong."""
    of = analyses.diverged.numel()
    if count := int(analyses.diverged.sum()):
        cycles = sorted(set(analyses.diverged_at[analyses.diverged].tolist()))
        far, words = int(run.far.sum()), ""
        if far:
            bound = float(torch.as_tensor(run.bound).amax())
            words = f"; {far} by a mean beyond {bound:.3g}: give bound= if that is no divergence"
        elif partly := int(run.partly.sum()):
            words = f"; in {partly} of them only some members were not finite"
        elif analyses.mean.dtype != torch.float64:
            words = f"; computed in {analyses.mean.dtype}: does it happen in double precision too?"
        logger.warning("%s: %d of %d seeds diverged, at times %s%s", name, count, of, cycles, words)
    dropped = getattr(run.belief, "dropped", None)
    if dropped is not None and (count := int(dropped.nansum())):
        logger.warning("%s: %d particles were not finite and got no weight", name, count)
    if analyses.chi_square is None or not (analyses.forecast_std > 0).any():
        return
    off = (analyses.chi_square > innovations.limit(run.times)) & ~analyses.diverged
    if off.any():
        logger.warning(
            "%s: in %d of %d seeds the squares of the innovations are up to %.3g times what spread "
            "and obs_std allow (Analyses.chi_square); the filter is too sure: more inflation, "
            "model_error_std or members, or a larger obs_std",
            *(name, int(off.sum()), of, analyses.chi_square[off].max().item()),
        )


def at(filter: Filter, k: int) -> Filter:
    """The filter with the operator of the k-th observation, counted from 0."""
    if not hasattr(filter.observe, "at"):
        return filter
    return dataclasses.replace(filter, observe=filter.observe.at(k))


def _expanded(prior, leading: tuple[int, ...]):
    """The prior with the leading axes of the observations."""
    trailing = {"mean": 1, "cov": 2, "members": 2}
    return type(prior)(
        *(
            value.expand(*leading, *value.shape[-trailing[name] :])
            for name, value in prior._asdict().items()
        )
    )


def _largest(prior) -> Tensor:
    """(...,), of the absolute values of a prior of each series, and of its standard deviations."""
    if isinstance(prior, Gaussian):
        variance = shared(prior.cov.detach()).diagonal(dim1=-2, dim2=-1).clamp(min=0)
        return (prior.mean.detach().abs() + variance.sqrt()).amax(-1)
    return prior.members.detach().abs().amax((-2, -1))


def _copied(belief):
    """A belief in memory of its own."""
    return _filled(belief, (v.clone() if isinstance(v, Tensor) else v for v in _leaves(belief)))


def _changes(belief) -> list[int]:
    """How often each tensor of a belief was changed in place."""
    return [value._version for value in _tensors(belief) if not value.is_inference()]


def _equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(_tensors(a), _tensors(b), strict=True))


def _equally_likely(belief, index: Tensor) -> Tensor:
    """(..., member, component), at `index`."""
    if isinstance(belief, Weighted):
        return belief.alike(index)
    return belief.members[..., index]


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


def _stacked(rows: list[tuple[Tensor, ...]], axis: int) -> list[Tensor]:
    """Rows of (..., state), one for each time, as series (..., time, state); `axis` is that."""
    return [torch.stack(values, dim=axis) for values in zip(*rows, strict=True)]


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


def first_nan(series: Tensor) -> Tensor:
    """(..., time, state) -> (...,): first time index with a NaN, -1 where there is none."""
    lost = series.isnan().any(-1)
    return torch.where(lost.any(-1), lost.int().argmax(-1), -1)
