"""Whether a filter knows how far off it is: innovations against what it says of their size.

With the innovation d = y - h(x_f) of a forecast and the variance S that its spread and the errors
of y give to d, d² / S is 1 on average where both are right (Desroziers et al. 2005, eq. 1; here for
each value alone). A filter that diverges keeps a small spread far from the truth, and d² / S grows.
"""

import math

import torch
from torch import Tensor

from dalib.filters.errors import error_std, error_variances
from dalib.filters.linalg import jacobian, shared

INCONSISTENT = 2.0  # innovations 1.4 times as large as they should be


def way(filter) -> str | None:
    """How d² / S is found: of the "series" where components are selected, else of each "time".

    None for filters that do not say how large the errors of y are, or that never look at y.
    """
    if not hasattr(filter, "obs_std") or not getattr(filter, "looks", True):
        return None
    operator = filter.observe.at(0) if hasattr(filter.observe, "at") else filter.observe
    return "series" if hasattr(operator, "selected") else "time"


def of_series(filter, mean: Tensor, std: Tensor, y: Tensor) -> Tensor:
    """(...,), mean of d² / S, from forecast mean and std (..., time, state) and y (..., time, obs).

    For operators that select components, whose S is std² + obs_std² at these.
    """
    size, times = mean.shape[-1], range(y.shape[-2])
    if hasattr(filter.observe, "at"):
        index = torch.stack([filter.observe.at(k).selected(size) for k in times])
    else:
        index = filter.observe.selected(size)
    index = index.to(mean.device).expand(y.shape)
    S = std.gather(-1, index).square() + error_variances(filter, y)
    return _mean(_sums((y - mean.gather(-1, index)).square() / S), -2)


def of_time(filter, forecast, y: Tensor) -> Tensor:
    """(..., 2), Σ d² / S over the values of y (..., obs), and how many are known."""
    if hasattr(forecast, "members"):
        predicted = type(forecast)(filter.observe(forecast.members), *forecast[1:])
        mean, variance = predicted.mean, predicted.std.square()
    else:
        operator, mean = filter.observe, filter.observe(forecast.mean)
        variance = _variance_seen(operator, forecast)
    return _sums((y - mean).square() / (variance + error_std(filter, y) ** 2))


def _variance_seen(operator, forecast) -> Tensor:
    """(..., obs), the diagonal of H P Hᵀ; an estimate alone, of covariance 0, asks for no H."""
    if not shared(forecast.cov).any():
        return torch.zeros_like(forecast.mean[..., :1])
    tangent = getattr(operator, "tangent", lambda x: jacobian(operator, x))
    H = tangent(forecast.mean)
    return ((H @ forecast.cov) * H).sum(-1)


def of_times(sums: Tensor) -> Tensor:
    """(..., time, 2) of `of_time` -> (...,), mean of d² / S."""
    return _mean(sums, -2)


def limit(times: int) -> float:
    """What a mean over `times` is inconsistent beyond: three standard deviations above.

    Values of one time are taken to vary together.
    """
    return INCONSISTENT + 3 * math.sqrt(2 / times)


def _sums(ratios: Tensor) -> Tensor:
    known = ratios.isfinite()
    return torch.stack([torch.where(known, ratios, 0.0).sum(-1), known.sum(-1).to(ratios)], -1)


def _mean(sums: Tensor, axis: int) -> Tensor:
    total = sums.detach().sum(axis)
    return total[..., 0] / total[..., 1]  # 0 / 0 is NaN
