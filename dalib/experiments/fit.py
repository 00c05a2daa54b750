"""The stage fit: a method learns, in every run of a part."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from dalib import arrays, build, fitted
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
) -> xr.Dataset:
    """What a method has become in every run of a part, one beside the other.

    Args:
        role: of the method, such as "forecaster".
        section: its `kind` and settings.
        case: the sections of the case that it needs.
        entries: runs as a spec has them, with `data`, the number of its file.
        train, valid: observations.
    """
    found: dict[int, Any] = {}
    for settings, chosen in _alike(section, entries):
        method = build.method(role, settings, case)
        data = [training(case, entries[i], train, valid) for i in chosen]
        fitted_now = fit_each(method, data, generators(entries, chosen, experiment))
        found |= dict(zip(chosen, fitted_now, strict=True))
    return _together([found[i] for i in range(len(entries))], entries)


def _alike(section: Mapping, entries: Sequence[Mapping]) -> Iterator[tuple[dict, list[int]]]:
    """(settings, numbers of the runs that have them)."""
    every = [runs.method_at(section, entry["values"]) for entry in entries]
    for settings in {str(one): one for one in every}.values():
        yield settings, [i for i, one in enumerate(every) if one == settings]


def generators(entries: Sequence[Mapping], chosen: Sequence[int], experiment: str) -> Streams:
    """A stream for each run: the same for all methods and conditions of a replicate."""
    return Streams(tuple(stream(experiment, entries[i]["replicate"], "fit") for i in chosen))


def training(
    case: Mapping, entry: Mapping, train: Sequence[xr.Dataset], valid: Sequence[xr.Dataset]
) -> TrainingData:
    """What a run learns from."""
    own, held_out = train[entry["data"]], valid[entry["data"]]
    return TrainingData(
        arrays.to_tensor(own.y),
        arrays.to_tensor(held_out.y),
        interval=float(own.time[1] - own.time[0]),
        system=build.system(runs.case_at(case, entry["values"])) if "system" in case else None,
    )


def _together(found: Sequence[Any], entries: Sequence[Mapping]) -> xr.Dataset:
    parts, attrs = [], {}
    for i, (one, entry) in enumerate(zip(found, entries, strict=True)):
        dataset = fitted.to_dataset(one)
        names = {str(name): f"{i}.{name}" for name in [*dataset.variables, *dataset.dims]}
        parts.append(dataset.rename(names).drop_attrs(deep=False))
        attrs |= {f"{i}.{name}": dataset.attrs[name] for name in CLASS}
        attrs[f"{i}.run"] = label(entry)
    return xr.merge(parts).assign_attrs(attrs)


def label(entry: Mapping) -> str:
    """What tells fits apart: replicate, and the coordinates that fits depend on."""
    kept = runs.restricted(
        runs.Run(entry["method"], entry["coordinates"], entry["replicate"], False), runs.FITTED
    )
    return str(runs.identity(kept))


def fit_of(entry: Mapping, files: Sequence[xr.Dataset]) -> Any:
    """What the method of a run has become, found in the files of the stage fit."""
    wanted = label(entry)
    for file in files:
        for name, value in file.attrs.items():
            if name.endswith(".run") and value == wanted:
                return fitted.from_dataset(_part(file, name.removesuffix("run")))
    raise ValueError(f"no file of the stage fit holds the run {wanted}; delete them and run again")


def _part(file: xr.Dataset, prefix: str) -> xr.Dataset:
    own = file[[name for name in file.variables if str(name).startswith(prefix)]]
    names = {str(name): str(name).removeprefix(prefix) for name in [*own.variables, *own.dims]}
    return own.rename(names).assign_attrs({n: file.attrs[f"{prefix}{n}"] for n in CLASS})
