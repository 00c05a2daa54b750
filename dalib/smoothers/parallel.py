"""The Kalman filter and smoother in a logarithmic number of steps, by associative scans.

Where covariances are those of all series, since none has missing values of its own, they are
computed once for all.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Analyses, Ensemble, Gaussian, at, first_nan
from dalib.filters.checks import check_given, check_observe, check_some
from dalib.filters.kalman import (
    Kalman,
    Transition,
    apply,
    error_cov,
    gain,
    likelihood,
    observation_matrix,
    without_missing,
)
from dalib.filters.linalg import cholesky, like, shared, symmetric
from dalib.filters.steps import Schedule
from dalib.smoothers.base import Smoothed
from dalib.smoothers.rts import Kernel, kernel, of_moments
from dalib.smoothers.scan import Elements, scan
from dalib.streams import Generator


class Observed(NamedTuple):
    """Linear observations y - offset = H x + r, r ~ N(0, R), time first; what is missing is 0 in
    y and H, of unit variance in R."""

    y: Tensor
    matrix: Tensor
    cov: Tensor


def filter_elements(prior: Gaussian, F: Tensor, Q: Tensor, observed: Observed) -> Elements:
    """(A, b, C, η, J) for each time (Särkkä and García-Fernández 2021, lemma 7).

        x_k | x_{k-1}, y_k ~ N(A x_{k-1} + b, C)
        p(y_k | x_{k-1}) ∝ exp(ηᵀ x_{k-1} - ½ x_{k-1}ᵀ J x_{k-1})

    with S = H Q Hᵀ + R and K = Q Hᵀ S⁻¹

        A = (I - K H) F        b = K y        C = (I - K H) Q (I - K H)ᵀ + K R Kᵀ
        η = (H F)ᵀ S⁻¹ y        J = (H F)ᵀ S⁻¹ H F

    and for the first time, whose x_0 ~ N(m, P), Q <- F P Fᵀ + Q, A = 0 and b = F m + K (y - H F m).
    """
    T, (y, H, R) = len(observed.y), observed
    H, R = shared(H), shared(R)  # once for all times where they are the same
    one = torch.eye(F.shape[-1], dtype=F.dtype, device=F.device)
    K, HF = gain(Q, H, R), H @ F
    rest = one - K @ H
    A, C = rest @ F, symmetric(rest @ Q @ rest.mT + K @ R @ K.mT)
    weighted = torch.cholesky_solve(HF, cholesky(symmetric(H @ Q @ H.mT + R))).mT
    eta, J = apply(weighted, y), symmetric(weighted @ HF)
    A, C, J = (value.expand(T, *value.shape[1:]) for value in (A, C, J))

    forecast = Gaussian(apply(F, prior.mean), symmetric(F @ prior.cov @ F.mT + Q))
    first = _updated(forecast, Observed(*(part[0] for part in observed)))
    none = torch.zeros_like(A[0])
    return _with(none, A), _with(first.mean, apply(K, y)), _with(first.cov, C), eta, J


def _with(first: Tensor, others: Tensor) -> Tensor:
    """`others` (time, ...), with `first` in the first place."""
    return _before(first, others[1:])


def _before(first: Tensor, others: Tensor) -> Tensor:
    """(1 + time, ...), `first` before `others` (time, ...)."""
    shape = torch.broadcast_shapes(first.shape, others.shape[1:])
    return torch.cat([first.expand(1, *shape), others.expand(-1, *shape)])


def _updated(belief: Gaussian, observed: Observed) -> Gaussian:
    y, H, R = observed
    K = gain(belief.cov, H, R)
    rest = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device) - K @ H
    mean = belief.mean + apply(K, y - apply(H, belief.mean))
    return Gaussian(mean, symmetric(rest @ belief.cov @ rest.mT + K @ R @ K.mT))


def after(earlier: Elements, later: Elements) -> Elements:
    """The element of both times (Särkkä and García-Fernández 2021, lemma 8).

        A = A_j M A_i        b = A_j M (b_i + C_i η_j) + b_j        C = A_j M C_i A_jᵀ + C_j
        η = (M A_i)ᵀ (η_j - J_j b_i) + η_i        J = (M A_i)ᵀ J_j A_i + J_i

    with M = (I + C_i J_j)⁻¹.
    """
    A_i, b_i, C_i, eta_i, J_i = earlier
    A_j, b_j, C_j, eta_j, J_j = later
    n = A_i.shape[-1]
    one = torch.eye(n, dtype=A_i.dtype, device=A_i.device)
    both = torch.cat(torch.broadcast_tensors(A_i, C_i), -1)
    MA, MC = torch.linalg.solve_ex(one + C_i @ J_j, both)[0].split(n, -1)
    news = eta_j - apply(J_j, b_i)
    return (
        A_j @ MA,
        apply(A_j, b_i + apply(MC, news)) + b_j,  # M = I - M C_i J_j
        symmetric(A_j @ MC @ A_j.mT + C_j),
        apply(MA.mT, news) + eta_i,
        symmetric(MA.mT @ J_j @ A_i + J_i),
    )


def before(later: Elements, earlier: Elements) -> Elements:
    """The kernel from after the later time back to the earlier one: G G', c + G c', B + G B' Gᵀ."""
    (G_j, c_j, B_j), (G, c, B) = later, earlier
    return G @ G_j, apply(G, c_j) + c, symmetric(G @ B_j @ G.mT + B)


class Filtered(NamedTuple):
    """states (1 + time, ...) of the analyses, that at time 0 first, and forecasts (time, ...)."""

    states: Gaussian
    forecasts: Gaussian


def filtered(prior: Gaussian, F: Tensor, Q: Tensor, observed: Observed) -> Filtered:
    """The Kalman filter of all times at once."""
    _, mean, cov, *_ = scan(after, filter_elements(prior, F, Q, observed))
    states = Gaussian(_before(prior.mean, mean), _before(prior.cov, cov))
    mean, cov = (part[:-1] for part in states)
    return Filtered(states, Gaussian(apply(F, mean), symmetric(F @ cov @ F.mT + Q)))


def smoothed(states: Gaussian, F: Tensor, Q: Tensor) -> tuple[Gaussian, Kernel]:
    """The RTS smoother of filtered states (1 + time, ...), all at once, and its kernels."""
    earlier = Gaussian(*(part[:-1] for part in states))
    kernels = kernel(earlier, Transition(apply(F, earlier.mean), F, Q))
    last = (torch.zeros_like(kernels.gain[0]), states.mean[-1], states.cov[-1])
    elements = (_before(b, a.flip(0)) for a, b in zip(kernels, last, strict=True))
    _, mean, cov = (value.flip(0) for value in scan(before, tuple(elements)))
    return Gaussian(mean, cov), kernels


@dataclass(frozen=True, kw_only=True)
class ParallelRTS(Kalman):
    """The Kalman filter and RTS smoother of all times at once, of a linear observation operator.

    Products of `after` from the first time on are the filter, those of `before` from the last time
    back the smoother; each takes 2 log2 T calls (Särkkä and García-Fernández 2021). Results are
    those of `RTS`, many times sooner where states are small or times many.
    """

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        kept: Tensor | None = None,
        **options: Any,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`; without progress or bound, since all times are at once."""
        _check_steps(options.get("schedule"))
        diagnostics = options.get("diagnostics", False)
        (states, _), analyses = self._filtered(prior, observations, diagnostics)
        F, Q = (like(value, states.mean) for value in (self.matrix, self.noise_cov))
        found, kernels = smoothed(states, F, Q)
        return of_moments(*found, kernels, analyses)

    def filter(self, prior: Gaussian | Ensemble, observations: Tensor) -> Analyses:
        """The filter alone: what `assimilate` gives."""
        return self._filtered(prior, observations, False)[1]

    def _filtered(
        self, prior: Gaussian | Ensemble, observations: Tensor, diagnostics: bool
    ) -> tuple[Filtered, Analyses]:
        """In float64, time first; and as `assimilate` gives it."""
        check_given(self, prior, observations, None)
        check_some(observations)
        belief, dtype = self.start(prior), prior[0].dtype
        y = observations.to(belief.mean.device, torch.float64).movedim(-2, 0)
        mean = belief.mean.double().expand(*y.shape[1:-1], -1)
        check_observe(at(self, 0).observe, mean.to(dtype), observations)
        cov = shared(belief.cov.double())
        cov = cov.reshape(*[1] * (mean.ndim + 1 - cov.ndim), *cov.shape)
        F, Q = (like(value, mean) for value in (self.matrix, self.noise_cov))
        observed = self._observed(mean, y)
        found = filtered(Gaussian(mean, cov), F, Q, masked(observed))
        return found, _analyses(found, observed, dtype, diagnostics)

    def _observed(self, mean: Tensor, y: Tensor) -> Observed:
        """y (time, ..., obs), NaN where missing, of the operators at each time, less h(0)."""
        times = range(len(y)) if hasattr(self.observe, "at") else [0]
        zero = torch.zeros_like(mean)
        operators = [at(self, k).observe for k in times]
        check_linear(operators[0], zero)
        H = _of_all(torch.stack([observation_matrix(h, zero) for h in operators]))
        offset = torch.stack([h(zero) for h in operators])
        d = y - offset
        return Observed(d, H.expand(len(d), *H.shape[1:]), self._errors(y))

    def _errors(self, y: Tensor) -> Tensor:
        """R (time or 1, ..., obs, obs) for y (time, ..., obs)."""
        if self.obs_cov is None:
            return error_cov(self.obs_std, y)[None]
        R = like(self.obs_cov, y)
        R = R.movedim(-3, 0) if R.ndim > 2 else R[None]
        return R.reshape(len(R), *[1] * (y.ndim + 1 - R.ndim), *R.shape[1:])


def _analyses(
    found: Filtered, observed: Observed, dtype: torch.dtype, diagnostics: bool
) -> Analyses:
    """Moments of forecasts and analyses, and whether innovations fit them."""
    (mean, cov), (y, H, R) = found.forecasts, observed
    states = Gaussian(*(part[1:] for part in found.states))
    S = ((H @ cov) * H).sum(-1) + R.diagonal(dim1=-2, dim2=-1)
    innovation, residual = (y - apply(H, x) for x in (mean, states.mean))
    chi_square = (innovation.square() / S).detach().nanmean((0, -1)).to(dtype)
    series = [states.mean, states.std, mean, found.forecasts.std]
    judged = []
    if diagnostics:
        density = likelihood(found.forecasts, innovation, H, R, ~y.isnan()).log_density
        judged = [density[..., None], innovation, S.sqrt().expand_as(y), residual]
    series, judged = ([v.movedim(0, -2).to(dtype) for v in part] for part in (series, judged))
    if diagnostics:
        judged[0] = judged[0][..., 0]
    last = states.mean[-1], states.cov[-1].expand(*states.mean[-1].shape, states.mean.shape[-1])
    belief = Gaussian(*(part.to(dtype) for part in last))
    return Analyses(*series, first_nan(series[0]), None, chi_square, belief, *judged)


def _check_steps(schedule: Schedule | None) -> None:
    """One step leads to each time."""
    if schedule is not None and any(len(moves) != 1 for moves in schedule):
        raise ValueError(
            "observations are not one step apart, as a scan over all times needs them; take RTS, "
            "or fill gaps with NaN"
        )


def _of_all(H: Tensor) -> Tensor:
    """H (time, ..., obs, state), with axes of length 1 in the place of series that are alike."""
    for axis in range(1, H.ndim - 2):
        if (first := H.narrow(axis, 0, 1)).eq(H).all():
            H = first
    return H


def masked(observed: Observed) -> Observed:
    """`without_missing`, with H and R of all series where none has missing values of its own."""
    d, H, R = observed
    seen = ~d.isnan()
    if seen.all():
        return observed
    rows = seen.reshape(len(d), -1, d.shape[-1])
    alike, series = (rows == rows[:, :1]).all(), d.ndim - 2
    mask = rows[:, 0].reshape(len(d), *[1] * series, -1) if alike else seen
    _, H, R = without_missing(torch.zeros_like(mask, dtype=d.dtype), H, R, mask)
    return Observed(torch.where(seen, d, 0.0), H, R)


def check_linear(observe, zero: Tensor) -> None:
    """Refuse an operator that is not linear, but for a constant."""
    x = torch.linspace(-1, 1, zero.shape[-1], dtype=zero.dtype, device=zero.device).expand_as(zero)
    H, origin = observation_matrix(observe, zero), observe(zero)
    for point in (x, 10 * x + 3):
        if not torch.allclose(observe(point) - origin, apply(H, point), rtol=1e-6, atol=1e-9):
            raise ValueError(
                "observe() is not linear, as a scan over all times needs it; take RTS, which "
                "linearises it at each time, or UnscentedRTS"
            )
