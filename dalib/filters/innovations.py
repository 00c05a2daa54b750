"""Whether a filter knows how far off it is: innovations against what it says of their size.

With the innovation d = y - h(x_f) of a forecast and the variance S that its spread and the errors
of y give to d, d² / S is 1 on average where both are right (Desroziers et al. 2005, eq. 1; here for
each value alone). A filter that diverges keeps a small spread far from the truth, and d² / S grows.
"""

import torch
from torch import Tensor

from dalib.filters.errors import error_std, error_variances
from dalib.filters.linalg import jacobian, shared


def way(filter) -> str | None:
    """How d² / S is found: of the "series" where components are selected, else of each "time".

    None for filters that do not say how large the errors of y are, or that never look at y.
    """
    if not hasattr(filter, "obs_std") or not getattr(filter, "looks", True):
        return None
    operator = filter.observe.at(0) if hasattr(filter.observe, "at") else filter.observe
    operators = getattr(filter.observe, "operators", [operator])  # they may be of different kinds
    return "series" if all(hasattr(one, "selected") for one in operators) else "time"


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
    mean, variance = _predicted(filter, forecast)
    return _sums((y - mean).square() / (variance + error_std(filter, y) ** 2))


def of_both(filter, forecast, analysis, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Innovation d, √S and residual of y (..., obs), each like y."""
    mean, variance = _predicted(filter, forecast)
    residual = y - _mean_seen(filter, analysis)
    if way(filter) is None:
        return y - mean, torch.full_like(y - mean, torch.nan), residual
    return y - mean, (variance + error_std(filter, y) ** 2).sqrt().expand_as(residual), residual


def _mean_seen(filter, belief) -> Tensor:
    """(..., obs), the mean of h over a belief."""
    if not hasattr(belief, "members"):
        return filter.observe(belief.mean)
    return type(belief)(filter.observe(belief.members), *belief[1:]).mean


def _predicted(filter, forecast) -> tuple[Tensor, Tensor]:
    """Mean and variance (..., obs) of h over a forecast."""
    if hasattr(forecast, "members"):
        predicted = type(forecast)(filter.observe(forecast.members), *forecast[1:])
        return predicted.mean, predicted.std.square()
    mean = filter.observe(forecast.mean)
    if not hasattr(forecast, "cov"):  # of a kind that only its filter knows
        return mean, torch.full_like(mean, torch.nan)
    return mean, variance_seen(filter.observe, forecast)


def variance_seen(operator, forecast) -> Tensor:
    """(..., obs), the diagonal of H P Hᵀ; an estimate alone, of covariance 0, asks for no H."""
    if not shared(forecast.cov).any():
        return torch.zeros_like(forecast.mean[..., :1])
    tangent = getattr(operator, "tangent", lambda x: jacobian(operator, x))
    H = tangent(forecast.mean)
    return ((H @ forecast.cov) * H).sum(-1)


def of_times(sums: Tensor) -> Tensor:
    """(..., time, 2) of `of_time` -> (...,), mean of d² / S."""
    return _mean(sums, -2)


def _sums(ratios: Tensor) -> Tensor:
    known = ratios.isfinite()
    return torch.stack([torch.where(known, ratios, 0.0).sum(-1), known.sum(-1).to(ratios)], -1)


def _mean(sums: Tensor, axis: int) -> Tensor:
    total = sums.detach().sum(axis)
    return total[..., 0] / total[..., 1]  # 0 / 0 is NaN
