"""Backward simulation: whole trajectories drawn from what a particle filter left behind."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian
from dalib.filters.particle import BootstrapParticle
from dalib.smoothers.base import Smoothed, forward, of_ensemble
from dalib.streams import Generator, uniform


@dataclass(frozen=True, kw_only=True)
class FFBSi(BootstrapParticle):
    """Forward filtering, backward simulation (Godsill, Doucet and West 2004, algorithm 1).

        x_T ~ Σ_n w_T^n δ(x - x_T^n)
        x_k ~ Σ_n w^n δ(x - x_k^n)        w^n ~ w_k^n N(x_{k+1}; M(x_k^n), Q)

    for k = T-1 ... 0, from the weighted particles of the filter. Each trajectory is a draw from the
    distribution of all states given all observations, so that also what depends on several times is
    right. It takes members times trajectories a time, and noise in the model: without it no state
    but its own ancestor could have led to a particle. Choices have no derivative.

    Attributes:
        trajectories: how many are drawn; None for as many as members.
    """

    trajectories: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.trajectories is not None and self.trajectories < 2:
            raise ValueError(f"trajectories is {self.trajectories}; a spread needs 2 or more")
        if self.perfect and not self.jitter_std > 0:
            raise ValueError(
                "backward simulation needs a model with noise, and model_error_std is "
                f"{self.model_error_std}; give a positive one (or jitter_std)"
            )

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        progress: bool = False,
        bound: float | None = None,
        kept: Tensor | None = None,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`."""
        beliefs = []

        def watch(step) -> None:
            beliefs.append((step.analysis.members, step.analysis.log_weights))

        given = (self, prior, observations, generator, watch)
        first, analyses = forward(*given, progress=progress, bound=bound)
        beliefs.insert(0, (first.members, first.log_weights))

        x, weights = beliefs[-1]
        shape = (*x.shape[:-2], self.trajectories or self.members)
        drawn = [_taken(x, weights[..., None, :], uniform(shape, generator, x.dtype))]
        for x, weights in reversed(beliefs[:-1]):
            u = uniform(shape, generator, x.dtype)
            towards = weights[..., None, :] + self.log_transition(x, drawn[-1])
            drawn.append(_taken(x, towards, u))
        return of_ensemble(torch.stack(drawn[::-1]), analyses, kept)

    def log_transition(self, x: Tensor, later: Tensor) -> Tensor:
        """(..., trajectory, member), log N(later; M(x), Q) of x (..., member, state), less its
        constant, for later (..., trajectory, state)."""
        moved = self.step(x)
        if self.correlated:
            L = torch.linalg.cholesky(self.noise_covariance(x[..., 0, :]))
            white = [torch.linalg.solve_triangular(L, v.mT, upper=False).mT for v in (later, moved)]
        else:
            std = self._noise_std(x)
            white = [later / std, moved / std]
        a, b = (v - white[1][..., :1, :] for v in white)  # small numbers, whose squares keep digits
        apart = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :]
        return a @ b.mT - 0.5 * apart


def _taken(x: Tensor, log_weights: Tensor, u: Tensor) -> Tensor:
    """(..., trajectory, state): for each u (..., trajectory) one of x (..., member, state)."""
    cumulated = log_weights.detach().softmax(-1).cumsum(-1)
    cumulated = cumulated.expand(*u.shape, -1).contiguous()
    points = (u.to(x.device) * cumulated[..., -1])[..., None]
    index = torch.searchsorted(cumulated, points, right=True).clamp(max=x.shape[-2] - 1)
    return x.gather(-2, index.expand(*index.shape[:-1], x.shape[-1]))
