"""What filters that learn cost: CPU time of this process for their steps and their updates.

Process time on one thread, not wall time, so that what else runs on the machine counts little. One
repeat, with all its trajectories at once, as it starts to learn.
"""

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import xarray as xr
from tqdm import tqdm

from dalib import build
from dalib.cases.learning import Experiment
from dalib.filters import at
from dalib.learn.guards import clamped
from dalib.points import Group, base_point, one_repeat, training_of


class Timed(NamedTuple):
    """CPU seconds, each (repetition,): a step of one trajectory, an update and an epoch of all."""

    forecast: list[float]
    analysis: list[float]
    update: list[float]
    epoch: list[float]


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
            rows[label] = (case, section, filter, data)
    found = [_timed(*row, settings) for row in tqdm(rows.values(), "timing")]
    return xr.Dataset(
        {
            f"cpu_seconds_{what}": (
                ("method", "repetition"),
                [one._asdict()[what] for one in found],
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


def _timed(
    case: Mapping, section: Mapping, filter: str, data: xr.Dataset, settings: Mapping
) -> Timed:
    repetitions, point = settings["repetitions"], base_point(section, filter)
    length, times = (
        training_of(section, filter)["segment"],
        int(point.get("samples", data.sizes["time"])),
    )
    updates = min(settings["updates"], -(-times // length))
    sections = {"case": case, "model": one_repeat(section, filter, epochs=1 + repetitions)}
    one = Experiment(sections, Group(filter, (point,)), "timing/once", "cpu")
    data = data.isel(time=slice(updates * length))
    update = [seconds / updates for seconds in _epochs(one, data, updates)]
    forecast, analysis = zip(
        *(_steps(one, data, updates) for _ in range(1 + repetitions)), strict=True
    )
    epoch = [-(-times // length) * seconds for seconds in update]
    return Timed(list(forecast[1:]), list(analysis[1:]), update, epoch)


def _epochs(one: Experiment, data: xr.Dataset, updates: int) -> list[float]:
    """CPU seconds of each epoch of learning but the first, which warms up."""
    clock: list[float] = []
    one.learn(data, lambda state: clock.append(time.process_time()), None)
    ends = clock[updates - 1 :: updates]
    return [after - before for before, after in zip(ends, ends[1:], strict=False)]


@torch.no_grad()
def _steps(one: Experiment, data: xr.Dataset, segments: int) -> tuple[float, float]:
    """CPU seconds of a forecast and of an analysis of one trajectory, the mean over segments."""
    trajectories, length = one.training["trajectories"], one.training["segment"]
    ys = one.observations(data, trajectories)
    make, generator, limit = one.make(ys.shape[-2]), one.generator("timing"), one.settings().limit
    values = {name: part.start for name, part in one.learnables(ys.shape[-1]).items()}
    belief = make(values).start(one.prior(trajectories, "first state"), generator)
    forecasts = analyses = 0.0
    for k, y in enumerate(ys.unbind(-2)):
        if k % length == 0:
            filter = make(values)
        now, start = at(filter, k), time.process_time()
        forecast, _ = clamped(now.forecast(belief, generator), limit)
        middle = time.process_time()
        belief = now.analyse(forecast, y, generator)
        forecasts, analyses = forecasts + middle - start, analyses + time.process_time() - middle
    steps = ys.shape[-2] * trajectories
    return forecasts / steps, analyses / steps
