"""What the scores of several products are made of."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import xarray as xr

Products = Mapping[str, xr.Dataset]

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)


def at_times(x: Labelled, time: xr.DataArray) -> Labelled:
    """`x` at `time`, which may have any dimensions; a time it does not have is an error."""
    try:
        found = x.sel(time=time, method="nearest", tolerance=1e-6)
    except KeyError as error:
        have, want = x.time.values, time.values
        raise ValueError(
            f"there are times {have.min():g} to {have.max():g} in steps of "
            f"{have[1] - have[0]:g}; scoring needs {want.min():g} to {want.max():g}, "
            "and not all of these are among them"
        ) from error
    if time.dims == ("time",):
        return found.assign_coords(time=time)  # bitwise those of the estimate
    return found.drop_vars("time")


def each_repeat(x: xr.DataArray, score: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """`score` of every repeat, or of `x` itself where nothing was repeated."""
    if "repeat" not in x.dims:
        return score(x)
    return xr.concat([score(x.sel(repeat=r)) for r in x.repeat], x.repeat, coords="minimal")


def stack_methods(scores: Mapping[str, xr.Dataset], dim: str = "method") -> xr.Dataset:
    """One dataset with a leading `dim`; what lacks a dimension that others have is repeated."""
    names = next(iter(scores.values())).data_vars
    labels = xr.DataArray(list(scores), dims=dim, name=dim)
    stacked = xr.Dataset(
        {
            name: xr.concat(xr.broadcast(*(s[name] for s in scores.values())), labels, join="exact")
            for name in names
        }
    )
    return stacked.transpose(dim, "point", "repeat", ..., missing_dims="ignore")


def describe(scores: xr.Dataset, **variables: tuple[str, str]) -> xr.Dataset:
    """The dataset with units and long_name on each of the variables that it has."""
    for name, (units, long_name) in variables.items():
        if name in scores:
            scores[name].attrs = {"units": units, "long_name": long_name}
    return scores


def by_method(scores: xr.Dataset) -> xr.Dataset:
    """The scores of a study (run, ...) as (method, replicate, axes of the study, ...).

    A method with one replicate beside others with more stands in the place of all of them.
    """
    alone = [str(n) for n in scores if "run" not in scores[n].dims]
    names = list(dict.fromkeys(scores["method"].values.tolist()))
    parts = [_of_method(scores.drop_vars(alone), name) for name in names]
    most = max((part["replicate"] for part in parts), key=len)
    parts = [
        part
        if part.sizes["replicate"] == len(most)
        else part.isel(replicate=0, drop=True).expand_dims(replicate=most)
        for part in parts
    ]
    methods = xr.DataArray(names, dims="method", name="method")
    return xr.merge([xr.concat(parts, methods, join="outer"), scores[alone]])


def _of_method(scores: xr.Dataset, method: str) -> xr.Dataset:
    own = scores.isel(run=(scores["method"] == method).values)
    own = own.drop_vars(["method", "is_base"])
    axes = [str(name) for name in own.coords if own[name].dims == ("run",)]
    if axes == ["replicate"]:
        return own.set_index(run="replicate").rename(run="replicate")
    return own.set_index(run=axes).unstack("run")
