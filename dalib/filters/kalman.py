"""The Kalman filter: exact for linear models with Gaussian errors (Kalman 1960)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian, Likelihood
from dalib.filters.checks import check_numbers
from dalib.filters.errors import Observing
from dalib.filters.linalg import (
    check_covariance,
    cholesky,
    jacobian,
    known,
    like,
    plain,
    symmetric,
)
from dalib.streams import Generator

WITHOUT_DERIVATIVE = (
    "has no derivative, which this filter needs; give the operator `tangent(x) -> (..., obs, "
    "state)`, or take a filter without derivatives, such as ETKF or LETKF"
)


class Transition(NamedTuple):
    """One step, linear about the mean m of a belief: x' = mean + F (x - m) + q, q ~ N(0, Q).

    mean (..., state) is that of x'; matrix F and noise_cov Q (..., state, state).
    """

    mean: Tensor
    matrix: Tensor
    noise_cov: Tensor


def forecast(belief: Gaussian, F: Tensor, Q: Tensor) -> Gaussian:
    """One step of x' = F x + q, q ~ N(0, Q), with F and Q (..., state, state).

    m <- F m        P <- F P Fᵀ + Q
    """
    return Gaussian(apply(F, belief.mean), symmetric(F @ belief.cov @ F.mT + Q))


def analyse(belief: Gaussian, H: Tensor, R: Tensor, y: Tensor) -> Gaussian:
    """Condition on y = H x + r, r ~ N(0, R); y (..., obs), H (..., obs, state). NaN is missing."""
    return update(belief, y - apply(H, belief.mean), H, R, ~y.isnan())


def update(
    belief: Gaussian, innovation: Tensor, H: Tensor, R: Tensor, seen: Tensor | None = None
) -> Gaussian:
    """Condition on the innovation d = y - h(m) of an observation with tangent H and error R.

    `seen` (..., obs) says which values are not missing; without it, those of d that are not NaN.

        S = H P Hᵀ + R       K = P Hᵀ S⁻¹       m <- m + K d
        P <- (I - K H) P (I - K H)ᵀ + K R Kᵀ

    The last is Joseph's form: positive definite whatever the round-off in K.
    """
    d, H, R = without_missing(innovation, H, R, seen)
    dtype, m, P = belief.mean.dtype, belief.mean, belief.cov.double()
    d, H, R = d.double(), H.double(), R.double()  # S has the condition (spread / error)²
    K = gain(P, H, R)
    A = torch.eye(P.shape[-1], dtype=P.dtype, device=P.device) - K @ H
    cov = symmetric(A @ P @ A.mT + K @ R @ K.mT)
    return Gaussian(m + apply(K, d).to(dtype), cov.to(dtype))


def apply(A: Tensor, x: Tensor) -> Tensor:
    """A x of matrices (..., n, m) and vectors (..., m)."""
    return (A @ x[..., None])[..., 0]


def gain(P: Tensor, H: Tensor, R: Tensor) -> Tensor:
    """(..., state, obs): K = P Hᵀ (H P Hᵀ + R)⁻¹."""
    HP = H @ P
    return torch.cholesky_solve(HP, cholesky(symmetric(HP @ H.mT + R))).mT


def likelihood(
    belief: Gaussian, innovation: Tensor, H: Tensor, R: Tensor, seen: Tensor | None = None
) -> Likelihood:
    """Of the innovation d (..., obs) of a forecast, in N(0, S) with S = H P Hᵀ + R."""
    seen = ~innovation.isnan() if seen is None else seen
    count = seen.sum(-1)
    d, H, R = without_missing(innovation, H, R, seen)
    H, R = H.double(), R.double()
    L = cholesky(symmetric(H @ belief.cov.double() @ H.mT + R))
    whitened = torch.linalg.solve_triangular(L, d[..., None].double(), upper=False)[..., 0]
    # a missing value stands in S as an independent one of unit variance, seen without error
    log_det = 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    lost = belief.mean.isnan().any(-1)
    misfit = whitened.square().sum(-1).masked_fill(lost, float("nan"))
    dtype = belief.mean.dtype
    return Likelihood(log_det.expand_as(misfit).to(dtype), misfit.to(dtype), count)


def without_missing(
    d: Tensor, H: Tensor, R: Tensor, seen: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """What is not `seen` in d (..., obs), by default its NaN, as of unit variance, deviating by 0.

    It then sees nothing. A NaN of h at what was observed stays, and spoils the belief.
    """
    seen = ~d.isnan() if seen is None else seen
    if known(seen.all()):
        return d, H, R
    both = seen[..., :, None] & seen[..., None, :]
    R = torch.where(both, R, torch.eye(d.shape[-1], dtype=R.dtype, device=R.device))
    return torch.where(seen, d, 0.0), torch.where(seen[..., None], H, 0.0), R


def observation_matrix(observe: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(..., obs, state), the tangent of `observe` at x: its own, or by torch.func.

    Raises:
        ValueError: the operator has no derivative, since it leaves torch, detaches its argument or
            changes by jumps.
    """
    if hasattr(observe, "tangent"):
        return observe.tangent(x)
    try:
        H = jacobian(observe, x)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(f"observe() {WITHOUT_DERIVATIVE} (torch says: {error})") from error
    if plain() and H.numel() and not H.any():
        check_slope(observe, x)
    return H


def check_slope(observe: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Refuse an `observe` whose derivative is 0 at x (..., state) because it has none."""
    if _is_cut_off(observe, x):
        raise ValueError(f"observe() detaches its argument and {WITHOUT_DERIVATIVE}")
    if _jumps(observe, x.detach()):
        raise ValueError(f"observe() rounds or counts, and so {WITHOUT_DERIVATIVE}")


def _is_cut_off(observe: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether what `observe` returns does not follow from x for autograd."""
    with torch.enable_grad():
        return not observe(x.detach().clone().requires_grad_()).requires_grad


def _jumps(observe: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether h, flat at x, is flat around it too and yet takes other values there.

    One that is flat at x only, as x² at 0, or up to a threshold, has a slope elsewhere, or moves
    away from its value without a jump.
    """
    here, jumps = observe(x), False
    for share in (0.1, -0.1, 1.0, -1.0):
        there = x + share * (x.abs() + 1)
        h, slope = torch.func.jvp(observe, (there,), (torch.ones_like(x),))
        if slope.any():
            return False
        if not jumps and (other := (h != here) & h.isfinite() & here.isfinite()).any():
            jumps = _jumps_between(observe, x, there, other.flatten().int().argmax())
    return jumps


def _jumps_between(observe: Callable, a: Tensor, b: Tensor, j: Tensor) -> bool:
    """Whether h_j leaves its value at a by a jump on the way to b, where it is another."""
    at = lambda t: observe(a + t * (b - a)).flatten()[j]  # noqa: E731
    low, high = 0.0, 1.0
    first, last = at(low), at(high)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) == first else (low, middle)
    precision = torch.finfo(a.dtype).eps ** 0.5
    return bool((at(high) - first).abs() > precision * (last - first).abs())


def error_cov(std: Tensor | float, x: Tensor) -> Tensor:
    """(..., n, n), diagonal covariance of errors with `std`, for vectors x (..., n)."""
    std = like(std, x)
    if std.ndim > x.ndim:
        raise ValueError(
            f"standard deviations have shape {tuple(std.shape)}; give a number or "
            f"({x.shape[-1]},): a matrix of covariances is not taken"
        )
    return std.square().expand(*std.shape[:-1], x.shape[-1]).diag_embed()


@dataclass(frozen=True, kw_only=True)
class GaussianFilter(Observing):
    """What filters with a `Gaussian` belief share; a subclass says its `transition`."""

    def __post_init__(self) -> None:
        check_numbers(self)

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> Gaussian:
        """The prior itself; of an ensemble, its sample moments."""
        return Gaussian(prior.mean, check_covariance(prior.cov, "the prior covariance"))

    def transition(self, belief: Gaussian) -> Transition:
        """How states move over one sampling interval, linearised about the belief."""
        raise NotImplementedError(f"{type(self).__name__} does not say how states move")

    def forecast(self, belief: Gaussian, generator: Generator | None = None) -> Gaussian:
        """One sampling interval: P <- F P Fᵀ + Q, with the mean, F and Q of `transition`."""
        mean, F, Q = self.transition(belief)
        return Gaussian(mean, symmetric(F @ belief.cov @ F.mT + Q))

    def analyse(self, belief: Gaussian, y: Tensor, generator: Generator | None = None) -> Gaussian:
        """(..., obs) observed; linearised at the mean of the belief."""
        return update(belief, *self.innovation(belief, y))

    def likelihood(self, forecast: Gaussian, y: Tensor) -> Likelihood:
        """Of y (..., obs) under the forecast."""
        return likelihood(forecast, *self.innovation(forecast, y))

    def log_likelihood(self, forecast: Gaussian, y: Tensor) -> Tensor:
        """(...,), log-density of y (..., obs) under the forecast."""
        return self.likelihood(forecast, y).log_density

    def innovation(self, belief: Gaussian, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """y - h(m), tangent H of h at the mean m, error covariance R, which values are observed."""
        H = observation_matrix(self.observe, belief.mean)
        return y - self.observe(belief.mean), H, error_cov(self.obs_std, y), ~y.isnan()


@dataclass(frozen=True, kw_only=True)
class Kalman(GaussianFilter):
    """The Kalman filter of x' = F x + q, q ~ N(0, Q): `matrix` F, `noise_cov` Q.

    Both are (state, state), or (..., state, state) with an axis for each of those of the series.
    """

    axes: ClassVar[dict] = {"matrix": ("state", "state"), "noise_cov": ("state", "state")}

    matrix: Tensor
    noise_cov: Tensor

    def transition(self, belief: Gaussian) -> Transition:
        """F m, F and Q."""
        F, Q = (like(value, belief.mean) for value in (self.matrix, self.noise_cov))
        return Transition(apply(F, belief.mean), F, Q)
