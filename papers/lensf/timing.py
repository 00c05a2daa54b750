"""What an analysis of a field costs: CPU time of this process for its parts, all in turn."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib.field_runs import FieldRun, laid_over, runs_of
from dalib.filters.base import Ensemble
from dalib.filters.latent import LatentFilter
from dalib.streams import stream
from dalib.timing import cpu_seconds, in_turn
from papers.lensf.fields import prepared

PARTS = ("analysis", "codec", "forecast")


def measured(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """cpu_seconds (method, part, repetition) of one trajectory: analysis, codec and forecast.

    cpu_seconds_coded (method, repetition) is that of analysis and codec together.

    analysis: without encoding and decoding, which are `codec`, 0 in full space.
    forecast: all members over one observation interval.

    Args:
        sections: `case`, `fields`, `settings` (the timing of the case, with settings of filters
            that differ in it), and `filter_<name>` of each method: what is timed is its first
            point.
        inputs: observations, prior, and `models`, weights of codecs by their name.
    """
    settings, work = sections["settings"], {}
    for name in settings["methods"]:
        own = laid_over(sections[f"filter_{name}"], settings.get("settings", {}).get(name, {}))
        run = runs_of(sections["fields"], name, own)[0]
        work[name] = _work(sections["case"], run, inputs)
    calls = {(n, part): partial(_seconds, work[n][part]) for n in work for part in PARTS}
    found = in_turn(calls, settings["repetitions"])
    values = [[found[name, part] for part in PARTS] for name in work]
    attrs = {"units": "s", "long_name": "CPU time of one trajectory at one time on one thread"}
    found = xr.Dataset(
        {"cpu_seconds": (("method", "part", "repetition"), values, attrs)},
        {"method": list(work), "part": list(PARTS)},
    ).assign_coords(size=inputs["prior"].sizes["state"])
    both = found.cpu_seconds.sel(part=["analysis", "codec"]).sum("part")
    return found.assign(cpu_seconds_coded=both.assign_attrs(attrs))


def _work(case: Mapping, run: FieldRun, inputs: Mapping) -> dict[str, Callable[[], Any] | None]:
    """What to call for each part; None where there is nothing to do."""
    observations = inputs["observations"].isel(seed=slice(1))
    given, filter, start = prepared(case, observations, run, inputs, "cpu")
    E, y, generator = start.members, given.y[:, 0], stream("timing")
    forecast = lambda: filter.forecast(Ensemble(E), generator)  # noqa: E731
    if not isinstance(filter, LatentFilter):
        analysis = lambda: filter.analyse(Ensemble(E), y, generator)  # noqa: E731
        return {"analysis": analysis, "codec": None, "forecast": forecast}
    codec = filter.codec
    with torch.no_grad():
        z, z_obs = codec.encode(E)[0].double(), codec.encode_observations(y)[0].double()

    @torch.no_grad()
    def coded() -> Tensor:
        codec.encode(E), codec.encode_observations(y)
        return codec.decode(z)

    return {
        "analysis": lambda: filter.inner.analyse(Ensemble(z), z_obs, generator),
        "codec": coded,
        "forecast": forecast,
    }


def _seconds(run: Callable[[], Any] | None) -> float:
    """Process time of a call; 0 where there is nothing to call."""
    return 0.0 if run is None else cpu_seconds(run)
