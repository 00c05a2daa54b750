"""Ensembles updated by a covariance that is made of theirs: tapered, scaled, mixed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian, Likelihood
from dalib.filters.ensemble import EnsembleFilter, anomalies
from dalib.filters.errors import Whitened
from dalib.filters.kalman import error_cov, observation_matrix
from dalib.filters.linalg import PRECISE, kept, known, like, plain, solution
from dalib.filters.local import taper_between
from dalib.localise import Localisation
from dalib.streams import Generator, normal_like


class Seen(NamedTuple):
    """A forecast at the observations: h(mean) (..., 1, obs), h(E) - h(mean), S and C Hᵀ."""

    mean: Tensor
    anomalies: Tensor
    S: Tensor
    CHt: Tensor


class Parts(NamedTuple):
    """What does not change from cycle to cycle in [S; C Hᵀ] = fixed + share ∘ [Y X]ᵀ Y.

    Y are the components at `index`, those seen, of the anomalies X.
    """

    index: Tensor
    fixed: Tensor
    share: Tensor | float


@dataclass(frozen=True, kw_only=True)
class CovarianceFilter(EnsembleFilter):
    """Perturbed observations with a gain from C = A + b ρ ∘ P; a subclass gives A and b.

        P = XᵀX / (N-1)        X: members less their mean
        S = H C Hᵀ + R         K = C Hᵀ S⁻¹
        E <- E + (y + σ ε - h(E)) Kᵀ        ε ~ N(0, I)

    with H the tangent of h at the mean. The likelihood is that of y in N(h(mean), S). Only C Hᵀ is
    formed, by indexing where the operator selects components; what depends on no belief is computed
    once for each filter, and anew when a tensor of it was changed in place or after a backward
    pass. Tensors among the tuning may have leading axes that broadcast to those of the members, and
    derivatives.

    Attributes:
        localisation: places, distances and weights, or None for ρ = 1.
        centred: whether ε is taken less its mean over the members, so that their mean moves by the
            innovation of y itself.
        positive: whether members at the start, members of a forecast and perturbed observations
            are replaced by their absolute values.
    """

    axes: ClassVar[dict] = {"taper": ("state", "state")}

    localisation: Localisation | None = None
    centred: bool = True
    positive: bool = False

    def start(self, prior: Gaussian | Ensemble, generator: Generator) -> Ensemble:
        """Members of the prior."""
        return self._valid(super().start(prior, generator))

    def forecast(self, belief: Ensemble, generator: Generator) -> Ensemble:
        """One sampling interval, every member with noise of its own."""
        return self._valid(super().forecast(belief, generator))

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        """Members given y (..., obs)."""
        return self.scored(belief, y, generator)[0]

    def scored(
        self, forecast: Ensemble, y: Tensor, generator: Generator
    ) -> tuple[Ensemble, Likelihood]:
        """Members given y (..., obs), and how well they foretold it: one factor of S for both."""
        E, y, seen = self._digits(forecast.members, y)
        K, D = seen.CHt, self._perturbed(y, seen, generator)
        if plain():
            D = D.sub_(seen.mean).sub_(seen.anomalies)
        else:
            D = D - seen.mean - seen.anomalies
        if not known(~y.isnan().any()):  # h may not be defined there
            D = torch.where(y.isnan()[..., None, :], 0.0, D)
        if K.shape[-2] <= D.shape[-2]:  # S⁻¹ goes to what has fewer rows
            K, likelihood = _solved(seen.S, K, seen.mean, y)
        else:
            D, likelihood = _solved(seen.S, D, seen.mean, y)
        analysis = (E + (K @ D.mT).mT).to(forecast.members)
        y = y.to(analysis)
        return self.finished(forecast, analysis, y, generator), _like(likelihood, analysis)

    def likelihood(self, forecast: Ensemble, y: Tensor) -> Likelihood:
        """Of y (..., obs) in N(h(mean), S)."""
        _, y, seen = self._digits(forecast.members, y)
        likelihood = _solved(seen.S, seen.anomalies[..., :0, :], seen.mean, y)[1]
        return _like(likelihood, forecast.members)

    def whitened(self, operator: Whitened) -> "CovarianceFilter":
        """Of whitened observations, which have no absolute values."""
        if self.positive:
            raise ValueError(
                "positive=True needs observations with independent errors; give obs_std, or an "
                "obs_cov that is diagonal"
            )
        return super().whitened(operator)

    def covariance(self, x: Tensor) -> tuple[Tensor | None, Tensor | float]:
        """A (..., state, state), or None for 0, and b, a number or (..., 1, 1), for members x."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its covariance is")

    def _valid(self, belief: Ensemble) -> Ensemble:
        return belief._replace(members=belief.members.abs()) if self.positive else belief

    def _perturbed(self, y: Tensor, seen: Seen, generator: Generator) -> Tensor:
        """(..., member, obs), y + σ ε, where y is missing σ ε alone."""
        noise = normal_like(seen.anomalies, generator)
        if self.centred:
            noise.sub_(noise.mean(-2, keepdim=True))
        perturbed = torch.addcmul(y.nan_to_num()[..., None, :], _row(self.obs_std, y), noise)
        return perturbed.abs() if self.positive else perturbed

    def _digits(self, E: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Seen]:
        """Members, y and `Seen`, in float64 where float32 has too few digits for S beside R."""
        seen = self._seen(E, y)
        if E.dtype == torch.float64:
            return E, y, seen
        variance = seen.S.detach().diagonal(dim1=-2, dim2=-1) / like(self.obs_std, y).square()
        condition = variance.shape[-1] * variance.nan_to_num(0.0).amax() if y.shape[-1] else 0.0
        if condition * torch.finfo(E.dtype).eps < PRECISE:
            return E, y, seen
        E, y = E.double(), y.double()
        return E, y, self._seen(E, y)

    def _seen(self, E: Tensor, y: Tensor) -> Seen:
        if not hasattr(self.observe, "selected"):
            return self._seen_by_tangent(E, y)
        parts = self._parts(E)
        index, (mean, X) = parts.index, anomalies(E)
        Xt = X.mT
        Y = Xt.index_select(-2, index).mT  # members next to each other in memory
        CY = Xt @ Y
        both = torch.cat([CY.index_select(-2, index), CY], -2)
        S, CHt = _sum(parts.fixed, parts.share, both).split((len(index), E.shape[-1]), -2)
        return Seen(mean.index_select(-1, index), Y, S, CHt)

    def _seen_by_tangent(self, E: Tensor, y: Tensor) -> Seen:
        mean, X = anomalies(E)
        H = observation_matrix(self.observe, mean[..., 0, :])
        A, b = self.covariance(E)
        if self.localisation is None:
            CHt = X.mT @ (X @ H.mT)
        else:
            CHt = (taper_between(self.localisation, E) * (X.mT @ X)) @ H.mT
        CHt = b / (E.shape[-2] - 1) * CHt
        CHt = CHt if A is None else CHt + A @ H.mT
        mean = self.observe(mean)
        S = H @ CHt + error_cov(self.obs_std, y)
        return Seen(mean, self.observe(E) - mean, S, CHt)

    @kept
    def _parts(self, E: Tensor) -> Parts:
        N, size = E.shape[-2:]
        index = self.observe.selected(size).to(E.device)
        both = torch.cat([index, torch.arange(size, device=E.device)])
        A, b = self.covariance(E)
        share = b / (N - 1)
        if self.localisation is not None:
            share = share * _at(taper_between(self.localisation, E), both, index)
        R = error_cov(self.obs_std, E[..., 0, :].index_select(-1, index))
        fixed = torch.nn.functional.pad(R, (0, 0, 0, size))
        return Parts(index, fixed if A is None else fixed + _at(A, both, index), share)

    @property
    def taper(self) -> Tensor | None:
        """The weights between components where they are given as a matrix."""
        return None if self.localisation is None else self.localisation.matrix


def _like(likelihood: Likelihood, x: Tensor) -> Likelihood:
    return likelihood._replace(
        log_det=likelihood.log_det.to(x.dtype), misfit=likelihood.misfit.to(x.dtype)
    )


def check_number(name: str, value, allowed: Callable[[float], bool], words: str) -> None:
    """Refuse a number outside its range; tensors are the business of who learns them."""
    if isinstance(value, (int, float)) and not allowed(value):
        raise ValueError(f"{name} is {value}; it has to be {words}")


def _solved(S: Tensor, D: Tensor, mean: Tensor, y: Tensor) -> tuple[Tensor, Likelihood]:
    """D S⁻¹ and the likelihood of y. NaN in y is a value of unit variance that deviates by 0.

    Its column of D S⁻¹ is 0: it moves nothing, whether D are deviations or C Hᵀ.
    """
    seen, d = ~y.isnan()[..., None, :], y[..., None, :] - mean
    if not known(seen.all()):
        S = torch.where(seen.mT & seen, S, torch.eye(y.shape[-1], dtype=y.dtype, device=y.device))
        D, d = torch.where(seen, D, 0.0), torch.where(seen, d, 0.0)
    W, misfit, log_det = solution(S, D, d)
    return W, Likelihood(log_det, misfit, seen.sum((-2, -1)).expand_as(misfit))


def _at(A: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return A.index_select(-2, rows).index_select(-1, columns)


def _sum(fixed: Tensor, share: Tensor | float, G: Tensor) -> Tensor:
    if isinstance(share, Tensor):
        return torch.addcmul(fixed, share, G)
    return torch.add(fixed, G, alpha=share)


def _row(std: Tensor | float, y: Tensor) -> Tensor:
    """A standard deviation for (..., member, obs)."""
    std = like(std, y)
    return std[..., None, :] if std.ndim else std
