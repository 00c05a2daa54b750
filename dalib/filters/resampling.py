"""From weighted particles to as many that are equally likely: by choosing, or by transport.

A choice takes particle i N w_i times on average. They differ by how much chance is left:

    multinomial   N independent draws
    residual      floor(N w_i) copies for sure, the rest by independent draws (Liu and Chen 1998)
    stratified    one draw from each N-th part of the cumulated weights (Kitagawa 1996)
    systematic    the same place in each of these parts: never off by one or more

`transported` moves particles instead, has no chance in it and a derivative.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dalib.filters.base import picked
from dalib.streams import Generator, uniform


def systematic(log_weights: Tensor, generator: Generator) -> Tensor:
    """(..., member) -> (..., member), ascending indices; `picked` with u uniform on [0, 1)."""
    u = uniform((*log_weights.shape[:-1], 1), generator, log_weights.dtype)
    return picked(log_weights, u.to(log_weights.device))


def stratified(log_weights: Tensor, generator: Generator) -> Tensor:
    """(..., member) -> (..., member), ascending indices of cumulated weights at (n + u_n) / N."""
    N = log_weights.shape[-1]
    u = _uniform(log_weights, generator)
    return _found(log_weights, (torch.arange(N, device=u.device) + u) / N)


def multinomial(log_weights: Tensor, generator: Generator) -> Tensor:
    """(..., member) -> (..., member), ascending indices of independent draws."""
    return _found(log_weights, _uniform(log_weights, generator).sort(-1).values)


def residual(log_weights: Tensor, generator: Generator) -> Tensor:
    """(..., member) -> (..., member), ascending: floor(N w_i) copies, the rest by draws.

    The rest of R draws comes from the weights N w_i - floor(N w_i).
    """
    N = log_weights.shape[-1]
    expected = N * log_weights.softmax(-1)
    copies = (expected + 8 * N * torch.finfo(expected.dtype).eps).floor()
    rest = N - copies.sum(-1, keepdim=True)
    draws = _uniform(log_weights, generator)
    drawn = _found((expected - copies).clamp(min=0).log(), draws)
    counted = torch.arange(N, device=draws.device) < rest  # the first R of as many draws
    copies = copies.scatter_add(-1, drawn, counted.to(copies))
    order = torch.arange(N, dtype=copies.dtype, device=copies.device).expand_as(copies)
    index = torch.searchsorted(copies.cumsum(-1), order.contiguous(), right=True)
    return index.clamp(max=N - 1)


def transported(
    log_weights: Tensor, members: Tensor, blur: float = 0.05, iterations: int = 100
) -> Tensor:
    """(..., member, state), equally likely states by optimal transport (Reich 2013).

        x_j <- N Σ_i T_ij x_i        Σ_j T_ij = w_i        Σ_i T_ij = 1 / N

    T moves the weighted particles to equal weights at the least Σ T_ij |x_i - x_j|² / c, c the mean
    squared distance, plus `blur` times its negative entropy, by iterations on its two marginals in
    logarithms (Cuturi 2013; as a resampling, Corenflos et al. 2021). The mean is that of the
    weighted particles; the more blur, the smaller the spread and the fewer iterations needed.
    Differentiable in weights and members.

    Args:
        log_weights: (..., member), normalised.
        members: (..., member, state).
    """
    N = members.shape[-2]
    square = members.square().sum(-1)
    cost = square[..., :, None] + square[..., None, :] - 2 * members @ members.mT
    scale = cost.mean((-1, -2), keepdim=True)
    kernel = -cost / (blur * torch.where(scale > 0, scale, 1.0))
    target = -math.log(N)
    f = torch.zeros_like(log_weights)
    g = target - (kernel + f[..., :, None]).logsumexp(-2)
    for _ in range(iterations):
        f = log_weights - (kernel + g[..., None, :]).logsumexp(-1)
        g = target - (kernel + f[..., :, None]).logsumexp(-2)
    T = (kernel + f[..., :, None] + g[..., None, :]).exp()  # columns sum to 1 / N
    moved = N * (T.mT @ members)
    mean = log_weights.exp()[..., None, :] @ members
    return moved + (mean - moved.mean(-2, keepdim=True))


CHOICES: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "systematic": systematic,
    "stratified": stratified,
    "residual": residual,
    "multinomial": multinomial,
}
TRANSPORT = "transport"


def check_resampling(name: str) -> None:
    """Refuse a name that no resampling has."""
    if name not in (*CHOICES, TRANSPORT):
        known = ", ".join([*CHOICES, TRANSPORT])
        raise ValueError(f"unknown resampling {name!r}; known: {known}")


def _uniform(log_weights: Tensor, generator: Generator) -> Tensor:
    u = uniform(tuple(log_weights.shape), generator, log_weights.dtype)
    return u.to(log_weights.device)


def _found(log_weights: Tensor, points: Tensor) -> Tensor:
    """Indices (..., member) of the intervals of cumulated weights that hold points in [0, 1)."""
    cumulated = log_weights.softmax(-1).nan_to_num().cumsum(-1)
    points = points * cumulated[..., -1:]
    index = torch.searchsorted(cumulated, points.contiguous(), right=True)
    return index.clamp(max=log_weights.shape[-1] - 1)
