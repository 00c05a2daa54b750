"""Errors of observations: independent of each other, or correlated and then whitened.

With the Cholesky factor R = L Lᵀ of the values that are not missing, a filter is given

    L⁻¹ y        L⁻¹ h(x)        errors of unit variance

in the place of y, h(x) and R, which leaves all distributions as they are: log det R is added to the
likelihood. Each pattern of missing values has an L of its own. So every filter takes a full R, and
each is written for independent errors.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.linalg import check_covariance, known, like, plain, stamp


class Whitened:
    """L⁻¹ h, in the place of an operator h.

    Args:
        observe: h, (..., state) -> (..., obs).
        factor: L (obs, obs), or (..., obs, obs) where series differ; where a value is missing, a
            row and a column of the identity.
        seen: (..., obs), False where a value is missing.
        leading: how many leading axes states have, before those of members.
    """

    def __init__(self, observe: Callable, factor: Tensor, seen: Tensor, leading: int) -> None:
        self.observe, self.factor, self.seen, self.leading = observe, factor, seen, leading
        self.complete = known(seen.all())

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., obs)."""
        return self.times(self.observe(x))

    def times(self, h: Tensor) -> Tensor:
        """L⁻¹ h of h (*leading, *others, obs), of the type of h; 0 where a value is missing."""
        others = h.shape[self.leading : -1]
        rows = h.reshape(*h.shape[: self.leading], math.prod(others), h.shape[-1]).double()
        if not self.complete:  # h may not be defined there
            rows = torch.where(self.seen[..., None, :], rows, 0.0)
        found = solved(self.factor, rows)
        return found.reshape(*found.shape[:-2], *others, h.shape[-1]).to(h)

    def times_y(self, y: Tensor) -> Tensor:
        """L⁻¹ y of y (..., obs), NaN where a value is missing."""
        rows = y.double() if self.complete else torch.where(self.seen, y, 0.0).double()
        white = solved(self.factor, rows[..., None, :])[..., 0, :].to(y)
        return white if self.complete else torch.where(self.seen, white, torch.nan)

    def tangent(self, x: Tensor) -> Tensor:
        """(*leading, *others, state) -> (*leading, *others, obs, state), L⁻¹ H."""
        from dalib.filters.kalman import observation_matrix  # which imports this module

        H = observation_matrix(self.observe, x)
        others = H.shape[self.leading : -2]
        H = H.reshape(*H.shape[: self.leading], math.prod(others), *H.shape[-2:])
        rows = H.mT.reshape(*H.shape[:-3], -1, H.shape[-2]).double()
        if not self.complete:
            rows = torch.where(self.seen[..., None, :], rows, 0.0)
        found = solved(self.factor, rows)
        found = found.reshape(*found.shape[:-2], *others, H.shape[-1], H.shape[-2])
        return found.mT.to(H)

    def blocks(self) -> Tensor:
        """(obs,), the number of the block of R in which each value stands."""
        linked = (self.factor.detach() != 0).reshape(-1, *self.factor.shape[-2:]).any(0)
        return components(linked | linked.mT)


def solved(L: Tensor, rows: Tensor) -> Tensor:
    """L⁻¹ of each of the rows (..., n, obs), with L (obs, obs) or (..., obs, obs)."""
    if L.ndim > 2:
        return torch.linalg.solve_triangular(L, rows.mT, upper=False).mT
    flat = rows.reshape(-1, rows.shape[-1])  # one solve, not one for each series
    return torch.linalg.solve_triangular(L, flat.mT, upper=False).mT.reshape(rows.shape)


def components(linked: Tensor) -> Tensor:
    """(n, n) bool, symmetric -> (n,), which connected part each belongs to: its least index."""
    n = len(linked)
    label = torch.arange(n, device=linked.device)
    while True:
        least = torch.where(linked, label[None, :], n).amin(-1).minimum(label)
        if torch.equal(least, label):
            return label
        label = least


class Given(NamedTuple):
    """A filter of independent errors and what it is given.

    filter: with `Whitened` as operator and errors of variance 1.
    y: (..., obs), L⁻¹ y; NaN where missing.
    log_det: (...,), log det R of what is not missing.
    """

    filter: Any
    y: Tensor
    log_det: Tensor


def independent(filter: Any, y: Tensor, leading: int) -> Given:
    """Filter and y (..., obs) of correlated errors as those of independent ones.

    Where R is diagonal the operator stays as it is, and obs_std is that of R.

    Args:
        leading: how many leading axes the states have, before those of members.
    """
    R, seen = present(filter), ~y.isnan()
    if y.shape[-1] != R.shape[-1]:
        raise ValueError(
            f"obs_cov has shape {tuple(filter.obs_cov.shape)}, but y has {y.shape[-1]} values; "
            f"give ({y.shape[-1]}, {y.shape[-1]})"
        )
    if R.requires_grad or not plain() or not known(seen.all()):
        return _independent(filter, like(R, y).double(), y, seen, leading)
    key = (stamp(filter.obs_cov), y.dtype, y.device, leading)
    if filter.__dict__.get("_independent", (None,))[0] != key:
        made = _independent(filter, like(R, y).double(), y, seen, leading)
        filter.__dict__["_independent"] = (key, made.filter, made.log_det)
    _, alone, log_det = filter.__dict__["_independent"]
    operator = alone.observe
    return Given(alone, operator.times_y(y) if isinstance(operator, Whitened) else y, log_det)


def _independent(filter: Any, R: Tensor, y: Tensor, seen: Tensor, leading: int) -> Given:
    if not R.requires_grad and known((R == diagonal(R).diag_embed()).all()):
        std = diagonal(R).sqrt().to(y)
        return Given(replace(filter, obs_std=std, obs_cov=None), y, y.new_zeros(()))
    L = factor(R, seen)
    operator = Whitened(filter.observe, L, seen, leading)
    log_det = 2 * diagonal(L).log().sum(-1)  # a missing value has a 1
    return Given(filter.whitened(operator), operator.times_y(y), log_det.to(y))


def factor(R: Tensor, seen: Tensor) -> Tensor:
    """L (..., obs, obs) of R (..., obs, obs), one for each pattern in seen (..., obs).

    Rows and columns of what is missing are those of the identity.
    """
    if known(seen.all()):
        return torch.linalg.cholesky(R)
    one = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)
    if R.ndim > 2 or seen.ndim == 1 or not plain():
        return torch.linalg.cholesky(torch.where(seen[..., :, None] & seen[..., None, :], R, one))
    patterns, which = seen.reshape(-1, R.shape[-1]).unique(dim=0, return_inverse=True)
    both = patterns[:, :, None] & patterns[:, None, :]
    L = torch.linalg.cholesky(torch.where(both, R, one))
    return L[0] if len(L) == 1 else L[which].reshape(*seen.shape, -1)


def present(filter: Any) -> Tensor:
    """R (..., obs, obs) of the present time."""
    R = filter.obs_cov
    if R.ndim < 3:
        return R
    if R.shape[-3] == 1:
        return R[..., 0, :, :]
    raise ValueError(
        f"obs_cov has shape {tuple(R.shape)}, one matrix for each of {R.shape[-3]} times; "
        "dalib.filters.at(filter, k) is the filter of the k-th"
    )


def diagonal(R: Tensor) -> Tensor:
    """(..., obs, obs) -> (..., obs)."""
    return R.diagonal(dim1=-2, dim2=-1)


def error_std(filter: Any, y: Tensor) -> Tensor:
    """Of the errors of y (..., obs), a number or (..., obs)."""
    if getattr(filter, "obs_cov", None) is not None:
        return like(diagonal(present(filter)), y).sqrt()
    return like(filter.obs_std, y)


def error_variances(filter: Any, y: Tensor) -> Tensor:
    """Of the errors of y (..., time, obs), a number or what broadcasts to y."""
    if getattr(filter, "obs_cov", None) is not None:
        return like(diagonal(filter.obs_cov), y)
    std = like(filter.obs_std, y)
    return (std[..., None, :] if std.ndim else std) ** 2


WHITENED = ("analyse", "scored", "likelihood")


def _through(method: Callable) -> Callable:
    """A method (belief, y, ...), of correlated errors by way of independent ones."""

    @functools.wraps(method)
    def call(self, belief, y: Tensor, *others, **named):
        if self.obs_cov is None:
            return method(self, belief, y, *others, **named)
        leading = belief.members.ndim - 2 if hasattr(belief, "members") else belief.mean.ndim - 1
        given = independent(self, y, leading)
        found = getattr(given.filter, method.__name__)(belief, given.y, *others, **named)
        if method.__name__ == "analyse":
            return found
        analysis, likelihood = found if method.__name__ == "scored" else (None, found)
        likelihood = likelihood._replace(log_det=likelihood.log_det + given.log_det)
        return likelihood if analysis is None else (analysis, likelihood)

    call.through = True
    return call


@dataclass(frozen=True, kw_only=True)
class Observing:
    """What filters share that are told how large the errors of observations are.

    Attributes:
        observe: h, (..., state) -> (..., obs).
        obs_std: of independent errors, a number or (obs,), in the units of y.
        obs_cov: R in its place, (obs, obs), or (time, obs, obs) of each time; leading axes as those
            of the series stand before the time.
    """

    observe: Callable[[Tensor], Tensor] | None = None
    obs_std: Tensor | float | None = None
    obs_cov: Tensor | None = None

    def __init_subclass__(cls, **named) -> None:
        super().__init_subclass__(**named)
        for name in WHITENED:
            method = getattr(cls, name, None)
            if method is not None and not hasattr(method, "through"):
                setattr(cls, name, _through(method))

    def whitened(self, operator: Whitened) -> "Observing":
        """The filter of whitened observations."""
        return replace(self, observe=operator, obs_std=1.0, obs_cov=None)


def check_obs_cov(filter: Any) -> None:
    """Refuse an R (..., obs, obs) that is no covariance, or stands beside obs_std."""
    R = getattr(filter, "obs_cov", None)
    if R is None:
        return
    if filter.obs_std is not None:
        raise ValueError("obs_std and obs_cov are both given; give one of them")
    if not isinstance(R, Tensor):
        raise TypeError(f"obs_cov is a {type(R).__name__}; give a tensor (obs, obs)")
    if R.ndim < 2 or R.shape[-1] != R.shape[-2]:
        raise ValueError(
            f"obs_cov has shape {tuple(R.shape)}; give (obs, obs), or (time, obs, obs) of each "
            "time; of independent errors obs_std is enough"
        )
    check_covariance(R.detach(), "obs_cov")
