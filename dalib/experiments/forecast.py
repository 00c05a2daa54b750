"""The stage forecast: every run forecasts from stretches of observations, and runs free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.experiments import runs
from dalib.experiments.fit import interval_of, names_of, ready, series_of
from dalib.experiments.spec import OF_METHODS, Forecasts
from dalib.streams import stream

CASE = {"units": "1", "long_name": "forecast: of the starts of each test trajectory in turn"}
TRAJECTORY = {"units": "1", "long_name": "test trajectory of the forecast"}
START = {"units": "1", "long_name": "time of the last sample before the forecast"}
LEAD = {"units": "1", "long_name": "lead time"}
CHAIN = {"units": "1", "long_name": "free run from the first start of a test trajectory"}


def forecasts(
    role: str,
    section: Mapping,
    case: Mapping,
    entries: Sequence[Mapping],
    context: Sequence[xr.Dataset],
    fits: Sequence[xr.Dataset],
    experiment: str,
    device: str = "cpu",
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """forecast (run, member, case, lead, state) and free_run (run, chain, time, state).

    `analysis` (run, case, state) stands beside them where a method tells what it starts from. Runs
    of one fit that differ in settings alone that it does not read are forecast side by side by a
    method that can, to the same values.

    Args:
        section: `kind` and settings of the method.
        entries: runs as a spec has them, with `data`, the number of its context.
        context: observations of the test part, or the truth where a case has none.
        fits: files of the stage fit; none where there is nothing to fit.
        checkpoint: from which a long forecast continues, as if it had not been interrupted.
    """
    made: dict[int, xr.Dataset] = {}
    saved = Parts(checkpoint)
    for chosen in side_by_side(role, section, entries):
        every = [ready(entries[i], fits, role, section, case, device) for i in chosen]
        entry = entries[chosen[0]]
        settings = Forecasts(**runs.case_at(case, entry["values"])["forecast"])
        names = (experiment, entry["replicate"])
        work = _Work(every, names, str(chosen), saved)
        found = _run(work, settings, context[entry["data"]], device)
        made |= dict(zip(chosen, found, strict=True))
    return xr.concat(
        [made[i] for i in range(len(entries))], "run", coords="minimal", compat="override"
    ).assign_coords(runs.labels(entries))


def side_by_side(role: str, section: Mapping, entries: Sequence[Mapping]) -> list[list[int]]:
    """Numbers of the runs that differ in settings alone that their fit does not read."""
    later = getattr(build.resolve(role, section["kind"]), "after_fit", ())
    unread = {f"{OF_METHODS}.{name}" for name in later}
    found: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        values = {name: v for name, v in entry["values"].items() if name not in unread}
        found.setdefault(f"{values} {entry['replicate']} {entry['data']}", []).append(i)
    return list(found.values())


@dataclass(frozen=True)
class _Work:
    """Variants of a fitted method that are forecast side by side.

    methods: they differ in settings that their fit does not read.
    names: of their random streams, before the purpose.
    name: of the work, under which it is continued.
    """

    methods: Sequence[Any]
    names: tuple
    name: str
    saved: Parts

    def forecast(self, past: Tensor, horizon: int, purpose: str) -> list[Tensor]:
        """(member, case, horizon, state) of each."""
        first = self.methods[0]
        if hasattr(first, "forecast_each"):
            kept = self.saved.of(f"{self.name} {purpose}")
            found = first.forecast_each(self.methods, past, horizon, self._stream(purpose), **kept)
        else:
            found = [one.forecast(past, horizon, self._stream(purpose)) for one in self.methods]
        return [_finite(one) for one in found]

    def free_run(self, past: Tensor, count: int, discard: int) -> list[Tensor]:
        """(chain, time, state) of each, the first member, less what statistics leave out."""
        if hasattr(self.methods[0], "free_run"):
            every = [one.free_run(past, count, self._stream("free run")) for one in self.methods]
            return [_finite(one)[:, discard:] for one in every]
        return [one[0, :, discard:] for one in self.forecast(past, count, "free run")]

    def _stream(self, purpose: str) -> torch.Generator:
        return stream(*self.names, purpose)


def _run(
    work: _Work, settings: Forecasts, observed: xr.Dataset, device: str = "cpu"
) -> list[xr.Dataset]:
    y, interval = series_of(observed).to(device), interval_of(observed)
    starts = start_indices(settings, y.shape[1], seen(y))
    past = torch.stack([y[:, i - settings.context : i] for i in starts], 1).flatten(0, 1)
    every = work.forecast(past, settings.horizon, "forecast")
    dims = ("member", "case", "lead", "state")
    found = [{"forecast": arrays.labelled(dims, ahead, "1", "forecast")} for ahead in every]
    for method, one in zip(work.methods, found, strict=True):
        if hasattr(method, "analysis"):
            start, text = method.analysis(past), "what a forecast starts from"
            one["analysis"] = arrays.labelled(("case", "state"), start, "1", text)
    coords = {
        "case": ("case", np.arange(len(past)), CASE),
        "trajectory": ("case", np.repeat(observed.seed.values, len(starts)), TRAJECTORY),
        "start": ("case", np.tile(observed.time.values[np.array(starts) - 1], len(y)), START),
        "lead": ("lead", _times(settings.horizon, interval), LEAD),
        "state": ("state", names_of(observed), arrays.STATE),
    }
    if settings.climate:
        past = y[:, settings.seen - settings.context : settings.seen]
        free = work.free_run(past, settings.climate, settings.discard)
        for one, x in zip(found, free, strict=True):
            one["free_run"] = arrays.labelled(("chain", "time", "state"), x, "1", "free run")
        coords |= {
            "chain": ("chain", observed.seed.values, CHAIN),
            "time": ("time", _times(settings.climate - settings.discard, interval), arrays.TIME),
        }
    return [xr.Dataset(one, coords) for one in found]


def _finite(x: Tensor) -> Tensor:
    """NaN for what has diverged to infinity."""
    return x.where(x.isfinite(), torch.nan)


def _times(count: int, interval: float) -> np.ndarray:
    return np.arange(1, count + 1) * interval


def seen(y: Tensor) -> int:
    """How many samples of trajectories (case, time, state) there are before all are missing."""
    there = y.isfinite().flatten(2).any(-1).any(0)
    return int(there.nonzero().max()) + 1 if there.any() else 0


def start_indices(settings: Forecasts, samples: int, observed: int | None = None) -> list[int]:
    """How many samples of a trajectory have been seen at each start.

    Args:
        samples: of a trajectory.
        observed: the number of them that are observed, all by default.

    Raises:
        ValueError: the trajectory is too short.
    """
    last = min(samples - settings.horizon, samples if observed is None else observed)
    if last < settings.seen + settings.starts - 1:
        raise ValueError(
            f"{settings.starts} forecasts of {settings.horizon} samples from {settings.seen} on do "
            f"not fit into {samples} samples; make truth.test.samples at least "
            f"{settings.seen + settings.starts - 1 + settings.horizon}, or shorten them"
        )
    return np.linspace(settings.seen, last, settings.starts).astype(int).tolist()
