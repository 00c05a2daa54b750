"""What an analysis of a gridded state costs: CPU time of its parts, all in turn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.cases.truth import dtype
from dalib.experiments import parts, runs
from dalib.experiments.gridded import Given, prepared, steps_of_case
from dalib.experiments.spec import Timing, over
from dalib.filters.base import Ensemble
from dalib.filters.latent import LatentFilter
from dalib.streams import stream
from dalib.timing import cpu_seconds, in_turn

PARTS = ("analysis", "codec", "forecast")


def measured(
    timing: Mapping,
    timed: Mapping[str, Mapping],
    sections: Mapping[str, Mapping],
    inputs: Mapping[str, Sequence[xr.Dataset]],
) -> xr.Dataset:
    """cpu_seconds (method, part, repetition) of one trajectory: analysis, codec and forecast.

    cpu_seconds_coded (method, repetition) is that of analysis and codec together.

    analysis: without encoding and decoding, which are `codec`, 0 in full space.
    forecast: all members over one observation interval.

    Args:
        as of `time.measured`; inputs <study>.codecs and <study>.dynamics too, where there are any.
    """
    settings, work = Timing(**timing), {}
    for study, what in timed.items():
        case = sections[f"case.{study}"]
        for entry in what["runs"]:
            name = entry["method"]
            own = (sections.get(f"{part}.{study}.{name}", {}) for part in ("shared", "method"))
            section = over(over(*own), settings.settings.get(name, {}))
            given = {k.partition(".")[2]: v for k, v in inputs.items() if k.startswith(f"{study}.")}
            work[name] = _work(case, section, entry, given)
    calls = {(n, part): partial(_seconds, work[n][part]) for n in work for part in PARTS}
    found = in_turn(calls, settings.repetitions)
    values = [[found[name, part] for part in PARTS] for name in work]
    attrs = {"units": "s", "long_name": "CPU time of one trajectory at one time on one thread"}
    size = next(v for k, v in inputs.items() if k.endswith(".prior"))[0].sizes["state"]
    made = xr.Dataset(
        {"cpu_seconds": (("method", "part", "repetition"), values, attrs)},
        {"method": list(work), "part": list(PARTS)},
    ).assign_coords(size=size)
    both = made.cpu_seconds.sel(part=["analysis", "codec"]).sum("part")
    return made.assign(cpu_seconds_coded=both.assign_attrs(attrs))


def _work(
    case: Mapping, section: Mapping, entry: Mapping, inputs: Mapping
) -> dict[str, Callable[[], Any] | None]:
    """What to call for each part; None where there is nothing to do."""
    observed = inputs["observed"][entry["data"]].isel(seed=slice(1))
    codec = parts.ready(inputs["codecs"][entry["codec"]]) if "codec" in entry else None
    learned = inputs.get("dynamics")
    step = parts.step_of(learned[0], steps_of_case(case)) if learned else None
    given = Given(observed, inputs["prior"][entry["prior"]], codec, step)
    own, method = runs.case_at(case, entry["values"]), runs.method_at(section, entry["values"])
    _, filter, start = prepared(own, method, given, "cpu")
    E, generator = start.members, stream("timing")
    y = arrays.to_tensor(observed.y, dtype(case))[:, 0]
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
