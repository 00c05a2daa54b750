"""The rank histogram filter: scalar observations without a Gaussian prior."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.serial import SerialFilter


def rank_histogram_increments(s: Tensor, d: Tensor) -> Tensor:
    """What an observation moves its N predictions by (Anderson 2010, sec. 2 and 3).

    Between neighbours of the sorted predictions x_1 ... x_N, and beyond the outermost, lies a share
    1 / (N+1) of the prior. Inside, the density is constant and the likelihood the mean of those at
    both ends; a tail is that of a normal distribution with the variance of the ensemble, times the
    likelihood l(x) = exp(-(d - x)² / 2):

        m_k = [l(x_k) + l(x_k+1)] / 2(N+1)        m_0 = c Φ((x_1 - μ) / τ)
        μ_0 = x_1 - v^½ Φ⁻¹(1/(N+1))              c = (1+v)^-½ exp(-(d - μ_0)² / 2(1+v))
        τ² = v / (1+v)                            μ = (μ_0 + v d) / (1+v)

    and likewise to the right. The members go, in their order, to the quantiles k / (N+1).

    Args:
        s: (..., member), predictions less their mean.
        d: (...,), innovation of their mean, whose error has variance 1.

    Returns:
        (..., member), δ; 0 where the predictions do not differ.
    """
    N, known = s.shape[-1], (s != 0).any(-1, keepdim=True)
    steps = torch.arange(1, N + 1, dtype=s.dtype, device=s.device)
    x, order = torch.where(known, s, steps - (N + 1) / 2).sort(-1)
    d = d[..., None]
    x = x.expand(*torch.broadcast_shapes(x.shape[:-1], d.shape[:-1]), N)
    v = x.square().sum(-1, keepdim=True) / (N - 1)
    left, right = _tail(x[..., :1], v, d, N), _tail(-x[..., -1:], v, -d, N)

    log_l = -0.5 * (d - x).square()
    inside = torch.logaddexp(log_l[..., :-1], log_l[..., 1:]) - math.log(2 * (N + 1))
    log_m = torch.cat([left.log_mass, inside, right.log_mass], -1)
    m = log_m.softmax(-1)
    ends = m.cumsum(-1)

    q = steps / (N + 1)
    k = torch.searchsorted(ends.detach()[..., :-1].contiguous(), q.expand_as(x).contiguous())
    inner = k.clamp(1, N - 1)  # the interval between x_k and x_k+1, counted from 1
    at = x.gather(-1, inner - 1)
    share = (q - ends.gather(-1, inner - 1)) / m.gather(-1, inner).clamp(min=1e-300)
    new = at + (x.gather(-1, inner) - at) * share
    new = torch.where(k == 0, left.quantile(q / m[..., :1], k == 0), new)
    new = torch.where(k == N, -right.quantile((1 - q) / m[..., -1:], k == N), new)
    moved = torch.zeros_like(x).scatter(-1, order.expand_as(x), new - x)
    return torch.where(known, moved, 0.0)


class Tail(NamedTuple):
    """The posterior below x_1: τ, μ, log Φ((x_1 - μ) / τ) and log m_0, each (..., 1)."""

    scale: Tensor
    centre: Tensor
    log_below: Tensor
    log_mass: Tensor

    def quantile(self, share: Tensor, where: Tensor) -> Tensor:
        """(..., member), x with a `share` of the tail's mass below; what is not asked for is 0."""
        log_share = torch.where(where, share, 0.5).clamp(max=1.0).log()
        return self.centre + self.scale * log_ndtri(log_share + self.log_below)


def _tail(first: Tensor, v: Tensor, d: Tensor, N: int) -> Tail:
    """Below x_1 (..., 1), of N predictions with variance v, whose mean is missed by d."""
    prior = first - v.sqrt() * torch.special.ndtri(v.new_tensor(1 / (N + 1)))
    scale, centre = (v / (1 + v)).sqrt(), (prior + v * d) / (1 + v)
    log_below = torch.special.log_ndtr((first - centre) / scale)
    log_c = -0.5 * ((d - prior).square() / (1 + v) + torch.log1p(v))
    return Tail(scale, centre, log_below, log_c + log_below)


def log_ndtri(t: Tensor) -> Tensor:
    """z with log Φ(z) = t < 0, also where Φ is less than any number (Newton's method)."""
    far = t < -10
    z = torch.where(far, -(-2 * t).clamp(min=1).sqrt(), torch.special.ndtri(t.clamp(-10).exp()))
    for _ in range(4):
        log_p = torch.special.log_ndtr(z)
        slope = torch.exp(-0.5 * z.square() - log_p) / math.sqrt(2 * math.pi)
        z = z - (log_p - t) / slope
    return z


@dataclass(frozen=True, kw_only=True)
class RankHistogram(SerialFilter):
    """Rank histogram filter (Anderson 2010); see `rank_histogram_increments`."""

    def increments(self, s: Tensor, d: Tensor, noise: Tensor) -> Tensor:
        """δ (..., member)."""
        return rank_histogram_increments(s, d)
