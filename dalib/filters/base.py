"""Beliefs about a state, and what a filter is.

A filter is a frozen dataclass of callables and tuning with three pure methods. Everything
broadcasts: leading axes (seeds) of beliefs and observations stand before the shapes given here.
Missing observations are NaN and are left out, for each seed its own.
"""

import dataclasses
import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dalib.streams import Generator

INCONSISTENT = 2.0  # innovations 1.4 times as large as they should be


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

    Attributes:
        diverged_at: (...,), the first time index whose belief diverged, -1 where none did; from
            there on the seed's values are NaN.
        members: (..., time, member, component), those of the analyses, equally likely, of the
            components that were asked for; None without.
        chi_square: (...,), mean of d² / S over the values observed, of the innovations d of the
            forecasts and the variances S that spread and obs_std give them: 1 where they agree,
            more where the filter is too sure; None where S is not known.
        belief: the last one, a prior of what follows.
        log_likelihood: (..., time), log-density of each observation given those before, of which
            the sum is that of the series. This and what follows is None unless asked for.
        innovation: (..., time, obs), d = y - h(forecast), with NaN where y is missing.
        innovation_std: (..., time, obs), the root of S; NaN where it is not known.
        residual: (..., time, obs), y - h(analysis).
    """

    mean: Tensor
    std: Tensor
    forecast_mean: Tensor
    forecast_std: Tensor
    diverged_at: Tensor
    members: Tensor | None = None
    chi_square: Tensor | None = None
    belief: tuple | None = None
    log_likelihood: Tensor | None = None
    innovation: Tensor | None = None
    innovation_std: Tensor | None = None
    residual: Tensor | None = None

    @property
    def diverged(self) -> Tensor:
        """(...,) bool."""
        return self.diverged_at >= 0

    @property
    def inconsistent(self) -> Tensor:
        """(...,) bool: finite, and yet far from the observations, for the spread that it has.

        Such a filter has lost the truth: `chi_square` is above 2 by three standard errors.
        """
        if self.chi_square is None:
            return self.diverged_at < -1  # nothing is known
        limit = INCONSISTENT + 3 * math.sqrt(2 / self.mean.shape[-2])
        return (self.chi_square > limit) & (self.diverged_at < 0)


def at(filter: Filter, k: int) -> Filter:
    """The filter with operator and R of the k-th observation, counted from 0."""
    given = {}
    if hasattr(filter.observe, "at"):
        given["observe"] = filter.observe.at(k)
    cov = getattr(filter, "obs_cov", None)
    if cov is not None and cov.ndim > 2 and cov.shape[-3] > 1:
        given["obs_cov"] = cov.narrow(-3, k, 1)
    return dataclasses.replace(filter, **given) if given else filter


def first_nan(series: Tensor) -> Tensor:
    """(..., time, state) -> (...,): first time index with a NaN, -1 where there is none."""
    lost = series.isnan().any(-1)
    return torch.where(lost.any(-1), lost.int().argmax(-1), -1)
