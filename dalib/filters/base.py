"""Beliefs about a state, what a filter is, and the one loop that runs every filter.

A filter is a frozen dataclass of callables and tuning with three pure methods. Everything
broadcasts: leading axes (seeds) of beliefs and observations stand before the shapes given here.
Missing observations are NaN and are left out, for each seed its own.
"""

import dataclasses
import logging
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from dalib.streams import Generator

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


class Analyses(NamedTuple):
    """Beliefs over a series: all (..., time, state), and which seeds were lost.

    `diverged_at` (...,) is the first time index whose belief diverged, -1 where none did; from
    there on the seed's values are NaN.
    """

    mean: Tensor
    std: Tensor
    forecast_mean: Tensor
    forecast_std: Tensor
    diverged_at: Tensor

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
    first = belief = filter.start(_expanded(prior, observations.shape[:-2]), generator)
    _check(filter, belief, observations)
    lost = torch.zeros(belief.mean.shape[:-1], dtype=torch.bool, device=belief.mean.device)
    for k, y in enumerate(observations.unbind(-2)):
        now = at(filter, k)
        forecast = now.forecast(belief, generator)
        lost = lost | _strayed(forecast, bound)
        shown = _replaced(forecast, lost, float("nan"))
        belief = now.analyse(_replaced(forecast, lost, first), y, generator)
        lost = lost | _strayed(belief, bound)
        yield shown, _replaced(belief, lost, float("nan"))
        belief = _replaced(belief, lost, first)


def assimilate(
    filter: Filter,
    prior,
    observations: Tensor,
    generator: Generator,
    *,
    progress: bool = False,
    bound: float = BOUND,
) -> Analyses:
    """Means and standard deviations of all forecasts and analyses of `observations`.

    Args:
        filter: any `Filter`.
        prior: `Gaussian` or `Ensemble` at time 0; its leading axes broadcast to the observations'.
        observations: (..., time, obs), NaN where missing.
        generator: one for all, or one per seed (`Streams`).
        progress: show a progress bar.
        bound: see `cycle`.
    """
    beliefs = cycle(filter, prior, observations, generator, bound=bound)
    name, times = type(filter).__name__, observations.shape[-2]
    rows = [
        (analysis.mean, analysis.std, forecast.mean, forecast.std)
        for forecast, analysis in tqdm(beliefs, name, times, disable=not progress)
    ]
    series = [torch.stack(values, dim=-2) for values in zip(*rows, strict=True)]
    analyses = Analyses(*series, diverged_at=_first_nan(series[0]))
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


def _check(filter: Filter, belief, observations: Tensor) -> None:
    expected = at(filter, 0).observe(belief.mean).shape[-1]
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


def _first_nan(series: Tensor) -> Tensor:
    """(..., time, state) -> (...,): first time index with a NaN, -1 where there is none."""
    lost = series.isnan().any(-1)
    return torch.where(lost.any(-1), lost.int().argmax(-1), -1)
