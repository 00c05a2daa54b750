"""One passage of a filter through some observations: differentiable, and guarded."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters import scored
from dalib.filters.cycle import Open, Step, lost, passage, restarted
from dalib.filters.errors import error_std
from dalib.learn.scores import crps, energy
from dalib.streams import Generator, continue_from, positions


class Judged(NamedTuple):
    """Of one time (run, trajectory): the loss, and how far the innovation is, squared."""

    score: Tensor
    distance: Tensor


def likelihood(filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """Analysis; loss ½ log det S + ½ dᵀ S⁻¹ d of the innovation d, and dᵀ S⁻¹ d."""
    analysis, seen = scored(filter, forecast, y, generator)
    return analysis, Judged(0.5 * (seen.log_det + seen.misfit), seen.misfit)


def misfit(filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """Analysis; loss |d|² of the innovation d = y - h(forecast mean), and |d / σ|²."""
    d = torch.where(y.isnan(), 0.0, y - filter.observe(forecast.mean))
    std = error_std(filter, d)
    judged = Judged(d.square().sum(-1), (d / std).square().sum(-1))
    return filter.analyse(forecast, y, generator), judged


def ranked(filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """Analysis; loss `scores.crps`, and |d / σ|² of the innovation d of the mean."""
    score = crps(filter, forecast, y)
    return filter.analyse(forecast, y, generator), Judged(score, _distance(filter, forecast, y))


def together(filter, forecast, y: Tensor, generator: Generator) -> tuple:
    """Analysis; loss `scores.energy`, and |d / σ|² of the innovation d of the mean."""
    score = energy(filter, forecast, y, generator)
    return filter.analyse(forecast, y, generator), Judged(score, _distance(filter, forecast, y))


@torch.no_grad()
def _distance(filter, forecast, y: Tensor) -> Tensor:
    d = torch.where(y.isnan(), 0.0, y - filter.observe(forecast.mean))
    return (d / error_std(filter, y)).square().sum(-1)


LOSSES = {"likelihood": likelihood, "misfit": misfit, "crps": ranked, "energy": together}


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


class _Noting(Open):
    """Shows forecast states as they were before they were clamped; refuses other shapes."""

    def __init__(self, shape: torch.Size, limit: float | None) -> None:
        super().__init__(limit)
        self.shape = shape

    def before(self, forecast) -> tuple:
        """The forecast with states within the limit, and the states before."""
        states = forecast[0]
        if states.shape != self.shape:
            raise ValueError(
                f"one step turns states of shape {tuple(self.shape)} into "
                f"{tuple(states.shape)}; step() has to keep it: a parameter (run,) of the model "
                "meets states (run, trajectory, member, state) as value[:, None, None, None]"
            )
        return super().before(forecast)[0], states


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
        before = positions(generator)
        passed = list(self._passage(filter, belief, times, generator))
        gone = self._lost(passed)
        if gone.any():
            continue_from(before, generator)
            return self._guarded(filter, belief, times, generator)
        return self._together(passed, gone)

    def _guarded(self, filter, belief, times: range, generator: Generator) -> Passed:
        passed, gones = [], []
        for k in times:
            before, now = positions(generator), range(k, k + 1)
            (one,) = self._passage(filter, belief, now, generator)
            gone = self._lost([one])[0]
            if gone.any():  # again from states that are not lost: 0 times NaN is a NaN gradient
                continue_from(before, generator)
                anew = restarted(belief, self.first, gone)
                (one,) = self._passage(filter, anew, now, generator)
                judged = one.judged._replace(score=torch.where(gone, 0.0, one.judged.score))
                belief = restarted(one.belief, self.first, gone)
                one = one._replace(belief=belief, judged=judged)
            belief = one.belief
            passed.append(one)
            gones.append(gone)
        return self._together(passed, torch.stack(gones))

    def _passage(self, filter, belief, times: range, generator: Generator):
        ys = self.observations[:, :, times.start : times.stop].unbind(2)
        guard = _Noting(belief[0].shape, self.limit)
        return passage(filter, belief, times, ys, generator, guard, judge=LOSSES[self.loss])

    def _lost(self, passed: list[Step]) -> Tensor:
        """(time, run, trajectory) bool."""
        analyses = [one.belief[0].detach() for one in passed]
        sums = [x.sum(tuple(range(2, x.ndim))) for x in analyses]
        states = torch.stack(sums)[..., None]  # finite where all are
        scores = torch.stack([one.judged.score.detach() for one in passed])
        distances = torch.stack([one.judged.distance.detach() for one in passed])
        return lost(states, scores, distances, self.furthest)

    def _together(self, passed: list[Step], gone: Tensor) -> Passed:
        count = gone.new_zeros(gone.shape[1], dtype=torch.int64)
        if self.limit is not None:
            states = torch.stack([one.forecast.detach() for one in passed])
            count = (beyond(states, self.limit, gone.ndim) * ~gone).sum((0, 2))
        scores = torch.stack([one.judged.score for one in passed])
        return Passed(passed[-1].belief, scores, gone, count)


def beyond(states: Tensor, limit: float, leading: int) -> Tensor:
    """How many states (..., state) are not within ± limit, over all but the `leading` axes."""
    return (states.abs() > limit).any(-1).reshape(*states.shape[:leading], -1).sum(-1)
