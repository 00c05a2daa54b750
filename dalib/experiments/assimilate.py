"""The stage assimilate: every run tells the states of the test part from its observations."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.estimators import Estimate
from dalib.experiments import gridded, runs
from dalib.experiments.fit import ready
from dalib.filters import Gaussian
from dalib.resumable import Save, one_by_one
from dalib.streams import streams

CASE = {"units": "1", "long_name": "test trajectory"}
ESTIMATES = {  # fields of an Estimate as variables
    "mean": "analysis mean",
    "std": "analysis standard deviation",
    "forecast_mean": "forecast mean",
    "forecast_std": "forecast standard deviation",
}


def analyses(
    role: str,
    section: Mapping,
    case: Mapping,
    entries: Sequence[Mapping],
    observations: Sequence[xr.Dataset],
    priors: Sequence[xr.Dataset],
    fits: Sequence[xr.Dataset],
    experiment: str,
    device: str = "cpu",
    checkpoint: Checkpoint = FORGOTTEN,
    **of_gridded: Any,
) -> xr.Dataset:
    """mean, std, forecast_mean, forecast_std (run, case, time, state), as far as a method has them.

    Args:
        section: `kind` and settings of the method.
        case: what filters are made of: system, integrator, observations.
        entries: runs as a spec has them, with `data` and `prior`, the numbers of its files.
        observations, priors: of the test part; no priors for a method that takes none.
        fits: files of the stage fit; none where there is nothing to fit.
        checkpoint: from which runs and filters continue, as if they had not been interrupted.
        of_gridded: of states so large that only some members are kept, see `gridded.analyses`.
    """
    if of_gridded:
        given = (observations, priors, experiment, device, checkpoint)
        return gridded.analyses(section, case, entries, *given, **of_gridded)
    works = [
        partial(
            estimated,
            *(entry, role, section, case, observations[entry["data"]]),
            priors[entry["prior"]] if priors else None,
            *(fits, experiment, device),
        )
        for entry in entries
    ]
    found = one_by_one(works, save=checkpoint.save, resume=checkpoint.load())
    made = [
        _dataset(one, observations[entry["data"]], priors[entry["prior"]] if priors else None)
        for entry, one in zip(entries, found, strict=True)
    ]
    return xr.concat(made, "run", coords="minimal", compat="override").assign_coords(
        runs.labels(entries)
    )


def estimated(
    entry: Mapping,
    role: str,
    section: Mapping,
    case: Mapping,
    observed: xr.Dataset,
    prior: xr.Dataset | None,
    fits: Sequence[xr.Dataset],
    experiment: str,
    device: str = "cpu",
    save: Save | None = None,
    resume: dict | None = None,
) -> dict[str, Tensor]:
    """What one run tells of the states, by the names of `Estimate`."""
    given = given_to(observed, prior, device)
    method = ready(entry, fits, role, section, case, device, **given)
    y = arrays.to_tensor(observed.y).to(device)
    purpose = f"assimilate {entry['replicate']}"
    generator = streams(experiment, observed.seed.values.tolist(), purpose)
    found = told(method, y, generator, save, resume)
    return {name: value for name, value in found._asdict().items() if value is not None}


def given_to(observed: xr.Dataset, prior: xr.Dataset | None, device: str = "cpu") -> dict[str, Any]:
    """What a filter holds beside settings: the errors of observations, and its prior."""
    obs_std = arrays.to_tensor(observed.obs_std).to(device)
    if prior is None:
        return {"obs_std": obs_std}
    mean, cov = (arrays.to_tensor(prior[name]).to(device) for name in ("mean", "cov"))
    return {"obs_std": obs_std, "prior": Gaussian(mean, cov)}


def told(
    method: Any, y: Tensor, generator, save: Save | None = None, resume: dict | None = None
) -> Estimate:
    """By the filter of a method, or by its smoother where it looks at later observations."""
    if getattr(method, "smooths", False):
        return method.smooth(y, generator)
    if getattr(method, "resumable", False):
        return method.filter(y, generator, save=save, resume=resume)
    return method.filter(y, generator)


def _dataset(found: Mapping, observed: xr.Dataset, prior: xr.Dataset | None) -> xr.Dataset:
    """Components that are estimated go by the names of the state, or of what is observed."""
    size = found["mean"].shape[-1]
    named = observed.obs if prior is None or prior.sizes["state"] != size else prior.state
    dims = ("case", "time", "state")
    variables = {
        name: arrays.labelled(dims, found[name], "1", text)
        for name, text in ESTIMATES.items()
        if name in found
    }
    if "members" in found:
        variables["members"] = arrays.labelled(
            ("case", "time", "member", "state"), found["members"], "1", "member of the analysis"
        )
    coords = {"case": ("case", observed.seed.values, CASE), "time": observed.time}
    return xr.Dataset(variables, coords | arrays.states_of(named.values))
