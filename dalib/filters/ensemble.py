"""The algebra of ensemble Kalman filters: anomalies, whitened by the observation errors.

Members are rows. With N members E, their observations h(E) and errors σ,

    X = E - mean,    S = (h(E) - mean) / σ,    d = (y - mean h(E)) / σ

so that the gain of the sample covariances is d Sᵀ (S Sᵀ + N-1)⁻¹ X. Missing observations are zero
in S and d, which leaves them out exactly.

S, d and all matrices of members or observations are in float64, whatever the state is: S Sᵀ has the
condition (spread / σ)², which leaves nothing of the seven digits of float32 where observations are
a thousand times more precise than the forecast. Anomalies X of the state keep its dtype.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian, Likelihood
from dalib.filters.checks import check_numbers
from dalib.filters.errors import Observing
from dalib.filters.inflation import AdaptiveInflation, Inflated, Relaxation
from dalib.filters.linalg import check_covariance, cholesky, known, like, plain, shared
from dalib.filters.noise import NOISES, ModelNoise, perturbed, square_root_noise
from dalib.filters.rotation import rotated
from dalib.streams import Generator, normal


def check_members(members: int) -> None:
    """An ensemble of one has no spread."""
    if members < 2:
        raise ValueError(f"an ensemble needs at least 2 members, got {members}")


def draw_members(prior: Gaussian | Ensemble, members: int, generator: Generator) -> Tensor:
    """(..., member, state), drawn from a Gaussian; an ensemble is taken as it is."""
    if isinstance(prior, Ensemble):
        if (given := prior.members.shape[-2]) != members:
            raise ValueError(f"the prior has {given} members, the filter members={members}")
        return prior.members
    mean, cov = prior
    L = torch.linalg.cholesky(check_covariance(shared(cov), "the prior covariance"))
    shape = (*mean.shape[:-1], members, mean.shape[-1])
    noise = normal(shape, generator, mean.dtype).to(mean.device)
    return mean[..., None, :] + noise @ L.mT


def anomalies(ensemble: Tensor) -> tuple[Tensor, Tensor]:
    """(..., member, state) -> mean (..., 1, state) and deviations from it."""
    # the derivatives of a sum and of + copy nothing, those of a mean and of - do
    mean = ensemble.sum(-2, keepdim=True) / ensemble.shape[-2]
    return mean, ensemble + -mean


def whiten(predicted: Tensor, y: Tensor, obs_std: Tensor | float) -> tuple[Tensor, Tensor]:
    """S (..., member, obs) and d (..., 1, obs) of predicted (..., member, obs) and y (..., obs).

    Both are in float64.
    """
    seen, y = ~y.isnan(), y.double()
    if not known(seen.all()):  # where h is not defined, 0 times NaN is no 0
        predicted = torch.where(seen[..., None, :], predicted, 0.0)
    mean, S = anomalies(predicted.double())
    precision_sqrt = (seen / like(obs_std, y))[..., None, :]
    S = S.mul_(precision_sqrt) if plain() else S * precision_sqrt
    return S, (y.nan_to_num()[..., None, :] - mean) * precision_sqrt


def centred_noise(S: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers like S (..., member, obs), less their mean over members."""
    noise = normal(tuple(S.shape), generator, S.dtype).to(S.device)
    return noise.sub_(noise.mean(-2, keepdim=True))


def increments(D: Tensor, S: Tensor, X: Tensor) -> Tensor:
    """D Sᵀ (S Sᵀ + N-1)⁻¹ X = D (SᵀS + N-1)⁻¹ Sᵀ X, in the smaller of the two spaces.

    With the lower factor L of what is inverted, the two solves are triangular,

        (L⁻¹ S Dᵀ)ᵀ L⁻¹ X        or        (L⁻¹ Dᵀ)ᵀ L⁻¹ SᵀX

    D (..., n, obs) are innovations, S (..., member, obs) and X (..., member, state) anomalies; the
    result is (..., n, state), of the type of X. S sums to zero over members but for rounding: with
    members in place of their anomalies that would meet their mean, which may be thousands of
    spreads. Observations in their thousands cost no more than members do.
    """
    N, p = S.shape[-2:]
    if p <= N:
        A, left, right = S.mT @ S, D.mT, (X.mT.to(S) @ S).mT  # columns, as LAPACK wants them
    else:
        A, left, right = S @ S.mT, (D @ S.mT).mT, X
    L = cholesky(_shifted(A, N - 1))
    left = torch.linalg.solve_triangular(L, left, upper=False)
    if right.dtype != L.dtype:  # a large state stays in its own precision
        return torch.linalg.solve_triangular(L.mT, left, upper=True).mT.to(X) @ X
    return (left.mT @ torch.linalg.solve_triangular(L, right, upper=False)).to(X)


def increments_of_seen(D: Tensor, S: Tensor) -> Tensor:
    """D Sᵀ (S Sᵀ + N-1)⁻¹ S = D - (N-1) D (SᵀS + N-1)⁻¹, what moves the observed quantities.

    `increments` of the anomalies S themselves, with two products less.
    """
    N = S.shape[-2]
    U = cholesky(_shifted(S.mT @ S, N - 1), upper=True)
    return torch.add(D, torch.cholesky_solve(D.mT, U, upper=True).mT, alpha=1 - N)


def moved(
    ensemble: Tensor, predicted: Tensor, y: Tensor, obs_std: Tensor | float, D: Tensor, S: Tensor
) -> Tensor:
    """(..., member, state), E + D Sᵀ (S Sᵀ + N-1)⁻¹ X; where the state is what is seen, X = σ S."""
    N, p = S.shape[-2:]
    if predicted is ensemble and p <= N and known(~y.isnan().any()):
        std = like(obs_std, y).expand_as(y)
        return torch.addcmul(ensemble, std[..., None, :], increments_of_seen(D, S).to(ensemble))
    moves = increments(D, S, anomalies(ensemble)[1])
    return moves.add_(ensemble) if plain() else moves + ensemble


def likelihood(predicted: Tensor, y: Tensor, obs_std: Tensor | float) -> Likelihood:
    """Of y (..., obs) in N(mean h(E), cov h(E) + σ² I), in the smaller space.

    misfit = d C⁻¹ dᵀ        log det = log det C + Σ log σ²        C = I + SᵀS / (N-1)
    """
    S, d = whiten(predicted, y, obs_std)
    N, p = S.shape[-2:]
    S = S / math.sqrt(N - 1)
    L = cholesky(_shifted(S.mT @ S if p <= N else S @ S.mT, 1.0))
    if p <= N:
        misfit = torch.linalg.solve_triangular(L, d.mT, upper=False).square().sum((-2, -1))
    else:  # C⁻¹ = I - Sᵀ (I + S Sᵀ)⁻¹ S
        explained = torch.linalg.solve_triangular(L, S @ d.mT, upper=False)
        misfit = d.square().sum((-2, -1)) - explained.square().sum((-2, -1))
    log_det = 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    std = like(obs_std, d).expand_as(y)
    seen = ~y.isnan()
    log_det = log_det + torch.where(seen, 2 * std.log(), 0.0).sum(-1)
    return Likelihood(log_det.to(y), misfit.to(y), seen.sum(-1))


@dataclass(frozen=True, kw_only=True)
class EnsembleFilter(ModelNoise, Observing):
    """What ensemble Kalman filters share; a subclass says how members are `updated`.

    Attributes:
        step: the model over one sampling interval, (..., state) -> (..., state).
        members: N, size of the ensemble.
        inflation: a, factor on the anomalies after each analysis (amplitude, not variance), a
            number or (...,); 1 where nothing was observed, see `reached`. Or `RTPS`, `RTPP` or
            `AdaptiveInflation` of `filters.inflation`.
        rotate: after each analysis, multiply the anomalies by a random `rotation`, the same for
            all components; mean and covariance stay, the members become closer to normally
            distributed (Sakov and Oke 2008).
        model_error_std: noise added after each step, a number or (..., state) that broadcasts to
            the members, in state units.
        model_noise: "sampled", or "square_root" as `noise.square_root_noise` has it.
    """

    step: Callable[[Tensor], Tensor]
    members: int = 40
    inflation: Tensor | float | Relaxation | AdaptiveInflation = 1.0
    rotate: bool = False
    model_noise: str = "sampled"

    def __post_init__(self):
        check_members(self.members)
        if self.model_noise not in NOISES:
            raise ValueError(
                f"unknown model_noise {self.model_noise!r}; known: {', '.join(NOISES)}"
            )
        check_numbers(self)

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Ensemble | Inflated:
        """Members of the prior."""
        belief = Ensemble(draw_members(prior, self.members, generator))
        return self.inflation.begin(belief) if self._adaptive else belief

    def forecast(self, belief: Ensemble, generator: Generator) -> Ensemble:
        """One sampling interval, and the noise of the model."""
        E = self.step(belief.members)
        if not self.perfect and self.model_noise == "square_root":
            E = square_root_noise(E, self.noise_factor(E), generator)
        elif not self.perfect:
            E = perturbed(self, E, generator)
        return belief.inflated(E) if self._adaptive else belief._replace(members=E)

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        """Members given y (..., obs), inflated."""
        E = self.updated(belief.members, self.observe(belief.members), y, generator)
        return self.finished(belief, E, y, generator)

    def finished(self, belief: Ensemble, E: Tensor, y: Tensor, generator: Generator) -> Ensemble:
        """The analysis of the forecast `belief`: members E, inflated, relaxed and rotated."""
        forecast = belief.members
        if isinstance(self.inflation, Relaxation):  # which pairs members with those before
            E = self.inflation(E, forecast, self.reached(forecast, y).to(E))
        if self.rotate:
            E = rotated(E, generator)
        if self._adaptive:
            return self.inflation.learned(belief, self, y)._replace(members=E)
        return belief._replace(members=self.inflated(E, forecast, y))

    @property
    def _adaptive(self) -> bool:
        return isinstance(self.inflation, AdaptiveInflation)

    def inflated(self, E: Tensor, forecast: Tensor, y: Tensor) -> Tensor:
        """(..., member, state), anomalies times 1 + (a - 1) r, r the share that is `reached`.

        Spread that no observation takes back would grow without end.
        """
        if isinstance(self.inflation, Relaxation):
            return E
        if isinstance(self.inflation, (int, float)) and self.inflation == 1:
            return E
        mean = E.mean(-2, keepdim=True)
        inflation = like(self.inflation, E)[..., None]
        share = self.reached(forecast, y).to(E)
        factor = torch.lerp(torch.ones_like(inflation), inflation, share)
        return torch.lerp(mean, E, factor[..., None, :])

    def reached(self, forecast: Tensor, y: Tensor) -> Tensor:
        """r (..., 1) or (..., state), 1 where y (..., obs) informs on the state, 0 where not.

        A local filter gives min(1, Σ_j ρ_ij) over the y_j that are not missing.
        """
        return (~y.isnan()).any(-1, keepdim=True)

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state): E given y, with predicted = h(E)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how members are updated")

    def likelihood(self, forecast: Ensemble, y: Tensor) -> Likelihood:
        """Of y (..., obs) under the Gaussian with the forecast's sample moments."""
        return likelihood(self.observe(forecast.members), y, self.obs_std)

    def log_likelihood(self, forecast: Ensemble, y: Tensor) -> Tensor:
        """(...,), log-density of y (..., obs) under the forecast."""
        return self.likelihood(forecast, y).log_density


def _shifted(A: Tensor, by: float) -> Tensor:
    A.diagonal(dim1=-2, dim2=-1).add_(by)
    return A
