"""The stage time: CPU time of methods for each state that comes out of them, measured in turn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import xarray as xr

from dalib.experiments import gridded_time, runs
from dalib.experiments.assimilate import given_to, told
from dalib.experiments.fit import ready, series_of
from dalib.experiments.sample import states_of
from dalib.experiments.spec import Forecasts, Timing, over
from dalib.streams import stream
from dalib.timing import cpu_seconds, in_turn


class Workload(NamedTuple):
    """Something to do, and how many states come out of it."""

    run: Callable[[], Any]
    states: int


def measured(
    timing: Mapping,
    timed: Mapping[str, Mapping],
    sections: Mapping[str, Mapping],
    inputs: Mapping[str, Sequence[xr.Dataset]],
) -> xr.Dataset:
    """cpu_seconds_per_state (method, repetition), of every method of some studies at its base.

    Args:
        timing: settings of `Timing`.
        timed: {study: task, role and runs}.
        sections: case.<study>, method.<study>.<method> and shared.<study>.<method>.
        inputs: <study>.observed, <study>.prior and <study>.fits, as far as there are any.
    """
    if any("sampled" in what for what in timed.values()):
        return gridded_time.measured(timing, timed, sections, inputs)
    settings, work = Timing(**timing), {}
    for study, what in timed.items():
        kinds = ("observed", "prior", "fits")
        given = {kind: inputs.get(f"{study}.{kind}", ()) for kind in kinds}
        for entry in what["runs"]:
            name = entry["method"]
            if name in work:
                raise ValueError(f"two studies time a method {name}; call one of them otherwise")
            parts = (sections.get(f"{part}.{study}.{name}", {}) for part in ("shared", "method"))
            method = {"role": what["role"], "section": over(*parts)}
            made = WORK[what["task"]]
            work[name] = made(settings, entry, method, sections[f"case.{study}"], **given)
    found = in_turn(
        {name: partial(cpu_seconds, load.run) for name, load in work.items()}, settings.repetitions
    )
    seconds = [[one / load.states for one in found[name]] for name, load in work.items()]
    attrs = {"units": "s", "long_name": "CPU time per state on one thread"}
    return xr.Dataset(
        {"cpu_seconds_per_state": (("method", "repetition"), seconds, attrs)},
        {"method": list(work)},
    )


def _assimilation(
    timing: Timing, entry: Mapping, method: Mapping, case: Mapping, observed, prior, fits
) -> Workload:
    """The first trajectories and samples of the observations."""
    seeds, times = slice(timing.seeds), slice(timing.samples)
    y = observed[entry["data"]].isel(seed=seeds, time=times)
    known = prior[entry["prior"]].isel(seed=seeds) if prior else None
    estimator = ready(entry, fits, case=case, **method, **given_to(y, known))
    series = series_of(y)
    return Workload(lambda: told(estimator, series, stream("timing")), series[..., 0].numel())


def _sampling(
    timing: Timing, entry: Mapping, method: Mapping, case: Mapping, observed, prior, fits
) -> Workload:
    """So many states."""
    generator = ready(entry, fits, case=case, **method)
    run = partial(states_of, generator, timing.count)
    return Workload(lambda: run(stream("timing")), timing.count)


def _forecasting(
    timing: Timing, entry: Mapping, method: Mapping, case: Mapping, observed, prior, fits
) -> Workload:
    """One forecast from the first context of the first trajectories."""
    forecaster = ready(entry, fits, case=case, **method)
    context = Forecasts(**runs.case_at(case, entry["values"])["forecast"]).context
    past = series_of(observed[entry["data"]])[: timing.seeds, :context]
    run = partial(forecaster.forecast, past, timing.count)
    return Workload(lambda: run(stream("timing")), len(past) * timing.count)


WORK: dict[str, Callable[..., Workload]] = {
    "assimilate": _assimilation,
    "sample": _sampling,
    "forecast": _forecasting,
}
