"""Linear Gaussian models learned from series with missing values, by expectation maximisation."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters import Gaussian, kalman
from dalib.filters.kalman import apply
from dalib.filters.linalg import check_covariance, check_semidefinite, cholesky, symmetric
from dalib.smoothers.parallel import Observed, filtered, masked, smoothed

PARAMETERS = ("matrix", "noise_cov", "observation_matrix", "obs_cov", "prior")


@dataclass(frozen=True, kw_only=True)
class LinearGaussian:
    """x_k = F x_{k-1} + q, y_k = H x_k + r, q ~ N(0, Q), r ~ N(0, R), x_0 of the prior.

    The first observation is of x_1. Leading axes, of fits that have nothing to do with each other,
    may stand before the shapes given.

    Attributes:
        matrix: F (state, state).
        noise_cov: Q (state, state).
        observation_matrix: H (obs, state).
        obs_cov: R (obs, obs).
        prior: of x_0, mean (state,) and cov (state, state).
    """

    matrix: Tensor
    noise_cov: Tensor
    observation_matrix: Tensor
    obs_cov: Tensor
    prior: Gaussian

    def __post_init__(self):
        check_semidefinite(self.noise_cov, "noise_cov")
        check_covariance(self.obs_cov, "obs_cov")
        check_covariance(self.prior.cov, "the prior covariance")


class Fitted(NamedTuple):
    """The model, and the log-likelihood (iterations + 1, ...) before each iteration and after."""

    model: LinearGaussian
    log_likelihood: Tensor


@torch.no_grad()
def em(
    model: LinearGaussian,
    observations: Tensor,
    *,
    iterations: int = 10,
    learned: Collection[str] = PARAMETERS,
    diagonal: Collection[str] = (),
) -> Fitted:
    """Maximise the likelihood by expectation maximisation (Shumway and Stoffer 1982).

    An iteration smooths with the model it has, and then maximises the expected log-density of
    states and observations. It never lowers the likelihood. What is missing of a time at which
    something is observed is expected as well, R being full.

    Args:
        model: the first guess.
        observations: (..., series, time, obs) of series that share one model; NaN where missing.
        iterations: how many; the likelihood says whether it was enough.
        learned: which of `PARAMETERS`; others stay.
        diagonal: of "noise_cov" and "obs_cov", those that are to stay diagonal.
    """
    _check(model, observations, learned, diagonal)
    y = observations.double().movedim(-2, 0)
    history = []
    for _ in range(iterations):
        found = _expected(model, y)
        history.append(found.log_likelihood)
        model = _maximised(model, found, learned, diagonal)
    history.append(_expected(model, y).log_likelihood)
    return Fitted(model, torch.stack(history))


def log_likelihood(model: LinearGaussian, observations: Tensor) -> Tensor:
    """(...,), of all series (..., series, time, obs) together."""
    _check(model, observations, (), ())
    return _expected(model, observations.double().movedim(-2, 0)).log_likelihood


class _Moments(NamedTuple):
    """Expected sums over times and series, given the observations.

    before, after, lagged (..., state, state): Σ E[x_k x_kᵀ] of the times 0 ... T-1 and 1 ... T, and
        Σ E[x_{k+1} x_kᵀ]; steps: of how many.
    seen (..., state, state), seen_y (..., obs, state), squares (..., obs, obs): Σ E[x xᵀ],
        Σ E[y xᵀ] and Σ E[y yᵀ] of times at which something is observed; count (...,): how many.
    prior: of x_0, over all series.
    """

    before: Tensor
    after: Tensor
    lagged: Tensor
    steps: int
    seen: Tensor
    seen_y: Tensor
    squares: Tensor
    count: Tensor
    prior: Gaussian
    log_likelihood: Tensor


def _expected(model: LinearGaussian, y: Tensor) -> _Moments:
    """The E-step for y (time, ..., series, obs)."""
    shared = [model.matrix, model.noise_cov, model.observation_matrix, model.obs_cov]
    F, Q, H, R = (value.double()[..., None, :, :] for value in shared)
    mean, cov = (value.double() for value in model.prior)
    prior = Gaussian(mean[..., None, :].expand(*y.shape[1:-1], -1), cov[..., None, :, :])
    each = H.expand(*y.shape[:-2], *H.shape[-3:])
    observed = masked(Observed(y, each, R[None]))
    states, forecasts = filtered(prior, F, Q, observed)
    (m, P), kernels = smoothed(states, F, Q)

    second = P + _outer(m, m)
    lagged = P[1:] @ kernels.gain.mT + _outer(m[1:], m[:-1])
    d, seen = y - apply(H, forecasts.mean), ~y.isnan()
    likelihood = kalman.likelihood(forecasts, d, H, R, seen)
    some = seen.any(-1)[..., None, None]
    yx, yy = _expected_y(observed, seen, H, R, m[1:], second[1:])
    sums = (_summed(v) for v in (second[:-1], second[1:], lagged))
    observed_sums = (_summed(torch.where(some, v, 0.0)) for v in (second[1:], yx, yy))
    start = m[0].mean(-2, keepdim=True)
    spread = P[0] + _outer(m[0] - start, m[0] - start)
    return _Moments(
        *sums,
        len(y) * y.shape[-2],
        *observed_sums,
        some.double().sum((0, -3))[..., 0, 0],
        Gaussian(start[..., 0, :], spread.expand(*m[0].shape, -1).mean(-3)),
        likelihood.log_density.sum((0, -1)),
    )


def _expected_y(
    observed: Observed, seen: Tensor, H: Tensor, R: Tensor, m: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """E[y xᵀ] and E[y yᵀ] of states with mean m and second moments, y known where `seen`.

    Given x, y is N(u + G x, C): with the gain K = R_o R_oo⁻¹ of the values o that are observed,

        u = K y_o        G = H - K H_o        C = R - K R_oᵀ
    """
    R_seen = torch.where(seen[..., None, :], R, 0.0)
    K = torch.cholesky_solve(R_seen.mT, cholesky(observed.cov)).mT
    u, G = apply(K, observed.y), H - K @ observed.matrix
    yx = _outer(u, m) + G @ second
    cross = _outer(u, apply(G, m))
    return yx, _outer(u, u) + cross + cross.mT + G @ second @ G.mT + R - K @ R_seen.mT


def _maximised(
    model: LinearGaussian, e: _Moments, learned: Collection[str], diagonal: Collection[str]
) -> LinearGaussian:
    """The M-step: regressions of x_{k+1} on x_k and of y on x, and what they leave."""
    found = {}
    F, H = (v.double() for v in (model.matrix, model.observation_matrix))
    if "matrix" in learned:
        found["matrix"] = F = _regressed(e.lagged, e.before)
    if "noise_cov" in learned:
        rest = _rest(e.after, e.lagged, e.before, F) / e.steps
        found["noise_cov"] = _only(rest, "noise_cov" in diagonal)
    if "observation_matrix" in learned:
        found["observation_matrix"] = H = _regressed(e.seen_y, e.seen)
    if "obs_cov" in learned:
        rest = _rest(e.squares, e.seen_y, e.seen, H) / e.count[..., None, None]
        found["obs_cov"] = _only(rest, "obs_cov" in diagonal)
    if "prior" in learned:
        found["prior"] = Gaussian(e.prior.mean, symmetric(e.prior.cov))
    return replace(model, **found)


def _regressed(ab: Tensor, bb: Tensor) -> Tensor:
    """Σ a bᵀ (Σ b bᵀ)⁻¹."""
    return torch.cholesky_solve(ab.mT, cholesky(symmetric(bb))).mT


def _rest(aa: Tensor, ab: Tensor, bb: Tensor, A: Tensor) -> Tensor:
    """Σ (a - A b)(a - A b)ᵀ."""
    return symmetric(aa - A @ ab.mT - ab @ A.mT + A @ bb @ A.mT)


def _only(cov: Tensor, diagonal: bool) -> Tensor:
    return cov.diagonal(dim1=-2, dim2=-1).diag_embed() if diagonal else cov


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ of vectors (..., n) and (..., m)."""
    return a[..., :, None] * b[..., None, :]


def _summed(value: Tensor) -> Tensor:
    """(time, ..., series, n, m) -> (..., n, m)."""
    return value.sum((0, -3))


def _check(model: LinearGaussian, y: Tensor, learned: Collection[str], diagonal: Collection[str]):
    obs, state = model.observation_matrix.shape[-2:]
    if y.ndim < 3 or y.shape[-1] != obs:
        raise ValueError(
            f"observations have shape {tuple(y.shape)}; give (series, time, {obs}), as many values "
            "as observation_matrix has rows; of one series y[None]"
        )
    shapes = {"matrix": (state, state), "noise_cov": (state, state), "obs_cov": (obs, obs)}
    for name, shape in shapes.items():
        if (found := tuple(getattr(model, name).shape[-2:])) != shape:
            raise ValueError(f"{name} has shape {found}; with observation_matrix give {shape}")
    if model.prior.mean.shape[-1] != state:
        raise ValueError(
            f"the prior has {model.prior.mean.shape[-1]} components, the model {state}"
        )
    if y.isnan().all(-1).all(-1).all(-1).any():
        raise ValueError("all observations are NaN; a series needs at least one that is not")
    if strange := {*learned} - {*PARAMETERS}:
        raise ValueError(
            f"learned: no {', '.join(sorted(strange))}; there are {', '.join(PARAMETERS)}"
        )
    if strange := {*diagonal} - {"noise_cov", "obs_cov"}:
        raise ValueError(f"diagonal: no {', '.join(sorted(strange))}; give noise_cov or obs_cov")
