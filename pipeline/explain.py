"""What code a stage can reach, and what has changed since its results were made."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from dalib import io
from pipeline import codehash, provenance
from pipeline.checks import unknown
from pipeline.differences import differences
from pipeline.errors import ConfigError
from pipeline.specs import Specs

SHOWN = 3  # results named where many share their differences


def main(root: Path, config: Mapping[str, Any], names: list[str]) -> int:
    """Print what is known of each stage; 1 if there is no such stage."""
    try:
        for name in names or [""]:
            print(*explained(root, config, name), sep="\n")
    except ConfigError as error:
        print(error)
        return 1
    return 0


def explained(root: Path, config: Mapping[str, Any], stage: str) -> Iterator[str]:
    """Lines about one stage (`train`) or artefact (`dkf_fig1`).

    First the units that all its jobs reach, by module, and those that only some do, since their
    configuration names further classes; then for its results what differs from their records.
    """
    script = _script(root, stage)
    specs = Specs(config, root)
    reached = codehash.closure(script, root=root)
    yield f"{stage}: {len(reached)} units that every job reaches"
    yield from by_module(reached)
    changes: dict[tuple[str, ...], list[str]] = {}
    further: dict[str, str] = {}
    for path, record in _records(root / "results" / config["scale"], stage):
        lines, units = changed(specs, record)
        further |= {name: units[name] for name in units.keys() - reached.keys()}
        changes.setdefault(tuple(lines), []).append(path)
    if further:
        yield f"{stage}: {len(further)} units that jobs reach by their configuration"
        yield from by_module(further)
    yield from _told(stage, changes)


def changed(specs: Specs, record: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """How a record differs from what its job would now be, and the units of that job."""
    try:
        spec, units = specs.made(record["spec"])
    except ConfigError as error:
        return [f"config {error}"], {}
    inputs = {
        name: {path: _content(path) for path in files} for name, files in record["inputs"].items()
    }
    return differences(record, spec, units, inputs), units


def by_module(units: Mapping[str, str]) -> Iterator[str]:
    """`  dalib.io: read, write`, a line for each module."""
    pairs = sorted(name.rsplit(":", 1) for name in units)
    for module, members in groupby(pairs, key=lambda pair: pair[0]):
        yield f"  {module}: {', '.join(name for _, name in members)}"


def _told(stage: str, changes: Mapping[tuple[str, ...], list[str]]) -> Iterator[str]:
    if not changes:
        yield f"{stage}: no results at this scale"
    for lines, paths in changes.items():
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        yield f"{', '.join(paths[:SHOWN])}{more}:"
        yield from (f"  {stage}: {line}" for line in lines or ["nothing changed"])


def _script(root: Path, stage: str) -> Path:
    scripts = {path.stem: path for path in (root / "workflow_scripts").rglob("*.py")}
    if stage not in scripts:
        raise ConfigError(unknown("stage", stage, scripts))
    return scripts[stage]


def _records(folder: Path, stage: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(first output, record) of each result of a stage."""
    if not folder.is_dir():
        return
    for path, record in provenance.results(folder):
        if record and record["stage"] == stage and str(path) == next(iter(record["outputs"])):
            yield str(path), record


def _content(path: str) -> str:
    try:
        return provenance.content(path)
    except (OSError, io.DataError):
        return "missing or unreadable"
