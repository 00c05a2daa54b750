"""Backward simulation: trajectories drawn from a particle filter's past, the last state first."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian, at
from dalib.filters.linalg import cholesky, like
from dalib.filters.particle import BootstrapParticle
from dalib.filters.steps import moving
from dalib.smoothers.base import Smoothed, Watched, forward, of_ensemble, stacked
from dalib.streams import Generator, uniform


def drawn(log_weights: Tensor, u: Tensor) -> Tensor:
    """(..., draw), where cumulated weights (..., draw, member) exceed u (..., draw) in [0, 1)."""
    cumulated = log_weights.softmax(-1).cumsum(-1)
    index = torch.searchsorted(cumulated, (u * cumulated[..., -1])[..., None])[..., 0]
    return index.clamp(max=log_weights.shape[-1] - 1)  # also where all is NaN


def log_transition(later: Tensor, moved: Tensor, root: Tensor) -> Tensor:
    """(..., draw, member), log N(later; moved, L Lᵀ) up to a constant, in float64.

    Args:
        later: (..., draw, state).
        moved: (..., member, state), M(x) of the particles.
        root: L (..., state, state).
    """
    origin = moved.mean(-2, keepdim=True)
    a, b = (
        torch.linalg.solve_triangular(root, (x - origin).double().mT, upper=False).mT
        for x in (later, moved)
    )
    squares = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :]
    return a @ b.mT - squares / 2


@dataclass(frozen=True, kw_only=True)
class BackwardSimulation(BootstrapParticle):
    """Forward filtering, backward simulation (Godsill, Doucet and West 2004).

        x̃_T ~ Σ w_T δ(x_T)        x̃_k = x_k^i with probability ∝ w_k^i N(x̃_{k+1}; M(x_k^i), Q)

    Trajectories are independent draws from the smoothing distribution that the particles know, and
    do not share their past as those of a filter do. N trajectories cost N² a time. The model has
    errors, and one step leads to each time. Choices have no derivative: gradients flow through the
    particles that are chosen.

    Attributes:
        trajectories: how many; None for as many as members.
    """

    trajectories: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.trajectories is not None and self.trajectories < 1:
            raise ValueError(f"trajectories={self.trajectories}; give a number above 0")

    def smooth(
        self,
        prior: Gaussian | Ensemble,
        observations: Tensor,
        generator: Generator | None = None,
        *,
        kept: Tensor | None = None,
        **options: Any,
    ) -> Smoothed:
        """See `dalib.smoothers.smooth`."""
        beliefs = []
        given = (
            self,
            prior,
            observations,
            generator,
            lambda step: beliefs.append(step.analysis[:2]),
        )
        first, analyses, run = forward(*given, **options)
        members, log_weights = stacked([first[:2], *beliefs])
        count = self.trajectories or self.members
        weights = log_weights[-1, ..., None, :].detach()
        shape = (*weights.shape[:-2], count)
        index = drawn(weights.double().expand(*shape, -1), uniform(shape, generator))
        path = [_at(members[-1], index)]
        for k in reversed(range(run.times)):
            moved, root = _moved(run, k, members[k])
            weights = log_transition(path[-1].detach(), moved, root)
            weights = weights + log_weights[k].detach().double()[..., None, :]
            path.append(_at(members[k], drawn(weights, uniform(shape, generator))))
        return of_ensemble(torch.stack(path[::-1]), analyses, kept)


@torch.no_grad()
def _moved(run: Watched, k: int, members: Tensor) -> tuple[Tensor, Tensor]:
    """M(x) of particles that go to the k-th observation, and the root of their noise."""
    moves = run.moves(k)
    if len(moves) != 1:
        raise ValueError(
            f"{len(moves)} steps lead to the observation {k}, between which no density is known; "
            "give a step that takes interval=, or fill gaps with NaN"
        )
    filter = moving(at(run.filter, k), run.wants, moves[0], run.generator)
    moved = filter.step(members.clone())
    if filter.correlated:
        Q = filter.noise_covariance(moved)
    else:
        Q = like(filter._noise_std(moved), moved).square().expand(moved.shape[-1]).diag_embed()
    L = cholesky(Q.double())
    if not L.isfinite().all():
        raise ValueError(
            "backward simulation needs errors of the model in all components; give "
            "model_error_std above 0, or take EnKS or EnRTS"
        )
    return moved, L


def _at(members: Tensor, index: Tensor) -> Tensor:
    """members (..., member, state) at index (..., draw)."""
    index = index.to(members.device)[..., None]
    return members.gather(-2, index.expand(*index.shape[:-1], members.shape[-1]))
