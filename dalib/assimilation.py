"""Assimilation of observations as users have them; what comes in labelled goes out labelled."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from dalib import io
from dalib import times as dates
from dalib.arrays import TIME
from dalib.filters import Analyses, Ensemble, Gaussian
from dalib.filters import assimilate as assimilated
from dalib.filters.base import Weighted
from dalib.observations import Labels, Observations
from dalib.smoothers import Smoothed, Smoother
from dalib.smoothers import smooth as smoothed
from dalib.streams import Generator

ABOUT = {
    "mean": "analysis mean",
    "std": "analysis standard deviation",
    "forecast_mean": "forecast mean",
    "forecast_std": "forecast standard deviation",
    "diverged_at": "index of the time from which it diverged, -1: never",
    "members": "members of the analysis",
    "chi_square": "mean of d² / S over innovations",
    "log_likelihood": "log-density of the observation given those before",
    "innovation": "observation less forecast",
    "innovation_std": "standard deviation that innovations should have",
    "residual": "observation less analysis",
}
SEEN = ("innovation", "innovation_std", "residual")


def assimilate(
    filter: Any,
    prior: Any,
    observations: Any,
    generator: Generator | None = None,
    *,
    state: Sequence | xr.DataArray | None = None,
    units: str = "1",
    diagnostics: bool = True,
    **others: Any,
) -> Analyses:
    """Run a filter over observations, with all that tells how well it did.

    Args:
        filter: any filter. Its operator and errors may be left to the observations.
        prior: `Gaussian` or `Ensemble` of tensors or arrays, or the `belief` of earlier analyses,
            with which the filter goes on as if there had been no end.
        observations: `Observations`; or (..., time, obs), a tensor or an array, one step of the
            model apart, NaN where missing; or of xarray with the dimension time, or a DataFrame.
        generator: one for all series, or `Streams` with one for each.
        state: names or coordinate of the components, for what is labelled.
        units: of the state, likewise.
        diagnostics: whether likelihoods, innovations and residuals are computed as well.
        others: those of `dalib.filters.assimilate`: progress, bound, kept, save, resume.

    Returns:
        `Analyses`, of tensors, or of DataArrays where the observations were labelled. A warning
        says which series have diverged, and which are finite but have lost the truth.
    """
    others |= {"diagnostics": diagnostics}
    found, labels = _run(assimilated, filter, prior, observations, generator, others)
    return labelled(found, labels, state=state, units=units) if labels else found


def smooth(
    smoother: Smoother,
    prior: Any,
    observations: Any,
    generator: Generator | None = None,
    *,
    state: Sequence | xr.DataArray | None = None,
    units: str = "1",
    diagnostics: bool = True,
    **others: Any,
) -> Smoothed:
    """Beliefs at all times given the observations before and after each, by a smoother.

    Args:
        smoother: any smoother, such as `RTS` or `EnKS`. Operator and errors may be left to the
            observations.
        prior, observations, generator, state, units, diagnostics: as of `assimilate`.
        others: those of `dalib.smoothers.smooth`: progress, bound, kept.

    Returns:
        `Smoothed`, with the filter's `analyses`; of tensors, or with DataArrays for mean, std,
        members and analyses where the observations were labelled.
    """
    others |= {"diagnostics": diagnostics}
    found, labels = _run(smoothed, smoother, prior, observations, generator, others)
    if not labels:
        return found
    given = {"state": state, "units": units}
    analyses = labelled(found.analyses, labels, **given)
    moments = {"mean": found.mean, "std": found.std, "members": found.members}
    own = labelled(found.analyses._replace(**moments), labels, **given)
    for name in ("mean", "std"):
        getattr(own, name).attrs["long_name"] = ABOUT[name].replace("analysis", "smoothed")
    return found._replace(**{name: getattr(own, name) for name in moments}, analyses=analyses)


def _run(
    call: Callable, method: Any, prior: Any, observations: Any, generator: Any, others: dict
) -> tuple[Any, Observations | None]:
    """What a filter or smoother makes of observations, and these if they are labelled."""
    prior = _tensors(prior)
    if isinstance(observations, xr.DataArray | pd.DataFrame | pd.Series):
        observations = Observations.of(observations)
    if not isinstance(observations, Observations):
        y = torch.as_tensor(observations) if isinstance(observations, np.ndarray) else observations
        return call(method, prior, y, generator, **others), None
    method, schedule = observations.given(method), observations.schedule(method)
    found = call(method, prior, observations.values, generator, schedule=schedule, **others)
    return found, None if observations.labels is None else observations


def labelled(
    analyses: Analyses,
    observations: Observations,
    *,
    state: Sequence | xr.DataArray | None = None,
    units: str = "1",
) -> Analyses:
    """Analyses with DataArrays in the place of tensors; the belief stays what it is."""
    labels = observations.labels or Labels()
    size = analyses.mean.shape[-1]
    if isinstance(state, xr.DataArray):
        components = state.variable
    else:
        components = xr.Variable("state", list(range(size) if state is None else state))
    if components.shape != (size,):
        raise ValueError(
            f"state has {components.size} names, but the state has {size} components; give one each"
        )
    attrs = {} if dates.are_dates(observations.times) else {**TIME, **labels.time_attrs}
    known = {
        **labels.coords,
        "time": xr.Variable("time", observations.times, attrs),
        "state": components.to_base_variable(),
    }
    if labels.obs_coord is not None:
        known[labels.obs] = labels.obs_coord
    seen_units = labels.attrs.get("units", "1")

    def array(name: str, value: Tensor) -> xr.DataArray:
        own = {"diverged_at": (), "chi_square": (), "log_likelihood": ("time",)}
        seen = ("time", labels.obs)
        dims = own.get(name, seen if name in SEEN else ("time", "state"))
        dims = ("time", "member", "state") if name == "members" else dims
        if name == "members" and value.shape[-1] != size:
            dims = ("time", "member", "component")
        of = {"units": units} if "state" in dims else {"units": "1"}
        of = {"units": seen_units} if name in SEEN else of
        dims = (*labels.leading, *dims)
        coords = {dim: known[dim] for dim in dims if dim in known}
        values = value.detach().cpu().numpy()
        return xr.DataArray(values, coords, dims, name, {**of, "long_name": ABOUT[name]})

    named = {
        name: array(name, value)
        for name, value in analyses._asdict().items()
        if isinstance(value, Tensor)
    }
    return analyses._replace(**named)


def to_dataset(analyses: Analyses) -> xr.Dataset:
    """Labelled analyses as one dataset."""
    arrays = {n: v for n, v in analyses._asdict().items() if isinstance(v, xr.DataArray)}
    if not arrays:
        raise TypeError(
            "these analyses are tensors; give assimilate() observations of xarray, or "
            "Observations.of(...), and it gives labelled ones"
        )
    return xr.Dataset(arrays)


# -- beliefs on disk ----------------------------------------------------------------------------

BELIEFS = {cls.__name__: cls for cls in (Gaussian, Ensemble, Weighted)}


def save_belief(belief: Any, path: str | os.PathLike) -> None:
    """A belief as NetCDF, from which `load_belief` makes the same, bit for bit."""
    kind = type(belief).__name__
    if BELIEFS.get(kind) is not type(belief):
        raise TypeError(f"a {kind} cannot be saved; known: {', '.join(BELIEFS)}")
    variables = {}
    for name, value in belief._asdict().items():
        if value is not None:
            dims = tuple(f"{name}_{axis}" for axis in range(value.ndim))
            attrs = {"units": "1", "long_name": f"{name} of a belief"}
            variables[name] = xr.Variable(dims, value.detach().cpu().numpy(), attrs)
    io.write(xr.Dataset(variables, attrs={"belief": kind}), path, title=f"{kind} belief")


def load_belief(path: str | os.PathLike) -> Any:
    """What `save_belief` wrote: a prior of what follows."""
    dataset = io.read(path)
    kind = dataset.attrs.get("belief")
    if kind not in BELIEFS:
        raise ValueError(f"{path} holds no belief (attribute belief: {kind!r}); see save_belief")
    fields = {str(n): torch.tensor(v.values) for n, v in dataset.data_vars.items()}
    return BELIEFS[kind](**fields)


def _tensors(belief: Any) -> Any:
    """A belief with tensors in the place of arrays."""
    if not isinstance(belief, Gaussian | Ensemble | Weighted):
        return belief
    arrays = np.ndarray | xr.DataArray
    return type(belief)(
        *(torch.as_tensor(np.asarray(v)) if isinstance(v, arrays) else v for v in belief)
    )
