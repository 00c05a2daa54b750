"""The stage fit: a method learns, in every run of a part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from dalib import arrays, build, fitted
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.experiments import runs
from dalib.forecasters.base import TrainingData, fit_each
from dalib.streams import Streams, stream

CLASS = ("class", "fields")  # attributes of a fitted method as a dataset


def fits(
    role: str,
    section: Mapping,
    case: Mapping,
    entries: Sequence[Mapping],
    train: Sequence[xr.Dataset],
    valid: Sequence[xr.Dataset],
    experiment: str,
    device: str = "cpu",
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """What a method has become in every run of a part, one beside the other.

    Args:
        role: of the method, such as "forecaster".
        section: its `kind` and settings.
        case: the sections of the case that it needs.
        entries: runs as a spec has them, with `data`, the number of its file, and `fit`, the name
            under which it is kept.
        train, valid: observations, or the truth where a case has none.
        checkpoint: from which a long training continues, as if it had not been interrupted.
    """
    found: dict[int, Any] = {}
    saved = Parts(checkpoint)
    for settings, chosen in _alike(section, entries):
        method = build.method(role, settings, case)
        data = trainings(case, [entries[i] for i in chosen], train, valid, device)
        streams = generators(entries, chosen, experiment)
        fitted_now = fit_each(method, data, streams, **saved.of(str(settings)))
        found |= dict(zip(chosen, fitted_now, strict=True))
    return together([found[i] for i in range(len(entries))], entries)


def _alike(section: Mapping, entries: Sequence[Mapping]) -> Iterator[tuple[dict, list[int]]]:
    """(settings, numbers of the runs that have them)."""
    every = [runs.method_at(section, entry["values"]) for entry in entries]
    for settings in {str(one): one for one in every}.values():
        yield settings, [i for i, one in enumerate(every) if one == settings]


def generators(entries: Sequence[Mapping], chosen: Sequence[int], experiment: str) -> Streams:
    """A stream for each run: the same for all methods and conditions of a replicate."""
    return Streams(tuple(stream(experiment, entries[i]["replicate"], "fit") for i in chosen))


def trainings(
    case: Mapping,
    entries: Sequence[Mapping],
    train: Sequence[xr.Dataset],
    valid: Sequence[xr.Dataset],
    device: str = "cpu",
) -> list[TrainingData]:
    """What each run learns from; runs that learn from the same share it."""
    series = {
        place: [series_of(part[place]).to(device) for part in (train, valid)]
        for place in {entry["data"] for entry in entries}
    }
    return [
        TrainingData(
            *series[entry["data"]],
            interval=interval_of(train[entry["data"]]),
            system=build.system(runs.case_at(case, entry["values"])) if "system" in case else None,
        )
        for entry in entries
    ]


def series_of(given: xr.Dataset) -> Tensor:
    """(case, time, ...), observations; or states, where nothing but these are given."""
    return arrays.to_tensor(given.y if "y" in given else given.x)


def names_of(given: xr.Dataset) -> np.ndarray:
    """Names of the components of `series_of`."""
    return (given.obs if "y" in given else given.state).values


def interval_of(given: xr.Dataset) -> float:
    """Model time between two samples."""
    return float(given.time[1] - given.time[0])


def together(found: Sequence[Any], entries: Sequence[Mapping]) -> xr.Dataset:
    """Fitted methods in one dataset, each under the name of its fit."""
    parts, attrs = [], {}
    for i, (one, entry) in enumerate(zip(found, entries, strict=True)):
        dataset = fitted.to_dataset(one)
        names = {str(name): f"{i}.{name}" for name in [*dataset.variables, *dataset.dims]}
        parts.append(dataset.rename(names).drop_attrs(deep=False))
        attrs |= {f"{i}.{name}": dataset.attrs[name] for name in CLASS}
        attrs[f"{i}.run"] = entry["fit"]
    return xr.merge(parts).assign_attrs(attrs)


def fit_of(
    entry: Mapping,
    files: Sequence[xr.Dataset],
    role: str,
    settings: Mapping,
    case: Mapping,
    device: str = "cpu",
) -> Any:
    """What the method of a run has become, found in the files of the stage fit.

    Settings that a fit does not read are those of the run: other runs may share the fit.
    """
    wanted = entry["fit"]
    for file in files:
        for name, value in file.attrs.items():
            if name.endswith(".run") and value == wanted:
                found = fitted.from_dataset(_part(file, name.removesuffix("run")))
                later = getattr(build.resolve(role, settings["kind"]), "after_fit", ())
                own = build.method(role, settings, case) if later else None
                found = replace(found, **{name: getattr(own, name) for name in later})
                return fitted.on(found, device)
    raise ValueError(f"no file of the stage fit holds the run {wanted}; delete them and run again")


def ready(
    entry: Mapping,
    files: Sequence[xr.Dataset],
    role: str,
    section: Mapping,
    case: Mapping,
    device: str = "cpu",
    **given: Any,
) -> Any:
    """The method of a run, fitted: as files have it, or from nothing but the equations.

    given: what a method may hold beside settings, see `build.method`.
    """
    settings, own = runs.method_at(section, entry["values"]), runs.case_at(case, entry["values"])
    if "fit" in entry:
        return fit_of(entry, files, role, settings, own, device)
    method = build.method(role, settings, own, **given)
    if not method.needs:
        return method.fit(None, None)
    return method.fit(TrainingData(system=build.system(own), interval=build.interval(own)), None)


def _part(file: xr.Dataset, prefix: str) -> xr.Dataset:
    own = file[[name for name in file.variables if str(name).startswith(prefix)]]
    names = {str(name): str(name).removeprefix(prefix) for name in [*own.variables, *own.dims]}
    return own.rename(names).assign_attrs({n: file.attrs[f"{prefix}{n}"] for n in CLASS})
