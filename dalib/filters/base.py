"""Beliefs about a state, what a filter is, and the one loop that runs every filter.

A filter is a frozen dataclass of callables and tuning with three pure methods. Everything
broadcasts: leading axes (seeds) of beliefs and observations stand before the shapes given here.
Missing observations are NaN and are left out, for each seed its own.
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from dalib.fingerprint import fingerprint
from dalib.streams import Generator, continue_from, positions

logger = logging.getLogger(__name__)

BOUND = 1e8  # a component of a mean beyond this (state units) has left any system we filter


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
    """Weighted states: members (..., member, state), normalised log_weights (..., member)."""

    members: Tensor
    log_weights: Tensor

    @property
    def mean(self) -> Tensor:
        """(..., state)."""
        return (self.log_weights.exp()[..., None, :] @ self.members)[..., 0, :]

    @property
    def std(self) -> Tensor:
        """(..., state), of the weighted distribution."""
        X = self.members - self.mean[..., None, :]
        return (self.log_weights.exp()[..., None, :] @ X.square())[..., 0, :].sqrt()


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
    analyses, of the components that were asked for; None without.
    """

    mean: Tensor
    std: Tensor
    forecast_mean: Tensor
    forecast_std: Tensor
    diverged_at: Tensor
    members: Tensor | None = None

    @property
    def diverged(self) -> Tensor:
        """(...,) bool."""
        return self.diverged_at >= 0


def cycle(
    filter: Filter, prior, observations: Tensor, generator: Generator, *, bound: float = BOUND
) -> Iterator[tuple]:
    """Yield (forecast, analysis) for each time of `observations` (..., time, obs).

    The prior is at time 0, the first observation one sampling interval later.

    A seed diverges when its belief is no longer finite or its mean leaves [-bound, bound]. Its
    beliefs are NaN from then on; inside, the belief at time 0 takes its place, so that no NaN meets
    the algebra of the other seeds.
    """
    _check_given(filter, prior, observations, generator)
    return _beliefs(_Run(filter, prior, observations, generator, bound))


def _beliefs(run: "_Run") -> Iterator[tuple]:
    while run.time < run.times:
        yield run.advance()


class _Run:
    """A filter under way along its observations: all that changes from time to time."""

    def __init__(
        self, filter: Filter, prior, observations: Tensor, generator: Generator, bound: float
    ) -> None:
        observations = observations.to(prior[0].dtype)
        self.filter, self.observations, self.generator = filter, observations, generator
        self.prior = prior
        self.bound, self.time, self.times = bound, 0, observations.shape[-2]
        self.first = filter.start(_expanded(prior, observations.shape[:-2]), generator)
        self.belief = self.first
        _check(filter, self.belief, observations)
        mean = self.belief.mean
        self.lost = torch.zeros(mean.shape[:-1], dtype=torch.bool, device=mean.device)

    def advance(self) -> tuple:
        """(forecast, analysis) of the next time."""
        now, y = at(self.filter, self.time), self.observations[..., self.time, :]
        forecast = now.forecast(self.belief, self.generator)
        if forecast.mean.shape != self.belief.mean.shape:
            raise ValueError(
                f"one step turns a mean of shape {tuple(self.belief.mean.shape)} into one of shape "
                f"{tuple(forecast.mean.shape)}; step() has to keep it, (..., state) -> (..., state)"
            )
        self.lost = self.lost | _strayed(forecast, self.bound)
        shown = _replaced(forecast, self.lost, float("nan"))
        belief = now.analyse(_replaced(forecast, self.lost, self.first), y, self.generator)
        self.lost = self.lost | _strayed(belief, self.bound)
        self.belief = _replaced(belief, self.lost, self.first)
        self.time += 1
        return shown, _replaced(belief, self.lost, float("nan"))

    @cached_property
    def of(self) -> str:
        """Fingerprint of what decides the result."""
        return fingerprint(self.filter, self.prior, self.observations)

    def state(self) -> dict:
        """All that is needed to continue; `restore` takes it."""
        return {
            "of": self.of,
            "time": self.time,
            "first": list(_leaves(self.first)),
            "belief": list(_leaves(self.belief)),
            "lost": self.lost,
            "generators": positions(self.generator),
        }

    def accepts(self, state: dict) -> bool:
        """Whether `state` is one of this filter along these observations from this prior."""
        fits = (
            {"of", "time", "first", "belief", "lost", "generators"} <= state.keys()
            and state["of"] == self.of
            and _shapes(state["first"]) == _shapes(_leaves(self.first))
            and _shapes(state["belief"]) == _shapes(_leaves(self.first))
            and len(state["generators"]) == len(positions(self.generator))
            and state["time"] <= self.times
        )
        if not fits:
            logger.warning("what was saved is of another filter; starts from the beginning")
        return fits

    def restore(self, state: dict) -> None:
        """Continue from what `state` gave."""
        self.time = state["time"]
        self.belief = _filled(self.first, iter(state["belief"]))
        self.first = _filled(self.first, iter(state["first"]))
        self.lost = state["lost"].to(self.lost.device)
        continue_from(state["generators"], self.generator)


def assimilate(
    filter: Filter,
    prior,
    observations: Tensor,
    generator: Generator,
    *,
    progress: bool = False,
    bound: float = BOUND,
    kept: Tensor | None = None,
    save: Callable[[Callable[[], dict]], None] | None = None,
    resume: dict | None = None,
) -> Analyses:
    """Means and standard deviations of all forecasts and analyses of `observations`.

    Args:
        filter: any `Filter`.
        prior: `Gaussian` or `Ensemble` at time 0; its leading axes broadcast to the observations'.
        observations: (..., time, obs), NaN where missing; computed with in the prior's dtype.
        generator: one for all, or one per seed (`Streams`).
        progress: show a progress bar.
        bound: see `cycle`.
        kept: index of components whose members are kept too, of a filter with an ensemble.
        save: called after every time with a function that gives all that is needed to continue,
            so that whoever saves decides how often.
        resume: what that function gave: goes on as if it had never stopped. What is of another
            filter, prior or series of observations is left aside, with a warning.
    """
    _check_given(filter, prior, observations, generator)
    run = _Run(filter, prior, observations, generator, bound)
    name, rows = type(filter).__name__, []
    index = kept if hasattr(run.belief, "members") else None
    if resume is not None and run.accepts(resume):
        run.restore(resume)
        saved = [values.to(run.lost.device) for values in resume["rows"]]
        times = (values.unbind(run.lost.ndim) for values in saved)
        rows = list(zip(*times, strict=True))
        logger.info("continues from time %d of %d", run.time, run.times)
    with tqdm(None, name, run.times, initial=run.time, disable=not progress) as bar:
        while run.time < run.times:
            forecast, analysis = run.advance()
            row = (analysis.mean, analysis.std, forecast.mean, forecast.std)
            rows.append(row if index is None else (*row, analysis.members[..., index]))
            if save is not None:
                save(lambda: run.state() | {"rows": _stacked(rows, run.lost.ndim)})
            bar.update()
    mean, std, forecast_mean, forecast_std, *members = _stacked(rows, run.lost.ndim)
    analyses = Analyses(mean, std, forecast_mean, forecast_std, first_nan(mean), *members)
    if count := int(analyses.diverged.sum()):
        cycles = sorted(set(analyses.diverged_at[analyses.diverged].tolist()))
        of = analyses.diverged.numel()
        logger.warning("%s: %d of %d seeds diverged, at times %s", name, count, of, cycles)
    return analyses


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


def _check_given(filter: Filter, prior, observations: Tensor, generator: Generator) -> None:
    """Refuse arguments that are something else than they should be, before any computation."""
    if isinstance(filter, type):
        raise TypeError(f"the filter is the class {filter.__name__}; give an object of it")
    if isinstance(generator, (int, float)):
        raise TypeError(
            f"the generator is the number {generator}; give torch.Generator().manual_seed(...)"
        )
    if not isinstance(prior, (Gaussian, Ensemble)):
        raise TypeError(f"the prior is a {type(prior).__name__}; give a Gaussian or an Ensemble")
    for name, value in {"observations": observations, **prior._asdict()}.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}: a {type(value).__name__}; give a tensor: torch.as_tensor(...)"
            )
    _check_prior(prior, observations)
    if observations.ndim < 2 or not observations.shape[-2]:
        raise ValueError(
            f"observations have shape {tuple(observations.shape)}, expected (..., time, obs) with "
            "at least one time; where one value is observed, (time, 1): y[:, None]"
        )
    if observations.isinf().any():
        raise ValueError("some observations are infinite; NaN marks a missing value")
    _check_errors(filter, observations.shape[-1])


def _check_prior(prior, observations: Tensor) -> None:
    mean = prior[0] if isinstance(prior, Gaussian) else prior.members
    leading, size = mean.shape[: -1 if isinstance(prior, Gaussian) else -2], mean.shape[-1:]
    if not mean.isfinite().all():
        raise ValueError("the prior has values that are not finite; was it estimated from NaN?")
    if isinstance(prior, Gaussian) and prior.cov.shape[-2:] != 2 * size:
        raise ValueError(
            f"the prior has a mean of shape {tuple(mean.shape)} and a covariance of shape "
            f"{tuple(prior.cov.shape)}; give (..., state) and (..., state, state)"
        )
    series = observations.shape[:-2]
    try:
        fits = torch.broadcast_shapes(leading, series) == series
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"the prior has the leading axes {tuple(leading)}, observations of shape "
            f"{tuple(observations.shape)} have {tuple(series)}; give one prior for all series or "
            "one for each"
        )


def _check_errors(filter: Filter, values: int) -> None:
    """Refuse standard deviations and an inflation outside their ranges, where a filter has them."""
    for name, zero, words in (
        ("obs_std", False, "positive; nearly exact observations need a small one instead of none"),
        ("inflation", False, "positive; 1 leaves the ensemble as it is"),
        ("model_error_std", True, "0 or more"),
    ):
        value = torch.as_tensor(getattr(filter, name, 1.0), dtype=torch.float64).detach()
        if not (value.isfinite() & ((value > 0) | (zero & (value == 0)))).all():
            raise ValueError(f"{name} is {value.tolist()}; it has to be {words}")
        if name == "obs_std" and value.ndim and value.shape[-1] not in (1, values):
            raise ValueError(
                f"obs_std has shape {tuple(value.shape)}, but y has {values} values; give a number "
                f"or ({values},)"
            )


def _check(filter: Filter, belief, observations: Tensor) -> None:
    seen = at(filter, 0).observe(belief.mean)
    if seen.shape[:-1] != belief.mean.shape[:-1] or seen.ndim != belief.mean.ndim:
        raise ValueError(
            f"observe() turns states of shape {tuple(belief.mean.shape)} into {tuple(seen.shape)}; "
            "it has to keep leading axes, (..., state) -> (..., obs): x[..., :1], not x[..., 0]"
        )
    expected = seen.shape[-1]
    values, shape = observations.shape[-1], tuple(observations.shape)
    if values != expected:
        right = ", ".join(["..."] * (len(shape) > 2) + ["time", str(expected)])
        raise ValueError(
            f"y has {values} values but observe() returns {expected}; "
            f"give observations of shape ({right}), got {shape}"
        )
    empty = observations.isnan().all(-1).all(-1)
    if empty.any():
        which = f" of the seeds {empty.nonzero().flatten().tolist()}" if empty.ndim == 1 else ""
        raise ValueError(
            f"all observations{which} are NaN; NaN marks a missing value, and a series needs at "
            "least one that is not (was the truth finite, the right variable read?)"
        )


def _strayed(belief, bound: float) -> Tensor:
    """(...,) bool: not finite, or the mean beyond the bound."""
    mean = belief.mean
    kept = (mean.abs() <= bound).all(-1)  # false also for NaN
    for value in _tensors(belief):
        kept = kept & value.flatten(mean.ndim - 1).sum(-1).isfinite()
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


def _shapes(leaves) -> list:
    return [getattr(value, "shape", None) for value in leaves]


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
