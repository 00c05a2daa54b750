"""The stage forecast: every run forecasts from stretches of observations, and runs free."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.experiments import runs
from dalib.experiments.fit import interval_of, names_of, ready, series_of
from dalib.experiments.spec import Forecasts
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
) -> xr.Dataset:
    """forecast (run, member, case, lead, state) and free_run (run, chain, time, state).

    `analysis` (run, case, state) stands beside them where a method tells what it starts from.

    Args:
        section: `kind` and settings of the method.
        entries: runs as a spec has them, with `data`, the number of its context.
        context: observations of the test part, or the truth where a case has none.
        fits: files of the stage fit; none where there is nothing to fit.
    """
    made = []
    for entry in entries:
        method = ready(entry, fits, role, section, case, device)
        settings = Forecasts(**runs.case_at(case, entry["values"])["forecast"])
        generator = stream(experiment, entry["replicate"], "forecast")
        made.append(_run(method, settings, context[entry["data"]], generator, device))
    return xr.concat(made, "run", coords="minimal", compat="override").assign_coords(
        runs.labels(entries)
    )


def _run(
    method: Any, settings: Forecasts, observed: xr.Dataset, generator, device: str = "cpu"
) -> xr.Dataset:
    y, interval = series_of(observed).to(device), interval_of(observed)
    starts = start_indices(settings, y.shape[1], seen(y))
    past = torch.stack([y[:, i - settings.context : i] for i in starts], 1).flatten(0, 1)
    ahead = _finite(method.forecast(past, settings.horizon, generator))
    found = {
        "forecast": arrays.labelled(("member", "case", "lead", "state"), ahead, "1", "forecast")
    }
    if hasattr(method, "analysis"):
        start = method.analysis(past)
        found["analysis"] = arrays.labelled(
            ("case", "state"), start, "1", "what a forecast starts from"
        )
    coords = {
        "case": ("case", np.arange(len(past)), CASE),
        "trajectory": ("case", np.repeat(observed.seed.values, len(starts)), TRAJECTORY),
        "start": ("case", np.tile(observed.time.values[np.array(starts) - 1], len(y)), START),
        "lead": (
            "lead",
            _times(ahead.shape[2], interval),
            {"units": "1", "long_name": "lead time"},
        ),
        "state": ("state", names_of(observed), arrays.STATE),
    }
    if settings.climate:
        free = _free_run(method, settings, y, generator)
        found["free_run"] = arrays.labelled(("chain", "time", "state"), free, "1", "free run")
        coords |= {
            "chain": ("chain", observed.seed.values, CHAIN),
            "time": ("time", _times(free.shape[1], interval), arrays.TIME),
        }
    return xr.Dataset(found, coords)


def _free_run(method: Any, settings: Forecasts, y: Tensor, generator) -> Tensor:
    """(chain, time, state), the first member, less what statistics leave out."""
    past = y[:, : settings.context]
    if hasattr(method, "free_run"):
        return _finite(method.free_run(past, settings.climate, generator)[:, settings.discard :])
    return _finite(method.forecast(past, settings.climate, generator)[0, :, settings.discard :])


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
    if last < settings.context + settings.starts - 1:
        raise ValueError(
            f"{settings.starts} forecasts of {settings.horizon} samples from a context of "
            f"{settings.context} do not fit into {samples} samples; make truth.test.samples at "
            f"least {settings.context + settings.starts - 1 + settings.horizon}, or shorten them"
        )
    return np.linspace(settings.context, last, settings.starts).astype(int).tolist()
