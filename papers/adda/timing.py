"""What filters that learn cost: CPU time of this process for their steps and their updates.

Process time on one thread, not wall time, so that what else runs on the machine counts little. One
repeat, with all its trajectories at once, as it starts to learn.
"""

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import xarray as xr

from dalib import build
from dalib.filters.cycle import Open, passage
from dalib.points import Group, base_point, one_repeat, training_of
from dalib.timing import in_turn
from papers.adda.learning import Experiment


class Timed(NamedTuple):
    """CPU seconds: a step of one trajectory, an update and an epoch of all."""

    forecast: float
    analysis: float
    update: float
    epoch: float


LONG_NAMES = {
    "forecast": "CPU time of one forecast of one trajectory, all members",
    "analysis": "CPU time of one analysis of one trajectory",
    "update": "CPU time of one gradient update of one repeat, all trajectories",
    "epoch": "CPU time of all updates of an epoch of one repeat",
}


def measured(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """cpu_seconds_<what> (method, repetition) of every filter of some experiments.

    forecast, analysis: a step of one trajectory, the mean over segments; the filter is made anew
        for each of them, as in learning, so that what it computes once counts.
    update: the gradient of one segment of all trajectories, and the step of the optimiser.
    epoch: as many updates as the training observations have segments.

    In each repetition all filters take their turn, so that values of the same repetition were
    measured under the same load and can be compared in pairs.

    Filters of the second and further experiments have its name before their own. Where `fixed`
    holds something that they learn, they are timed also without learning it.

    Args:
        sections: `settings` (the timing of the case), and of each experiment `case_<name>`, that
            it runs on, and `experiment_<name>`.
        inputs: `observations_<name>` of training.
    """
    settings = sections["settings"]
    rows = {}
    for position, name in enumerate(settings["experiments"]):
        case, data = sections[f"case_{name}"], inputs[f"observations_{name}"]
        given = settings.get("fixed", {}).get(name, {})
        for label, section, filter in _variants(sections[f"experiment_{name}"], given):
            label = f"{name}_{label}" if position else label
            rows[label] = Timing.of(case, section, filter, data, settings["updates"])
    found = in_turn({label: row.once for label, row in rows.items()}, settings["repetitions"])
    return xr.Dataset(
        {
            f"cpu_seconds_{what}": (
                ("method", "repetition"),
                [[one._asdict()[what] for one in found[label]] for label in rows],
                {"units": "s", "long_name": long_name},
            )
            for what, long_name in LONG_NAMES.items()
        },
        {"method": list(rows)},
    )


def _variants(section: Mapping, given: Mapping) -> Iterator[tuple[str, Mapping, str]]:
    """(label, experiment, filter), each filter as it is and with something fixed by settings."""
    for filter, learned in section["learned"].items():
        yield filter, section, filter
        for what, settings in given.items():
            if what not in learned:
                raise ValueError(
                    f"timing.fixed: {filter!r} does not learn {what!r}; it learns "
                    f"{', '.join(learned)}"
                )
            own = {filter: section["filters"][filter] | settings}
            others = {filter: build.without(learned, what)}
            fixed = {"filters": section["filters"] | own, "learned": section["learned"] | others}
            yield f"{filter}_fixed_{what}", section | fixed, filter


class Timing(NamedTuple):
    """One filter of one experiment, to be timed again and again."""

    one: Experiment
    data: xr.Dataset  # as many segments as are timed, and one to warm up
    updates: int
    segments: int  # of an epoch

    @classmethod
    def of(
        cls, case: Mapping, section: Mapping, filter: str, data: xr.Dataset, updates: int
    ) -> "Timing":
        """The filter at its base point, with one repeat, in one epoch of few updates."""
        point, length = base_point(section, filter), training_of(section, filter)["segment"]
        segments = -(-int(point.get("samples", data.sizes["time"])) // length)
        updates = min(updates, segments - 1)
        if updates < 1:
            raise ValueError(
                f"timing: {filter!r} learns from {segments} segment of {length} times; it takes "
                "one to warm up and one to be timed: give more samples or shorter segments"
            )
        sections = {"case": case, "model": one_repeat(section, filter, epochs=1)}
        one = Experiment(sections, Group(filter, (point,)), "timing/once", "cpu")
        return cls(one, data.isel(time=slice((1 + updates) * length)), updates, segments)

    def once(self) -> Timed:
        """One measurement."""
        update = _update(self.one, self.data)
        forecast, analysis = _steps(self.one, self.data, self.updates)
        return Timed(forecast, analysis, update, self.segments * update)


def _update(one: Experiment, data: xr.Dataset) -> float:
    """CPU seconds of an update, the mean over those of an epoch but its first."""
    clock: list[float] = []
    one.learn(data, lambda state: clock.append(time.process_time()), None)
    return (clock[-1] - clock[0]) / (len(clock) - 1)


@torch.no_grad()
def _steps(one: Experiment, data: xr.Dataset, segments: int) -> tuple[float, float]:
    """CPU seconds of a forecast and of an analysis of one trajectory, the mean over segments."""
    trajectories, length = one.training["trajectories"], one.training["segment"]
    ys = one.observations(data, trajectories)[..., : segments * length, :]
    make, generator, limit = one.make(ys.shape[-2]), one.generator("timing"), one.settings().limit
    values = {name: part.start for name, part in one.learnables(ys.shape[-1]).items()}
    belief = make(values).start(one.prior(trajectories, "first state"), generator)
    clock = Clock()
    timed = {"forecast": clock.forecast, "judge": clock.analysis}
    for first in range(0, ys.shape[-2], length):
        part = ys[..., first : first + length, :].unbind(-2)
        times, filter = range(first, first + len(part)), make(values)
        for step in passage(filter, belief, times, part, generator, Open(limit), **timed):
            belief = step.belief
    steps = ys.shape[-2] * trajectories
    return clock.forecasts / steps, clock.analyses / steps


class Clock:
    """CPU seconds that the forecasts and analyses of a filter took."""

    def __init__(self) -> None:
        self.forecasts = self.analyses = 0.0

    def forecast(self, filter, belief, generator):
        """The forecast, timed."""
        start = time.process_time()
        made = filter.forecast(belief, generator)
        self.forecasts += time.process_time() - start
        return made

    def analysis(self, filter, forecast, y, generator):
        """The analysis, timed, and nothing beside it."""
        start = time.process_time()
        made = filter.analyse(forecast, y, generator)
        self.analyses += time.process_time() - start
        return made, None
