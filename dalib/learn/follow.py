"""A filter along observations it does not learn from: analyses and likelihoods."""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dalib.filters import Reset
from dalib.filters.checks import check_given
from dalib.filters.cycle import Cycle
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
    policy = Reset(restart_beyond, limit)
    run = Cycle(filter, prior, observations, generator, policy)
    rows, restarts = [], 0
    for step in tqdm(run.steps(), progress, run.times, disable=progress is None):
        log_det, misfit = (part.masked_fill(step.lost, torch.nan) for part in step.judged[:2])
        rows.append((step.analysis.mean, log_det, misfit))
        restarts = restarts + step.lost.long()
    mean, log_det, misfit = zip(*rows, strict=True)
    return Followed(
        torch.stack(mean, -2), torch.stack(log_det, -1), torch.stack(misfit, -1), restarts
    )
