"""The bootstrap particle filter: weighted states, resampled when too few of them count."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib import limits
from dalib.filters.base import Ensemble, Gaussian, Likelihood, Weighted, picked
from dalib.filters.checks import check_numbers
from dalib.filters.ensemble import check_members, draw_members
from dalib.filters.errors import Observing
from dalib.filters.linalg import like
from dalib.filters.noise import ModelNoise, perturbed
from dalib.streams import Generator, normal, uniform

DEGENERATE = 1e-10  # what one particle leaves to all others when there is no spread left to measure


def effective_size(log_weights: Tensor) -> Tensor:
    """(..., member) -> (...,), 1 / Σ w², the number of particles that count (Kong et al. 1994)."""
    return (-(2 * log_weights).logsumexp(-1)).exp()


def systematic(log_weights: Tensor, generator: Generator) -> Tensor:
    """(..., member) -> (..., member), indices drawn by systematic resampling (Kitagawa 1996).

    `picked` with u uniform on [0, 1).
    """
    u = uniform((*log_weights.shape[:-1], 1), generator, log_weights.dtype)
    return picked(log_weights, u.to(log_weights.device))


@dataclass(frozen=True, kw_only=True)
class BootstrapParticle(ModelNoise, Observing):
    """Bootstrap particle filter (Gordon, Salmond and Smith 1993).

        x_n <- M(x_n) + s ξ_n                    s = max(model_error_std, jitter_std)
        w_n ~ w_n exp(-½ |(y - h(x_n)) / σ|²)

    A belief is weighted; the forecast resamples it first, when its effective size is below
    `resample_below` N. With `regularisation` f, what was drawn more than once is spread by
    f N^(-1/(d+4)) L ξ, where L Lᵀ is the covariance of the weighted particles (Musso et al. 2001).
    A particle that is not finite, or whose h is not, gets no weight; the belief counts them.

    Attributes:
        step: M over one sampling interval, (..., state) -> (..., state).
        members: N.
        model_error_std: of the model, per sampling interval, a number or (state,), state units; or
            Q itself, see `noise.ModelNoise`.
        jitter_std: least noise with which particles move, likewise; where Q is given, none.
        regularisation: f, kernel width as a fraction of the optimal one; 0 for none.
        resample_below: effective number of particles, as a fraction of N, below which they are
            resampled.
    """

    axes: ClassVar[dict] = {"jitter_std": (), "regularisation": ()}

    step: Callable[[Tensor], Tensor]
    members: int = 1000
    jitter_std: float = 0.0
    regularisation: float = 0.0
    resample_below: float = 0.5

    def __post_init__(self):
        check_numbers(self)
        limits.at_least(0, resample_below=self.resample_below)
        limits.at_most(1, resample_below=self.resample_below)
        check_members(self.members)

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
        members = self.step(members)
        std = self._noise_std(members)
        if self.correlated:
            members = perturbed(self, members, generator)
        elif std.requires_grad or std.any():
            members = torch.addcmul(members, std, self._normal(members, generator))
        return _without_lost(Weighted(members, log_weights, dropped))

    def analyse(self, belief: Weighted, y: Tensor, generator: Generator | None = None) -> Weighted:
        """Weight by the likelihood of y (..., obs)."""
        misfit, _, _ = self._errors(belief.members, y)
        log_weights = (belief.log_weights - 0.5 * misfit).log_softmax(-1)
        dropped = belief.dropped
        if dropped is not None and misfit.isinf().any():
            dropped = dropped + (misfit.isinf() & ~belief.log_weights.isinf()).sum(-1, keepdim=True)
        return Weighted(belief.members, log_weights, dropped)

    def log_likelihood(self, forecast: Weighted, y: Tensor) -> Tensor:
        """(...,), log Σ w_n p(y | x_n); its sum over a series estimates p(y) without bias."""
        return self.likelihood(forecast, y).log_density

    def likelihood(self, forecast: Weighted, y: Tensor) -> Likelihood:
        """log det R, and as misfit -2 log Σ w_n exp(-½ |(y - h(x_n)) / σ|²)."""
        misfit, log_det, count = self._errors(forecast.members, y)
        exponent = (forecast.log_weights - 0.5 * misfit).logsumexp(-1)
        return Likelihood(log_det, -2 * exponent, count)

    def resample(self, belief: Weighted, generator: Generator) -> Weighted:
        """Systematic, and regularised; each seed when its own effective size asks for it.

        Choices have no derivative: gradients flow through the particles chosen, not the choosing.
        """
        index = systematic(belief.log_weights.detach(), generator)
        noise = self._normal(belief.members, generator) if self.regularisation else None
        poor = effective_size(belief.log_weights) < self.resample_below * self.members
        if not poor.any():
            return belief
        keep = torch.arange(self.members, device=index.device)
        index = torch.where(poor[..., None], index, keep)
        members = _take(belief.members, index)
        if self.regularisation:
            members = members + self._spread(belief, noise) * _drawn_often(index)[..., None]
        equal = belief.log_weights.new_tensor(-math.log(self.members))
        log_weights = torch.where(poor[..., None], equal, belief.log_weights)
        return Weighted(members, log_weights, belief.dropped)

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
        """|(y - h(x_n)) / σ|² (..., member), Σ log σ² and how many, of what is not missing of y.

        The first is infinite where h(x_n) is not finite.
        """
        std = like(self.obs_std, y).expand_as(y)
        seen = ~y.isnan()
        precision = torch.where(seen, std**-2, 0.0)
        error = y.nan_to_num()[..., None, :] - self.observe(members)
        misfit = (error.square() @ precision[..., None])[..., 0]
        if not misfit.detach().sum().isfinite():
            lost = seen[..., None, :] & ~error.isfinite()
            error = torch.where(seen[..., None, :] & ~lost, error, 0.0)
            misfit = (error.square() @ precision[..., None])[..., 0]
            misfit = torch.where(lost.any(-1) | ~misfit.isfinite(), torch.inf, misfit)
        return misfit, torch.where(seen, 2 * std.log(), 0.0).sum(-1), seen.sum(-1)

    def _normal(self, members: Tensor, generator: Generator) -> Tensor:
        return normal(tuple(members.shape), generator, members.dtype).to(members.device)


def _without_lost(belief: Weighted) -> Weighted:
    """Particles that are not finite without weight, in the place of the heaviest other one."""
    members, log_weights, dropped = belief
    if members.detach().sum().isfinite():
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
