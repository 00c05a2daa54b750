"""The stage sample: every run draws states from what was learned."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.experiments import runs
from dalib.experiments.fit import ready
from dalib.experiments.spec import Samples
from dalib.resumable import Save, one_by_one
from dalib.streams import Streams, stream


def samples(
    role: str,
    section: Mapping,
    case: Mapping,
    entries: Sequence[Mapping],
    fits: Sequence[xr.Dataset],
    experiment: str,
    device: str = "cpu",
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """samples (run, sample, state), and snapshots (run, level, sample, state) where there are any.

    Args:
        section: `kind` and settings of the method.
        entries: runs as a spec has them.
        fits: files of the stage fit; none where there is nothing to fit.
        checkpoint: from which runs and samplers continue, as if they had not been interrupted.
    """
    works = [
        partial(drawn, entry, role, section, case, fits, experiment, device) for entry in entries
    ]
    found = one_by_one(works, save=checkpoint.save, resume=checkpoint.load())
    names = arrays.names_of(build.system(case))
    made = [_dataset(one, names) for one in found]
    return xr.concat(made, "run", coords="minimal", compat="override").assign_coords(
        runs.labels(entries)
    )


def drawn(
    entry: Mapping,
    role: str,
    section: Mapping,
    case: Mapping,
    fits: Sequence[xr.Dataset],
    experiment: str,
    device: str = "cpu",
    save: Save | None = None,
    resume: dict | None = None,
) -> dict[str, Tensor]:
    """The samples of one run; with a sampler that has levels, what it shows of their way."""
    method = ready(entry, fits, role, section, case, device)
    count = Samples(**runs.case_at(case, entry["values"])["sample"]).count
    return states_of(method, count, stream(experiment, entry["replicate"], "sample"), save, resume)


def states_of(
    method: Any, count: int, generator, save: Save | None = None, resume: dict | None = None
) -> dict[str, Tensor]:
    """states (sample, state); levels and snapshots (level, sample, state) if there are any."""
    if not hasattr(method, "descend"):
        return {"states": method.sample(count, generator)}
    found = method.descend(count, Streams((generator,)), save=save, resume=resume)
    shown = {"levels": found.levels, "snapshots": found.snapshots[0]} if len(found.levels) else {}
    return {"states": found.states[0], **shown}


def _dataset(found: Mapping, names: Sequence) -> xr.Dataset:
    variables = {
        "samples": arrays.labelled(("sample", "state"), found["states"], "1", "sampled state")
    }
    coords = arrays.states_of(names)
    if "snapshots" in found:
        dims, text = ("level", "sample", "state"), "states on leaving a noise level"
        variables["snapshots"] = arrays.labelled(dims, found["snapshots"], "1", text)
        coords["level"] = arrays.labelled(("level",), found["levels"], "1", "noise level")
    return xr.Dataset(variables, coords)
