"""Settings of filters on fields that validation trajectories choose, of all combinations given."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.field_runs import FieldRun, tried

logger = logging.getLogger(__name__)

GIVEN = ("validation_truth", "validation_observations", "validation_prior")  # inputs of a job


class Tuned(NamedTuple):
    """The run with the settings that were chosen, and all that were tried.

    on_edge: how many of them are the first or the last of their values, so that a better one may
        lie beyond; NaN of a run that is not tuned.
    table: tried_error (candidate, tried_seed), tried_<setting> (candidate).
    """

    run: FieldRun
    on_edge: float
    table: xr.Dataset


def tuned(run: FieldRun, error_of: Callable[[FieldRun], np.ndarray]) -> Tuned:
    """The combination with the least mean error over validation trajectories.

    One that loses a trajectory is none to choose: it would be lost on others too.

    Args:
        error_of: (seed,) of a run with one combination, not finite where the filter was lost.

    Raises:
        ValueError: every combination loses a trajectory.
    """
    if not run.tuned:
        return Tuned(run, np.nan, xr.Dataset())
    values, runs = zip(*tried(run), strict=True)
    errors = np.stack([error_of(candidate) for candidate in runs])
    means = np.where(np.isfinite(errors), errors, np.inf).mean(axis=-1)
    best = int(means.argmin())
    if not np.isfinite(means[best]):
        raise ValueError(
            f"{run.label}: every combination of {', '.join(values[0])} loses a validation "
            "trajectory; give other values under `tuned`"
        )
    edges = _edges(values, best)
    said = ", ".join(f"{name} {value:g}" for name, value in values[best].items())
    logger.info("%s: %s is best of %d, error %.3g", run.label, said, len(runs), means[best])
    if edges:
        logger.warning(
            "%s: the best %s lies on the edge of what was tried; a better one may lie beyond, give "
            "more values under `tuned`",
            *(run.label, " and ".join(edges)),
        )
    return Tuned(runs[best], float(len(edges)), _table(values, errors))


def _edges(values: tuple[Mapping[str, float], ...], best: int) -> list[str]:
    """Settings whose best value is the least or the largest that was tried."""
    ends = {name: {f([v[name] for v in values]) for f in (min, max)} for name in values[best]}
    return [name for name, both in ends.items() if values[best][name] in both]


def _table(values: tuple[Mapping[str, float], ...], errors: np.ndarray) -> xr.Dataset:
    text = "mean relative RMSE on validation trajectories"
    axes = ("candidate", "tried_seed")
    found = {"tried_error": arrays.labelled(axes, torch.as_tensor(errors), "1", text)}
    for name in values[0]:
        column = torch.tensor([float(one[name]) for one in values], dtype=torch.float64)
        found[f"tried_{name}"] = arrays.labelled(("candidate",), column, "1", f"{name}, tried")
    return xr.Dataset(found)


def padded(parts: list[xr.Dataset], runs: list[FieldRun]) -> list[xr.Dataset]:
    """Parts with as many candidates as the one of a job's runs that tries most, or NaN."""
    most = max(len(tried(run)) for run in runs)

    def grown(part: xr.Dataset) -> xr.Dataset:
        numbered = part.assign_coords(candidate=range(part.sizes["candidate"]))
        return numbered.reindex(candidate=range(most)).drop_vars("candidate")

    return [grown(part) if "candidate" in part.dims else part for part in parts]


def validation(inputs: Mapping[str, Any], settings: Mapping) -> dict[str, Any]:
    """Truth, observations and prior of the validation trajectories, as many as a case says."""
    if missing := [name for name in GIVEN if name not in inputs]:
        raise ValueError(
            f"filters are tuned on validation trajectories, which need {', '.join(missing)} too"
        )
    truth, observations, prior = (inputs[name] for name in GIVEN)
    kept = {"seed": slice(settings["seeds"])}
    observations = observations.isel(kept | {"time": slice(settings["analyses"])})
    return {"truth": truth.isel(kept), "observations": observations, "prior": prior}


def relative_error(mean: Tensor, x: Tensor, centre: Tensor, std: Tensor) -> Tensor:
    """(...,), ‖(m - x) / σ‖ / ‖(x - μ) / σ‖ of (..., state)."""
    mean, x = mean.double(), x.double()
    return ((mean - x) / std).norm(dim=-1) / ((x - centre) / std).norm(dim=-1)
