"""What an analysis of a field costs: CPU time of this process for its parts.

Process time on one thread, not wall time, so that what else runs on the machine counts little.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from dalib.cases.fields import prepared
from dalib.field_runs import FieldRun, laid_over, runs_of
from dalib.filters.base import Ensemble
from dalib.filters.latent import LatentFilter
from dalib.streams import stream

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
    settings, rows = sections["settings"], []
    for name in tqdm(settings["methods"], "timing"):
        own = laid_over(sections[f"filter_{name}"], settings.get("settings", {}).get(name, {}))
        run = runs_of(sections["fields"], name, own)[0]
        work = _work(sections["case"], run, inputs)
        rows.append([_seconds(work[part], settings["repetitions"]) for part in PARTS])
    attrs = {"units": "s", "long_name": "CPU time of one trajectory at one time on one thread"}
    found = xr.Dataset(
        {"cpu_seconds": (("method", "part", "repetition"), rows, attrs)},
        {"method": list(settings["methods"]), "part": list(PARTS)},
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


def _seconds(run: Callable[[], Any] | None, repetitions: int) -> list[float]:
    """Process time of each of `repetitions` calls, after one that is not counted."""
    if run is None:
        return [0.0] * repetitions
    run()
    found = []
    for _ in range(repetitions):
        before = time.process_time()
        run()
        found.append(time.process_time() - before)
    return found
