"""Jobs that were measured, with their seconds on this machine.

The store remembers what has run. `pipeline/reference.json` is shipped: the jobs of scales smoke and
quick on one machine, and its speed (`pipeline.speed`), so that a fresh copy knows what it is about
to cost. Seconds of another machine count times the ratio of the speeds.

    python -m pipeline reference      writes it anew from the results that are there

    {"speed": {piece of work: seconds},
     "jobs": {scale: {job: {"seconds": 12.2, "bytes": 9, "counts": {"steps": 3}, "alike": "..."}}}}
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from dalib import io
from pipeline import layout, provenance, settings
from pipeline.errors import ConfigError
from pipeline.estimates import Measured
from pipeline.graph import Graph
from pipeline.stage import THREAD_VARIABLES
from pipeline.work import Size, named, names, size

REFERENCE = Path(layout.REFERENCE)
SHIPPED = ("smoke", "quick")
PROCESSOR = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def main(root: Path) -> int:
    """Write the reference from the results of the shipped scales that this host has computed."""
    rows = {scale: of_results(root, scale) for scale in SHIPPED}
    lacking = [scale for scale, found in rows.items() if not found]
    if lacking:
        print(f"no results of this host at scale {', '.join(lacking)}: make SCALE={lacking[0]}")
        return 1
    write(root, calibrated(), rows)
    count = ", ".join(f"{len(found)} of {scale}" for scale, found in rows.items())
    print(f"{root / REFERENCE}: {count}")
    return 0


def write(root: Path, speed: Mapping[str, float], rows: Mapping[str, list[Measured]]) -> None:
    jobs = {scale: {m.job: _row(m) for m in found} for scale, found in rows.items()}
    jobs = {scale: dict(sorted(found.items())) for scale, found in jobs.items()}
    io.write_json(root / REFERENCE, {"speed": speed, "jobs": jobs})


def _row(measured: Measured) -> dict[str, Any]:
    """`alike` are the kinds that the job is made of, where it has any."""
    counts, alike = measured.size
    row = {"seconds": round(measured.seconds, 1), "bytes": measured.bytes}
    row |= {"counts": dict(counts or {})}
    given = names(measured.scale, measured.job)
    return row | ({"alike": alike[-1]} if alike[-1] not in given else {})


def of_results(root: Path, scale: str) -> list[Measured]:
    """What the results of a scale cost that this host has computed."""
    graph, found = Graph(settings.load(root, {"scale": scale}), root), {}
    for _, record in provenance.results(root / "results" / scale):
        if record and record.get("host") == socket.gethostname():
            with suppress(ConfigError, LookupError):  # of a case or method no longer there
                one = as_measured(record, graph)
                found[one.job] = one
    return list(found.values())


def reference(root: Path) -> tuple[dict[str, float], list[Measured]]:
    """(speed of the machine, jobs) of the shipped measurements; ({}, []) where there are none."""
    try:
        shipped = json.loads((root / REFERENCE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    return shipped["speed"], [
        Measured(
            scale,
            Size(row["counts"], names(scale, name, row.get("alike"))),
            row["seconds"],
            row["bytes"],
            name,
        )
        for scale, rows in shipped["jobs"].items()
        for name, row in rows.items()
    ]


def stored(store: Path, root: Path) -> Iterator[Measured]:
    """The jobs that the store remembers."""

    @cache
    def graph(scale: str) -> Graph:
        return Graph(settings.load(root, {"scale": scale}), root)

    for path in sorted((store / "keys").glob("*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            yield as_measured(record, graph(record["wildcards"]["scale"]))
        except (ConfigError, LookupError, TypeError, ValueError):  # damaged, or no longer there
            continue


def as_measured(record: Mapping[str, Any], graph: Graph) -> Measured:
    """What a record tells of the cost of its job.

    Raises:
        LookupError, ConfigError: the job is of a case or method that `graph` does not know.
    """
    stage, wildcards, spec = record["stage"], record["wildcards"], record["spec"]
    written = sum(output["size"] for output in record["outputs"].values())
    return Measured(
        wildcards["scale"],
        size(graph, stage, wildcards, spec),
        record["seconds"],
        written,
        named(stage, wildcards),
        record.get("host", ""),
        digest_of(spec),
    )


def digest_of(spec: Any) -> str:
    """The same for equal specs, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def rank(measured: Measured) -> int:
    """The place of its scale from small to large; scales of somebody's own come last."""
    scales = settings.SCALES
    return scales.index(measured.scale) if measured.scale in scales else len(scales)


def known(root: Path, store: Path) -> list[Measured]:
    """Jobs that have run, with their seconds on this machine, those of small scales first."""
    here, remembered = socket.gethostname(), list(stored(store, root))
    there, shipped = reference(root)
    had = {(m.scale, m.job) for m in remembered}
    shipped = [m for m in shipped if (m.scale, m.job) not in had]
    found = [m for m in remembered if m.host == here]
    for other in {m.host for m in remembered} - {here}:
        factor = _slower(store, speed_of(store, other))
        found += [_times(m, factor) for m in remembered if m.host == other]
    if shipped:
        factor = _slower(store, there)
        found += [_times(m, factor) for m in shipped]
    return sorted(found, key=rank)


def _times(measured: Measured, factor: float) -> Measured:
    return measured._replace(seconds=measured.seconds * factor)


def _slower(store: Path, there: Mapping[str, float]) -> float:
    """Seconds here for a second there; 1 if the speed of the other machine is not known."""
    return ratio(speed_here(store), there) if there else 1.0


def ratio(here: Mapping[str, float], there: Mapping[str, float]) -> float:
    """Seconds here for a second there: the geometric mean over the pieces of work of both."""
    both = sorted(here.keys() & there.keys())
    logs = [math.log(here[name] / there[name]) for name in both]
    return math.exp(sum(logs) / len(logs)) if both else 1.0


def speed_file(store: Path, host: str) -> Path:
    """Where the speed of a host is kept, as it is with the limits set on its processor."""
    limits = [os.environ[name].lower() for name in PROCESSOR if name in os.environ]
    return store / "speeds" / f"{'.'.join([host, *limits])}.json"


def speed_of(store: Path, host: str) -> dict[str, float]:
    """{piece of work: seconds} as a run on that host has measured; {} if none has."""
    try:
        return json.loads(speed_file(store, host).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def speed_here(store: Path) -> dict[str, float]:
    """The same of this host, measured where nobody has yet."""
    host = socket.gethostname()
    found = speed_of(store, host) or calibrated()
    with suppress(OSError):  # a store that is read-only or full: it is measured again
        io.write_json(speed_file(store, host), found)
    return found


def calibrated() -> dict[str, float]:
    """A second of work in a process of its own: torch is not imported here."""
    alone = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    command = [sys.executable, "-m", "pipeline.speed"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=alone, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}
