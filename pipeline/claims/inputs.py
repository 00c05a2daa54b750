"""The array that an input of a claim names among the scores of a paper.

{scores: cw/learning, variable: error_by_observed, where: {method: enkf, observed: 0.6}}
"""

import fnmatch
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "within": lambda value, ends: ends[0] <= value <= ends[1],
}
SYMBOLS = {"<=": "≤", ">=": "≥"}
BASE = "base"  # a label: that of the study's base
ROUNDING = 1e-6  # two coordinates that differ by less are the same
BOUNDS = {  # of a range: how coordinates are compared with it, and with which tolerance
    "at_least": (">=", -ROUNDING),
    "at_most": ("<=", ROUNDING),
    "above": (">", ROUNDING),
    "below": ("<", -ROUNDING),
}


class ClaimError(ValueError):
    """A claim that cannot be read: the message says what was expected and found."""


class NotRunError(ValueError):
    """A claim about a case, method or point that this scale leaves out."""


def with_roles(
    scores: Mapping[str, xr.Dataset], roles: Mapping[str, str | Sequence[str]]
) -> dict[str, xr.Dataset]:
    """The scores, those of cases that figures show in a role under `role/case/product` too.

    So that a claim on several sizes, `{scores: sizes/*/learning, along: size}`, is on those that
    the figure compares.
    """
    found = dict(scores)
    for role, cases in roles.items():
        for case in [cases] if isinstance(cases, str) else cases:
            own = {n: one for n, one in scores.items() if n.startswith(f"{case}/")}
            found |= {f"{role}/{name}": one for name, one in own.items()}
    return found


def _of_study(dataset: xr.Dataset, address: Mapping) -> xr.Dataset:
    """The scores of a study with a dimension for method, replicate and each axis.

    In its file runs lie along `run`. Where axes leave their base one at a time, those that the
    address neither chooses (`where`) nor follows (`vary`) stand at their base, and are none of the
    dimensions.
    """
    axes = [str(n) for n in dataset.coords if dataset[n].dims == ("run",) and n != "is_base"]
    at_base, where = dataset.is_base.values > 0, address.get("where", {})
    kept, single = np.ones(len(at_base), bool), set()
    if "method" in where:  # which may have fewer replicates than others
        own = np.isin(dataset["method"].values, where["method"])
        kept &= own if own.any() else True  # one that is not there is told of later
    varied = {name: dataset[name].values for name in axes if name not in ("method", "replicate")}
    points = set(zip(*varied.values(), strict=True))
    if len(points) < math.prod(len(set(values)) for values in varied.values()):
        followed = address.get("vary", ())
        followed = [followed] if isinstance(followed, str) else followed
        single = varied.keys() - {*where, *followed}
        for name in single:
            kept &= (varied[name] == _base(dataset, name)) | _none(varied[name])
    dataset = dataset.isel(run=kept.nonzero()[0]).drop_vars(single)
    single |= {  # settings that none of the methods kept has
        name
        for name in varied.keys() - single
        if dataset.sizes["run"] and _none(dataset[name].values).all()
    }
    dataset = dataset.drop_vars(["is_base", "section", *single], errors="ignore")
    axes = [name for name in axes if name not in single]
    of_runs = dataset[[name for name in dataset if "run" in dataset[name].dims]]
    return xr.merge([of_runs.set_index(run=axes).unstack("run"), dataset.drop_dims("run")])


def _base(dataset: xr.Dataset, name: str) -> Any:
    """The label of an axis at the base of a study."""
    values = dataset[name].values[dataset.is_base.values > 0]
    return next((value for value in values if not _none(np.array([value]))[0]), values[0])


def _none(labels: np.ndarray) -> np.ndarray:
    """Where a method has no such setting."""
    return np.isnan(labels) if labels.dtype.kind == "f" else labels.astype(str) == ""


def _at_base(dataset: xr.Dataset, address: Mapping) -> Mapping:
    """The address with the labels of the base where it says `base`."""

    def label(name: str, given: Any) -> Any:
        if isinstance(given, list):
            return [label(name, one) for one in given]
        return _base(dataset, name).item() if given == BASE else given

    where = {name: label(name, given) for name, given in address.get("where", {}).items()}
    return {**address, "where": where}


def select(scores: Mapping[str, xr.Dataset], address: Mapping) -> xr.DataArray:
    """The array that an address names: `{scores: ..., variable: ..., where: {dim: label}}`.

    A label is a value or a list of them; a number means the coordinate nearest to it, within a
    millionth. A range, `{at_least: 0.5, below: 1.0}`, means all values in it; with `times: size`
    its bounds are in units of that variable of the scores. `among` keeps some of the repeats: for
    `{variable: error, operator: "<", quantile: 0.25, of: start_error}` those whose error is below
    the 0.25-quantile of start_error. With a pattern such as `ring*/analyses` and `along: size` the
    scores of all cases that have the variable stand along a dimension, labelled by their `size`.
    Of a study whose axes leave their base one at a time, `vary` names the axis that is followed.
    """
    if "*" in address["scores"]:
        return _along(scores, address)
    if address["scores"] not in scores:
        there = ", ".join(sorted(scores)) or "none"
        raise NotRunError(f"no scores {address['scores']!r}; there are: {there}")
    dataset = scores[address["scores"]]
    if address["variable"] not in dataset:
        raise _missing(address, dataset)
    if "is_base" in dataset.coords:
        address = _at_base(dataset, address)
        dataset = _of_study(dataset, address)
    values = _picked(dataset, address["variable"], address)
    return _among(dataset, values, address) if "among" in address else values


def _along(scores: Mapping[str, xr.Dataset], address: Mapping) -> xr.DataArray:
    """The arrays of all scores that match a pattern, in the order of their labels."""
    along, where = address["along"], dict(address.get("where", {}))
    chosen = {along: where.pop(along)} if along in where else {}
    matching = fnmatch.filter(sorted(scores), address["scores"])
    if not matching:
        raise NotRunError(f"no scores {address['scores']!r}")
    names = [name for name in matching if address["variable"] in scores[name]]
    if not names:
        raise _missing(address, scores[matching[0]])
    parts = [
        select(scores, address | {"scores": name, "where": where}).assign_coords(
            {along: float(scores[name][along])}
        )
        for name in names
    ]
    parts = sorted(parts, key=lambda part: float(part[along]))
    whole = xr.concat(parts, along, join="inner", coords="minimal", compat="override")
    if not whole.size:
        raise NotRunError(f"{written(address)}: the scores have no points in common")
    return _picked(whole.to_dataset(), whole.name, address | {"where": chosen})


def _missing(address: Mapping, dataset: xr.Dataset) -> ValueError:
    """A sweep that this scale leaves out, or a name that was never there."""
    name, variable = address["scores"], address["variable"]
    _, by, sweep = variable.rpartition("_by_")
    if by and not any(str(there).endswith(by + sweep) for there in dataset.data_vars):
        return NotRunError(f"scores {name!r} have no sweep {sweep!r}: not run at this scale")
    there = ", ".join(sorted(map(str, dataset.data_vars)))
    return ClaimError(f"scores {name!r} have no variable {variable!r}; there are: {there}")


def _picked(dataset: xr.Dataset, variable: str, address: Mapping) -> xr.DataArray:
    """The variable where the address says."""
    values = dataset[variable]
    for dim, label in address.get("where", {}).items():
        try:
            if isinstance(label, Mapping):
                values = values.isel({dim: _within(values[dim], label, dataset).nonzero()[0]})
                if not values.sizes[dim]:
                    raise KeyError(dim)
            else:
                first = label[0] if isinstance(label, list) else label
                near = {"method": "nearest", "tolerance": ROUNDING}
                values = values.sel({dim: label}, **(near if isinstance(first, float) else {}))
        except KeyError as error:
            there = dataset[variable]
            there = ", ".join(map(str, there[dim].values)) if dim in there.dims else "none"
            raise NotRunError(
                f"{written(address)}: no {dim} {_text(label)}; there are: {there}"
            ) from error
    return values


def _within(values: xr.DataArray, bounds: Mapping, dataset: xr.Dataset) -> np.ndarray:
    """Which of the values lie in a range, with a tolerance for those on its ends."""
    unknown = bounds.keys() - BOUNDS.keys() - {"times"}
    if unknown:
        raise ClaimError(
            f"unknown bound {', '.join(sorted(unknown))} of a range; known: {', '.join(BOUNDS)}"
        )
    unit = float(dataset[bounds["times"]]) if "times" in bounds else 1.0
    inside = np.ones(values.shape, bool)
    for name, bound in bounds.items():
        if name != "times":
            sign, tolerance = BOUNDS[name]
            inside &= OPERATORS[sign](values.values, bound * unit + tolerance)
    return inside


def _among(dataset: xr.Dataset, values: xr.DataArray, address: Mapping) -> xr.DataArray:
    """The values of those repeats that an address keeps."""
    among = address["among"]
    limit = _where_it_can(dataset, among["of"], address).quantile(among["quantile"], skipna=False)
    judged = _where_it_can(dataset, among["variable"], address)
    if judged.ndim != 1:
        raise ClaimError(
            f"{written(address)}: {among['variable']} there has the dimensions "
            f"{', '.join(map(str, judged.dims))}; choose in `where` so that one is left"
        )
    kept = OPERATORS[among["operator"]](judged, limit).values
    if not kept.any():
        raise NotRunError(f"{written(address)}: there is no such {judged.dims[0]}")
    return values.isel({judged.dims[0]: kept.nonzero()[0]})


def _where_it_can(dataset: xr.Dataset, variable: str, address: Mapping) -> xr.DataArray:
    """A second variable where the address says, in those dimensions that it has."""
    dims = dataset[variable].dims
    where = {dim: label for dim, label in address.get("where", {}).items() if dim in dims}
    return _picked(dataset, variable, address | {"where": where})


def written(address: Mapping) -> str:
    """`clean/analyses: rmse(method=ekf)`."""
    where = [
        f"{dim} {_text(label)}" if isinstance(label, Mapping) else f"{dim}={label}"
        for dim, label in address.get("where", {}).items()
    ]
    if "among" in address:
        among = address["among"]
        limit = f"{among['quantile']:g} quantile of {among['of']}"
        where.append(f"{among['variable']} {among['operator']} {limit}")
    return f"{address['scores']}: {address['variable']}" + (
        f"({', '.join(where)})" if where else ""
    )


def _text(label: Any) -> str:
    """`'ekf'`, or `≥ 0.5 size and < 1 size` of a range."""
    if not isinstance(label, Mapping):
        return repr(label)
    unit = f" {label['times']}" if "times" in label else ""
    bounds = [(BOUNDS[name][0], v) for name, v in label.items() if name != "times"]
    return " and ".join(f"{SYMBOLS.get(sign, sign)} {v:g}{unit}" for sign, v in bounds)
