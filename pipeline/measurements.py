"""Jobs that were measured, with their seconds on this machine.

The store remembers what has run. `pipeline/reference.json` is shipped: the jobs of scales smoke and
quick on one machine, and its speed (`pipeline.speed`), so that a fresh copy knows what it is about
to cost. Seconds of another machine count times the ratio of the speeds.

    python -m pipeline reference      writes it anew from the results that are there
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dalib import io
from pipeline import layout, plan, provenance, settings
from pipeline.costs import Measured, size
from pipeline.stage import THREAD_VARIABLES

REFERENCE = Path(layout.REFERENCE)
SHIPPED = ("smoke", "quick")
PROCESSOR = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def main(root: Path) -> int:
    """Write the reference from the results of the shipped scales that this host has computed."""
    rows = {scale: dict(sorted(seconds_of(root, scale).items())) for scale in SHIPPED}
    lacking = [scale for scale, found in rows.items() if not found]
    if lacking:
        print(f"no results of this host at scale {', '.join(lacking)}: make SCALE={lacking[0]}")
        return 1
    io.write_json(root / REFERENCE, {"speed": calibrated(), "seconds": rows})
    count = ", ".join(f"{len(found)} of {scale}" for scale, found in rows.items())
    print(f"{root / REFERENCE}: {count}")
    return 0


def seconds_of(root: Path, scale: str) -> dict[str, tuple[float, float]]:
    """{job: (amount of work, seconds)} of the results of a scale that this host has computed."""
    config, found = settings.load(root, {"scale": scale}), {}
    for _, record in provenance.results(root / "results" / scale):
        if record and record.get("host") == socket.gethostname():
            with suppress(LookupError):  # of a case or method that is no longer there
                one = plan.as_measured(record, config)
                found[one.job] = one.size.amount, round(one.seconds, 1)
    return found


def reference(root: Path) -> tuple[dict[str, float], list[Measured]]:
    """(speed of the machine, jobs) of the shipped measurements; ({}, []) where there are none."""
    try:
        shipped = json.loads((root / REFERENCE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    jobs = []
    for scale, rows in shipped["seconds"].items():
        config = settings.load(root, {"scale": scale})
        for name, (amount, seconds) in rows.items():
            stage, *pairs = name.split(" ")
            try:
                of = size(stage, plan.sections(config, dict(p.split("=", 1) for p in pairs)))
            except LookupError:  # of a case or method that is no longer there
                continue
            jobs.append(Measured(scale, of._replace(amount=amount), seconds, 0, name))
    return shipped["speed"], jobs


def known(root: Path, store: Path) -> list[Measured]:
    """Jobs that have run, with their seconds on this machine, those of small scales first."""
    here, remembered = socket.gethostname(), list(plan.measured(store, root))
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
    return sorted(found, key=plan.rank)


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
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=alone, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}
