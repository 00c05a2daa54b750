"""A particle filter for large states: weights of their own at each place."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib.filters.base import picked
from dalib.filters.ensemble import EnsembleFilter
from dalib.filters.linalg import like
from dalib.filters.local import Local, taper_between, taper_seen
from dalib.filters.places import check_count
from dalib.localise import Localisation
from dalib.streams import Generator, normal, uniform


@dataclass(frozen=True, kw_only=True)
class LocalParticle(Local, EnsembleFilter):
    """Local weights and local resampling (Penny and Miyoshi 2016; Farchi and Bocquet 2018).

        log w_in = -½ Σ_j ρ_ij |(y_j - h_j(x_n)) / σ_j|²
        x_in <- x_i,φ_i(n)        φ_i drawn from w_i, with the same u for all places

    A member keeps its value wherever it is chosen at all, so that neighbours go on with the same
    members (Farchi and Bocquet 2018, sec. 5.5). With `smoothing` α, values are then averaged over
    what the choices of neighbours would have given (ibid., eq. 44),

        x_in <- (1 - α) x_i,φ_i(n) + α Σ_k ρ_ik x_i,φ_k(n) / Σ_k ρ_ik

    and with `regularisation` f, what was drawn more than once is spread by f N^(-1/5) s_i ξ, s_i
    the weighted deviation at i. Choices have no derivative: gradients flow through what is chosen.

    Attributes:
        localisation: places, distances and weights.
        radius: in place of that of the localisation, so that it can be tuned; None to leave it.
        smoothing: α, share of the average over the choices of neighbours; 0 for none.
        regularisation: f, kernel width as a fraction of the optimal one; 0 for none.
    """

    axes: ClassVar[dict] = Local.axes | {"regularisation": (), "smoothing": ()}

    localisation: Localisation | None = None
    radius: float | None = None
    smoothing: float = 0.0
    regularisation: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.localisation, Localisation):
            raise ValueError(
                "LocalParticle needs a localisation, such as Ring(4.0).on(40), got "
                f"{type(self.localisation).__name__}; in a configuration "
                "localisation: {kind: ring, radius: 4.0}"
            )
        if not 0 <= self.smoothing <= 1:
            raise ValueError(f"smoothing is {self.smoothing}; it has to lie between 0 and 1")
        self._check_radius()

    def updated(self, E: Tensor, predicted: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """(..., member, state)."""
        where = self.localisation.within(self.radius)
        rho = taper_seen(where, self.observe, E)
        check_count(rho.shape[-1], y)
        log_weights = local_log_weights(predicted, y, self.obs_std, rho)
        u = uniform((*E.shape[:-2], 1, 1), generator, E.dtype).to(E.device)
        chosen = keeping(picked(log_weights, u))
        reached = ((rho > 0) & ~y.isnan()[..., None, :]).any(-1)[..., None]
        chosen = torch.where(reached, chosen, torch.arange(E.shape[-2], device=E.device))

        columns = E.mT  # (..., state, member)
        x = columns.gather(-1, chosen)
        if self.smoothing:
            x = torch.lerp(x, smoothed(columns, chosen, taper_between(where, E)), self.smoothing)
        if self.regularisation:
            xi = normal(tuple(E.shape), generator, E.dtype).to(E.device).mT
            x = x + self._spread(columns, log_weights) * xi * drawn_often(chosen)
        return x.mT

    def _spread(self, columns: Tensor, log_weights: Tensor) -> Tensor:
        """(..., state, 1), f N^(-1/5) s_i; of all members alike where one has all the weight."""
        N = columns.shape[-1]
        w = log_weights.detach().exp()
        w = torch.where(w.amax(-1, keepdim=True) > 1 - 1e-10, 1 / N, w)
        x = columns.detach()
        mean = (w * x).sum(-1, keepdim=True)
        variance = (w * (x - mean).square()).sum(-1, keepdim=True)
        unbiased = 1 - w.square().sum(-1, keepdim=True)
        return like(self.regularisation, x) * N ** (-1 / 5) * (variance / unbiased).sqrt()


def local_log_weights(predicted: Tensor, y: Tensor, obs_std: Tensor | float, rho: Tensor) -> Tensor:
    """(..., state, member) of predicted (..., member, obs) and ρ (..., state, obs); normalised."""
    seen = ~y.isnan()
    error = (y.nan_to_num()[..., None, :] - predicted) / like(obs_std, y)
    misfit = torch.where(seen[..., None, :], error, 0.0).square()
    return (-0.5 * rho @ misfit.mT).log_softmax(-1)


def keeping(index: Tensor) -> Tensor:
    """Ascending indices (..., member) rearranged: who is chosen stays, copies fill other places."""
    N = index.shape[-1]
    own = torch.arange(N, device=index.device).expand_as(index)
    count = torch.zeros_like(index).scatter_add(-1, index, torch.ones_like(index))
    empty = count == 0
    first = torch.ones_like(index, dtype=torch.bool)
    first[..., 1:] = index[..., 1:] != index[..., :-1]
    copies = index.gather(
        -1, first.to(torch.uint8).argsort(dim=-1, stable=True)
    )  # copies, then firsts
    rank = (empty.long().cumsum(-1) - 1).clamp(min=0)
    return torch.where(empty, copies.gather(-1, rank), own)


def smoothed(columns: Tensor, chosen: Tensor, rho: Tensor) -> Tensor:
    """Σ_k ρ_ik x_i,φ_k(n) / Σ_k ρ_ik, (..., state, member), from φ (..., state, member).

    Counted by the weight that each member of origin has for each place and new member.
    """
    N = columns.shape[-1]
    share = rho / rho.sum(-1, keepdim=True)
    origin = torch.nn.functional.one_hot(chosen, N).to(columns)  # (..., k, n, m)
    weight = torch.einsum("...ik,...knm->...inm", share, origin)
    return torch.einsum("...inm,...im->...in", weight, columns)


def drawn_often(chosen: Tensor) -> Tensor:
    """(..., member) bool: values of an index that occur more than once."""
    count = torch.zeros_like(chosen).scatter_add(-1, chosen, torch.ones_like(chosen))
    return count.gather(-1, chosen) > 1
