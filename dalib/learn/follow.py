"""A filter along observations it does not learn from: analyses and likelihoods."""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dalib.filters.base import at, scored
from dalib.filters.checks import check_given, forecast_of
from dalib.learn.guards import clamped, restarted, strayed
from dalib.streams import Generator


class Followed(NamedTuple):
    """mean (..., time, state); log_det, misfit (..., time); restarts (...,) int.

    log_det and misfit are NaN where the series had to start again: they tell nothing of the filter.
    """

    mean: Tensor
    log_det: Tensor
    misfit: Tensor
    restarts: Tensor


@torch.no_grad()
def follow(
    filter,
    prior,
    observations: Tensor,
    *,
    limit: float | None = None,
    restart_beyond: float = 1e3,
    progress: str | None = None,
    generator: Generator,
) -> Followed:
    """Analysis means of `observations` (..., time, obs) and the parts of their log-likelihood.

    What goes wrong is treated as in `learn`: members beyond `limit` are set to it, and a series
    whose innovation exceeds `restart_beyond` standard deviations starts again from the prior.
    """
    check_given(filter, prior, observations, generator)
    first = belief = filter.start(prior, generator)
    restarts = torch.zeros(observations.shape[:-2], dtype=torch.int64, device=observations.device)
    rows = []
    series = tqdm(observations.unbind(-2), progress, disable=progress is None)
    for k, y in enumerate(series):
        now = at(filter, k)
        forecast, _ = clamped(forecast_of(now, belief, generator), limit)
        belief, likelihood = scored(now, forecast, y, generator)
        lost = strayed(belief, likelihood, restart_beyond)
        belief = restarted(belief, first, lost)
        restarts += lost
        log_det, misfit = (part.masked_fill(lost, torch.nan) for part in likelihood[:2])
        rows.append((belief.mean, log_det, misfit))
    mean, log_det, misfit = zip(*rows, strict=True)
    return Followed(
        torch.stack(mean, -2), torch.stack(log_det, -1), torch.stack(misfit, -1), restarts
    )
