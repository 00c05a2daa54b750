"""Particle filters: weighted states, resampled when too few of them count."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.filters.base import Ensemble, Gaussian, Likelihood, Weighted
from dalib.filters.checks import check_numbers
from dalib.filters.ensemble import check_members, draw_members
from dalib.filters.errors import Observing
from dalib.filters.linalg import known, like
from dalib.filters.noise import ModelNoise, perturbed
from dalib.filters.resampling import CHOICES, TRANSPORT, check_resampling, transported
from dalib.streams import Generator, normal

DEGENERATE = 1e-10  # what one particle leaves to all others when there is no spread left to measure


def effective_size(log_weights: Tensor) -> Tensor:
    """(..., member) -> (...,), 1 / Σ w², the number of particles that count (Kong et al. 1994)."""
    return (-(2 * log_weights).logsumexp(-1)).exp()


@dataclass(frozen=True, kw_only=True)
class Particle(ModelNoise):
    """What particle filters share: all but how likely y is.

        x_n <- M(x_n) + s ξ_n        s = max(model_error_std, jitter_std)
        w_n ~ w_n p(y | x_n)

    A belief is weighted; the forecast resamples it first, when its effective size is below
    `resample_below` N. With `regularisation` f, what was drawn more than once is spread by
    f N^(-1/(d+4)) L ξ, where L Lᵀ is the covariance of the weighted particles (Musso et al. 2001).
    A particle that is not finite, or whose h is not, gets no weight; the belief counts them.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        members: N, particles.
        model_error_std: of the model, per sampling interval, a number or (state,), state units; or
            Q itself, see `noise.ModelNoise`.
        jitter_std: least noise with which particles move, likewise; where Q is given, none.
        regularisation: f, kernel width as a fraction of the optimal one; 0 for none.
        resample_below: effective number of particles, as a fraction of N, below which they are
            resampled.
        resampling: "systematic", "stratified", "residual", "multinomial" or "transport", see
            `filters.resampling`; with the last, regularisation spreads all particles.
    """

    axes: ClassVar[dict] = {"jitter_std": (), "regularisation": ()}

    step: Callable[[Tensor], Tensor]
    members: int = 1000
    jitter_std: float = 0.0
    regularisation: float = 0.0
    resample_below: float = 0.5
    resampling: str = "systematic"

    def __post_init__(self):
        check_numbers(self)
        limits.at_least(0, resample_below=self.resample_below)
        limits.at_most(1, resample_below=self.resample_below)
        check_members(self.members)
        check_resampling(self.resampling)

    def start(self, prior: Gaussian | Ensemble | Weighted, generator: Generator) -> Weighted:
        """Equally weighted particles of the prior; weighted ones as they are."""
        if isinstance(prior, Weighted):
            return prior
        members = draw_members(prior, self.members, generator)
        log_weights = torch.full_like(members[..., 0], -math.log(self.members))
        return Weighted(members, log_weights, torch.zeros_like(log_weights[..., :1]))

    def forecast(self, belief: Weighted, generator: Generator) -> Weighted:
        """Resample if needed, then one sampling interval."""
        members, log_weights, dropped = self.resample(belief, generator)
        members = self.moved(self.step(members), generator)
        return _without_lost(Weighted(members, log_weights, dropped))

    def moved(self, x: Tensor, generator: Generator) -> Tensor:
        """x (..., member, state) with the noise of the model."""
        if self.correlated:
            return perturbed(self, x, generator)
        std = self._noise_std(x)
        if std.requires_grad or not known(~std.any()):
            return torch.addcmul(x, std, self._normal(x, generator))
        return x

    def analyse(self, belief: Weighted, y: Tensor, generator: Generator | None = None) -> Weighted:
        """Weight by the likelihood of y (..., obs)."""
        misfit, _, _ = self._errors(belief.members, y)
        log_weights = (belief.log_weights - 0.5 * misfit).log_softmax(-1)
        dropped = belief.dropped
        if dropped is not None and not known(~misfit.isinf().any()):
            dropped = dropped + (misfit.isinf() & ~belief.log_weights.isinf()).sum(-1, keepdim=True)
        return belief._replace(log_weights=log_weights, dropped=dropped)

    def log_likelihood(self, forecast: Weighted, y: Tensor) -> Tensor:
        """(...,), log Σ w_n p(y | x_n); its sum over a series estimates p(y) without bias."""
        return self.likelihood(forecast, y).log_density

    def likelihood(self, forecast: Weighted, y: Tensor) -> Likelihood:
        """Its log-density is log Σ w_n p(y | x_n), all that depends on x in the misfit."""
        misfit, log_det, count = self._errors(forecast.members, y)
        exponent = (forecast.log_weights - 0.5 * misfit).logsumexp(-1)
        return Likelihood(log_det, -2 * exponent, count)

    def resample(self, belief: Weighted, generator: Generator) -> Weighted:
        """Each seed when its own effective size asks for it, and regularised.

        Choices have no derivative: gradients flow through the particles chosen, not the choosing.
        Through transport they flow.
        """
        poor = effective_size(belief.log_weights) < self.resample_below * self.members
        if self.resampling == TRANSPORT:
            return self._transported(belief, poor, generator)
        index = CHOICES[self.resampling](belief.log_weights.detach(), generator)
        noise = self._normal(belief.members, generator) if self.regularisation else None
        if known(~poor.any()):
            return belief
        keep = torch.arange(self.members, device=index.device)
        index = torch.where(poor[..., None], index, keep)
        members = _take(belief.members, index)
        if self.regularisation:
            members = members + self._spread(belief, noise) * _drawn_often(index)[..., None]
        return self._equal(belief, members, poor)

    def _transported(self, belief: Weighted, poor: Tensor, generator: Generator) -> Weighted:
        noise = self._normal(belief.members, generator) if self.regularisation else None
        if not poor.any():
            return belief
        log_weights = torch.where(poor[..., None], belief.log_weights, -math.log(self.members))
        members = transported(log_weights, belief.members)
        if self.regularisation:
            members = members + self._spread(belief, noise)
        members = torch.where(poor[..., None, None], members, belief.members)
        return self._equal(belief, members, poor)

    def _equal(self, belief: Weighted, members: Tensor, poor: Tensor) -> Weighted:
        """These members, of equal weights where the belief was poor."""
        equal = belief.log_weights.new_tensor(-math.log(self.members))
        log_weights = torch.where(poor[..., None], equal, belief.log_weights)
        return belief._replace(members=members, log_weights=log_weights)

    def _spread(self, belief: Weighted, noise: Tensor) -> Tensor:
        """(..., member, state), regularising noise with the shape of the weighted particles.

        Their covariance is C = Σ w (x - mean)(x - mean)ᵀ / (1 - Σ w²), free of bias; where one
        particle has all the weight, that of all particles alike, lest it draws nothing but itself.
        """
        N, d = belief.members.shape[-2:]
        w = belief.log_weights.detach().exp()
        w = torch.where(w.amax(-1, keepdim=True) > 1 - DEGENERATE, 1 / N, w)[..., None, :]
        X = belief.members.detach()
        X = X - w @ X
        root = (w / (1 - w.square().sum(-1, keepdim=True))).sqrt().mT
        L = torch.linalg.qr(root * X, mode="r").R  # LᵀL = C; exists also where C is singular
        return self.regularisation * N ** (-1 / (d + 4)) * (noise @ L)

    def _noise_std(self, members: Tensor) -> Tensor:
        std = like(self.model_error_std, members)
        return std.clamp(min=self.jitter_std)

    def _errors(self, members: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `Likelihood` is made of for each particle: misfit (..., member), log det, count."""
        raise NotImplementedError(f"{type(self).__name__} does not say how likely y is")

    def _normal(self, members: Tensor, generator: Generator) -> Tensor:
        return normal(tuple(members.shape), generator, members.dtype).to(members.device)


@dataclass(frozen=True, kw_only=True)
class BootstrapParticle(Particle, Observing):
    """Bootstrap particle filter (Gordon, Salmond and Smith 1993), see `Particle`.

    w_n ~ w_n exp(-½ |(y - h(x_n)) / σ|²)
    """

    def _errors(self, members: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """|(y - h(x_n)) / σ|² (..., member), Σ log σ² and how many, of what is not missing of y.

        The first is infinite where h(x_n) is not finite.
        """
        std = like(self.obs_std, y).expand_as(y)
        seen = ~y.isnan()
        precision = torch.where(seen, std**-2, 0.0)
        error = y.nan_to_num()[..., None, :] - self.observe(members)
        misfit = (error.square() @ precision[..., None])[..., 0]
        if not known(misfit.detach().sum().isfinite()):
            lost = seen[..., None, :] & ~error.isfinite()
            error = torch.where(seen[..., None, :] & ~lost, error, 0.0)
            misfit = (error.square() @ precision[..., None])[..., 0]
            misfit = torch.where(lost.any(-1) | ~misfit.isfinite(), torch.inf, misfit)
        return misfit, torch.where(seen, 2 * std.log(), 0.0).sum(-1), seen.sum(-1)


@dataclass(frozen=True, kw_only=True)
class LikelihoodParticle(Particle):
    """Particle filter for observations of any distribution.

        w_n ~ w_n p(y | x_n)

    A time whose values are all missing is left out; a value that is missing among others comes as
    NaN, and `log_density` has to leave it out itself (for gradients before it meets x, with
    `y.nan_to_num()`). -inf is an x under which y cannot be.

    Attributes:
        log_density: (y (..., 1, obs), x (..., member, state)) -> (..., member), log p(y | x).
        observe: (..., state) -> (..., obs), what y is expected to be, for innovations.
    """

    log_density: Callable[[Tensor, Tensor], Tensor]
    observe: Callable[[Tensor], Tensor]

    def analyse(self, belief: Weighted, y: Tensor, generator: Generator | None = None) -> Weighted:
        """Weight by the likelihood of y (..., obs); what is impossible is no particle lost."""
        return super().analyse(belief, y, generator)._replace(dropped=belief.dropped)

    def _errors(self, members: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-2 log p(y | x_n), so that the constants of a Gaussian are taken back by log det."""
        seen = ~y.isnan()
        given, some = seen.sum(-1), seen.any(-1)[..., None]
        found = self.log_density(torch.where(some, y, 0.0)[..., None, :], members)
        wanted = tuple(members.shape[:-1])
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"log_density turns y of shape {(*y.shape[:-1], 1, y.shape[-1])} and states of "
                f"shape {tuple(members.shape)} into {shape}; give log p(y | x) of each particle, "
                f"{wanted}: a sum over the last axis"
            )
        alive = members.detach().isfinite().all(-1)
        wrong = (found.isnan() | found.isposinf()) & alive & some
        if wrong.any():
            partly = (seen.any(-1) & ~seen.all(-1)).any()
            reason = "; y has missing values (NaN) among others: leave them out" if partly else ""
            raise ValueError(
                f"log_density is NaN or infinite for {int(wrong.sum())} of {wrong.numel()} "
                f"particles; give a finite log p(y | x), or -inf where y cannot be{reason}"
            )
        misfit = torch.where(some, torch.where(alive, -2 * found, torch.inf), 0.0)
        return misfit, -given * math.log(2 * math.pi), given


def _without_lost(belief: Weighted) -> Weighted:
    """Particles that are not finite without weight, in the place of the heaviest other one."""
    members, log_weights, dropped = belief
    if known(members.detach().sum().isfinite()):
        return belief
    alive = members.isfinite().all(-1)
    weights = torch.where(alive, log_weights, -torch.inf)
    heaviest = weights.argmax(-1)[..., None, None].expand(*members.shape[:-2], 1, members.shape[-1])
    kept = alive | ~alive.any(-1, keepdim=True)  # where all are lost, so is the series
    members = torch.where(kept[..., None], members, members.gather(-2, heaviest))
    if dropped is not None:
        dropped = dropped + (~kept & ~log_weights.isinf()).sum(-1, keepdim=True)
    weights = torch.where(kept, log_weights, -torch.inf).log_softmax(-1)
    return Weighted(members, weights, dropped)


def _take(members: Tensor, index: Tensor) -> Tensor:
    """members (..., member, state) at index (..., member); one flat selection is the fastest."""
    N, d = members.shape[-2:]
    rows = members.reshape(-1, d)
    offset = torch.arange(0, len(rows), N, device=index.device)[:, None]
    return rows.index_select(0, (index.reshape(-1, N) + offset).flatten()).reshape(members.shape)


def _drawn_often(index: Tensor) -> Tensor:
    """(..., member) bool: an index of an ascending row that occurs more than once."""
    same = index[..., 1:] == index[..., :-1]
    none = torch.zeros_like(same[..., :1])
    return torch.cat([none, same], -1) | torch.cat([same, none], -1)
