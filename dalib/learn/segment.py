"""One passage of a filter through some observations: differentiable, and guarded."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters import at
from dalib.filters.base import scored
from dalib.filters.checks import forecast_of
from dalib.learn.guards import beyond, clamped, lost, restarted
from dalib.streams import Generator, continue_from, positions


def likelihood(filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """Analysis, loss ½ log det S + ½ dᵀ S⁻¹ d of the innovation d, and dᵀ S⁻¹ d."""
    analysis, seen = scored(filter, forecast, y, generator)
    return analysis, 0.5 * (seen.log_det + seen.misfit), seen.misfit


def misfit(filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """Analysis, loss |d|² of the innovation d = y - h(forecast mean), and |d / σ|²."""
    d = torch.where(y.isnan(), 0.0, y - filter.observe(forecast.mean))
    std = torch.as_tensor(filter.obs_std).to(d)
    return filter.analyse(forecast, y, generator), d.square().sum(-1), (d / std).square().sum(-1)


LOSSES = {"likelihood": likelihood, "misfit": misfit}


class Passed(NamedTuple):
    """What a passage gave.

    belief: after the last time.
    scores: (time, run, trajectory), the loss of each time; 0 where lost.
    lost: (time, run, trajectory) bool, whether the trajectory had to start again.
    clamped: (run,), how many members were.
    """

    belief: tuple
    scores: Tensor
    lost: Tensor
    clamped: Tensor


class _Time(NamedTuple):
    forecast: Tensor | None  # states before they were clamped; all fields are of one time
    analysis: tuple
    score: Tensor
    distance: Tensor


@dataclass(frozen=True)
class Series:
    """Observations, where each of their trajectories starts, and how a filter is judged on them.

    A trajectory is lost when its innovation is further away than `furthest`, in standard deviations
    (|G⁻¹ d| with S = G Gᵀ), or when its analysis or loss is not finite. It then starts again from
    `first`, and its loss at that time is 0.

    Args:
        first: belief at time 0, leading axes (run, trajectory).
        observations: (run, trajectory, time, obs), NaN where missing.
        loss: a name in `LOSSES`.
        limit: forecast states are clamped to ± this, or None.
        furthest: the distance at which a trajectory is lost.
    """

    first: tuple
    observations: Tensor
    loss: str
    limit: float | None
    furthest: float

    def segments(self, length: int) -> list[range]:
        """Times of the segments of this length; the last may be shorter."""
        times = self.observations.shape[2]
        return [range(k, min(k + length, times)) for k in range(0, times, length)]

    def through(
        self, filter, belief, times: range, generator: Generator, *, cautious: bool = False
    ) -> Passed:
        """Pass `times` from the belief before them.

        At first nobody looks back: all is checked at the end, at once. If a trajectory was lost,
        the passage is repeated with the same noise and a check after every time; `cautious` does
        so at once. The results are the same.
        """
        if cautious:
            return self._guarded(filter, belief, times, generator)
        before, ys = positions(generator), self._observations(times)
        passed, latest = [], belief
        for k, y in zip(times, ys, strict=True):
            passed.append(self._advanced(at(filter, k), latest, y, generator))
            latest = passed[-1].analysis
        gone = self._lost(passed)
        if gone.any():
            continue_from(before, generator)
            return self._guarded(filter, belief, times, generator)
        return self._together(passed, gone)

    def _guarded(self, filter, belief, times: range, generator: Generator) -> Passed:
        passed, gones = [], []
        for k, y in zip(times, self._observations(times), strict=True):
            now, before = at(filter, k), positions(generator)
            one = self._advanced(now, belief, y, generator)
            gone = self._lost([one])[0]
            if gone.any():  # again from states that are not lost: 0 times NaN is a NaN gradient
                continue_from(before, generator)
                one = self._advanced(now, restarted(belief, self.first, gone), y, generator)
                analysis = restarted(one.analysis, self.first, gone)
                one = one._replace(analysis=analysis, score=torch.where(gone, 0.0, one.score))
            belief = one.analysis
            passed.append(one)
            gones.append(gone)
        return self._together(passed, torch.stack(gones))

    def _observations(self, times: range) -> tuple[Tensor, ...]:
        return self.observations[:, :, times.start : times.stop].unbind(2)

    def _advanced(self, filter, belief, y: Tensor, generator: Generator) -> _Time:
        forecast, states = clamped(forecast_of(filter, belief, generator), self.limit)
        if states.shape != belief[0].shape:
            raise ValueError(
                f"one step turns states of shape {tuple(belief[0].shape)} into "
                f"{tuple(states.shape)}; step() has to keep it: a parameter (run,) of the model "
                "meets states (run, trajectory, member, state) as value[:, None, None, None]"
            )
        unclamped = None if self.limit is None else states
        return _Time(unclamped, *LOSSES[self.loss](filter, forecast, y, generator))

    def _lost(self, passed: list[_Time]) -> Tensor:
        """(time, run, trajectory) bool."""
        analyses = [one.analysis[0].detach() for one in passed]
        sums = [x.sum(tuple(range(2, x.ndim))) for x in analyses]
        states = torch.stack(sums)[..., None]  # finite where all are
        scores = torch.stack([one.score.detach() for one in passed])
        distances = torch.stack([one.distance.detach() for one in passed])
        return lost(states, scores, distances, self.furthest)

    def _together(self, passed: list[_Time], gone: Tensor) -> Passed:
        count = gone.new_zeros(gone.shape[1], dtype=torch.int64)
        if self.limit is not None:
            states = torch.stack([one.forecast.detach() for one in passed])
            count = (beyond(states, self.limit, gone.ndim) * ~gone).sum((0, 2))
        scores = torch.stack([one.score for one in passed])
        return Passed(passed[-1].analysis, scores, gone, count)
