"""The stage forecast: every run forecasts from stretches of observations, and runs free."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.experiments import runs
from dalib.experiments.fit import fit_of
from dalib.experiments.spec import Forecasts
from dalib.forecasters.base import TrainingData
from dalib.streams import stream

CASE = {"units": "1", "long_name": "forecast: of the starts of each test trajectory in turn"}
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
) -> xr.Dataset:
    """forecast (run, member, case, lead, state) and free_run (run, chain, time, state).

    Args:
        section: `kind` and settings of the method, for one that has nothing to fit.
        entries: runs as a spec has them, with `data`, the number of its context.
        context: observations of the test part.
        fits: files of the stage fit; none where there is nothing to fit.
    """
    made = []
    for entry in entries:
        own = runs.case_at(case, entry["values"])
        settings = runs.method_at(section, entry["values"])
        method = fit_of(entry, fits) if fits else without_data(role, settings, own)
        generator = stream(experiment, entry["replicate"], "forecast")
        made.append(_run(method, Forecasts(**own["forecast"]), context[entry["data"]], generator))
    return xr.concat(made, "run", coords="minimal", compat="override").assign_coords(
        runs.labels(entries)
    )


def without_data(role: str, settings: Mapping, case: Mapping) -> Any:
    """A method that learns from nothing, at most from the equations."""
    method = build.method(role, settings, case)
    if not method.needs:
        return method.fit(None, None)
    return method.fit(TrainingData(system=build.system(case), interval=build.interval(case)), None)


def _run(method: Any, settings: Forecasts, observed: xr.Dataset, generator) -> xr.Dataset:
    y, interval = arrays.to_tensor(observed.y), float(observed.time[1] - observed.time[0])
    starts = start_indices(settings, y.shape[1])
    past = torch.stack([y[:, i - settings.context : i] for i in starts], 1).flatten(0, 1)
    ahead = _finite(method.forecast(past, settings.horizon, generator))
    found = {
        "forecast": arrays.labelled(("member", "case", "lead", "state"), ahead, "1", "forecast")
    }
    coords = {
        "case": ("case", np.arange(len(past)), CASE),
        "lead": (
            "lead",
            _times(ahead.shape[2], interval),
            {"units": "1", "long_name": "lead time"},
        ),
        "state": ("state", observed.obs.values, arrays.STATE),
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
    return _finite(method.forecast(past, settings.climate, generator)[0, :, settings.discard :])


def _finite(x: Tensor) -> Tensor:
    """NaN for what has diverged to infinity."""
    return x.where(x.isfinite(), torch.nan)


def _times(count: int, interval: float) -> np.ndarray:
    return np.arange(1, count + 1) * interval


def start_indices(settings: Forecasts, samples: int) -> list[int]:
    """How many observations of a trajectory have been seen at each start.

    Raises:
        ValueError: the trajectory is too short.
    """
    last = samples - settings.horizon
    if last < settings.context + settings.starts - 1:
        raise ValueError(
            f"{settings.starts} forecasts of {settings.horizon} samples from a context of "
            f"{settings.context} do not fit into {samples} samples; make truth.test.samples at "
            f"least {settings.context + settings.starts - 1 + settings.horizon}, or shorten them"
        )
    return np.linspace(settings.context, last, settings.starts).astype(int).tolist()
