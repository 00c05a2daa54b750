"""Proper scores of a forecast, in the space of the observations: what tuning makes small.

Foretold is y = h(x) + e with x of the forecast and e ~ N(0, R), so that the errors of y belong to
what is scored: with them the truth about y has the least score on average, and σ itself can be
learned. Members count without bias of their number (fair scores, Ferro 2014). Scores are averaged
over the values of a time that are not missing, in the units of y.
"""

import math

import torch
from torch import Tensor

from dalib.filters.errors import error_std, present
from dalib.filters.innovations import variance_seen
from dalib.filters.linalg import like
from dalib.streams import Generator, normal


def crps(filter, forecast, y: Tensor) -> Tensor:
    """(...,), continuous ranked probability score of y (..., obs), mean over its values.

        Σ_n w_n A(y - h_n, σ²) - ½ Σ_n≠m w_n w_m A(h_n - h_m, 2σ²) / (1 - Σ w²)
        A(d, s²) = E |d + s ξ| = 2 s φ(d/s) + d (2 Φ(d/s) - 1)

    of the mixture of Gaussians around what members h_n = h(x_n) see (Grimit et al. 2006); of a
    Gaussian belief with the mean m and the variance S of what is seen, A(y - m, S) - (S/π)^½.
    """
    seen = ~y.isnan()
    y, std = y.nan_to_num(), error_std(filter, y).expand_as(y)
    if hasattr(forecast, "members"):
        score = _of_mixture(filter.observe(forecast.members), _weights(forecast), y, std)
    else:
        S = variance_seen(filter.observe, forecast) + std.square()
        score = _absolute(y - filter.observe(forecast.mean), S.sqrt()) - (S / math.pi).sqrt()
    return _mean(score, seen)


def energy(filter, forecast, y: Tensor, generator: Generator) -> Tensor:
    """(...,), energy score of y (..., obs) over the root of how many values there are.

        Σ_n w_n |y - y_n| - ½ Σ_n≠m w_n w_m |y_n - y_m| / (1 - Σ w²)        y_n = h(x_n) + σ ξ_n

    (Gneiting and Raftery 2007, eq. 22). Of all values together, so that it also knows whether
    members vary together as they should. Of a Gaussian belief, see `crps`: it has no members.
    """
    if not hasattr(forecast, "members"):
        raise TypeError(
            f"an energy score compares members, and {type(forecast).__name__} has none; give "
            'loss="crps" or "likelihood"'
        )
    seen = ~y.isnan()
    predicted = filter.observe(forecast.members)
    noise = normal(tuple(predicted.shape), generator, predicted.dtype).to(predicted.device)
    if getattr(filter, "obs_cov", None) is not None:
        drawn = predicted + noise @ torch.linalg.cholesky(like(present(filter), predicted)).mT
    else:
        drawn = predicted + error_std(filter, y).expand_as(y)[..., None, :] * noise
    drawn = torch.where(seen[..., None, :], drawn, 0.0)
    w = _weights(forecast)
    away = (w * _norm(drawn - y.nan_to_num()[..., None, :])).sum(-1)
    pairs = _norm(drawn[..., :, None, :] - drawn[..., None, :, :])
    count = seen.sum(-1).clamp(min=1).to(away)
    return (away - 0.5 * _apart(pairs, w)) / count.sqrt()


def _of_mixture(h: Tensor, w: Tensor, y: Tensor, std: Tensor) -> Tensor:
    """(..., obs), from h (..., member, obs), w (..., member), y and std (..., obs)."""
    s = std[..., None, :]
    away = (w[..., None] * _absolute(y[..., None, :] - h, s)).sum(-2)
    pairs = _absolute(h[..., :, None, :] - h[..., None, :, :], math.sqrt(2) * s[..., None, :])
    return away - 0.5 * _apart(pairs.movedim(-1, 0), w).movedim(0, -1)


def _apart(pairs: Tensor, w: Tensor) -> Tensor:
    """Mean of pairs (..., n, m) over two members that are not the same one, of weights w."""
    product = w[..., :, None] * w[..., None, :]
    product = product - torch.diag_embed(w.square())
    return (product * pairs).sum((-1, -2)) / product.sum((-1, -2))


def _absolute(d: Tensor, s: Tensor) -> Tensor:
    """E |d + s ξ|."""
    z = d / s
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return 2 * s * density + d * torch.erf(z / math.sqrt(2))


def _norm(x: Tensor) -> Tensor:
    """|x| (..., obs) -> (...), with the derivative 0 at 0."""
    square = x.square().sum(-1)
    return torch.where(square > 0, square.where(square > 0, 1.0).sqrt(), 0.0)


def _weights(forecast) -> Tensor:
    if hasattr(forecast, "log_weights"):
        return forecast.log_weights.exp()
    members = forecast.members
    return members.new_full(members.shape[:-1], 1 / members.shape[-2])


def _mean(score: Tensor, seen: Tensor) -> Tensor:
    total = torch.where(seen, score, 0.0).sum(-1)
    return total / seen.sum(-1).clamp(min=1).to(total)
