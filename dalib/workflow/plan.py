"""What a scale costs before anyone starts it: jobs, and core time from earlier runs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from dalib.workflow.settings import SCALES
from dalib.workflow.store import Store, directory


def main(root: Path, scale: str, targets: list[str], given: list[str]) -> int:
    """Print a row for each stage; the exit code of snakemake if it cannot build the graph.

    Args:
        given: what follows `--config` on the command line.
    """
    given = [*given, f"scale={scale}"]
    done = graph(root, given, ["--forceall", *targets])
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        return done.returncode
    every, due = stats(done.stdout), stats(graph(root, given, targets).stdout)
    print("\n".join(table(scale, every, due, times(Store(directory())))))
    return 0


def graph(root: Path, given: list[str], arguments: list[str]) -> subprocess.CompletedProcess:
    """A dry run, with both of its streams in stdout."""
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    command = [snakemake, *arguments, "--dry-run", "--quiet", "rules", "--config", *given]
    return subprocess.run(
        command, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def stats(output: str) -> dict[str, int]:
    """Jobs of each rule, from the table that snakemake prints."""
    rows = re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}


def times(store: Store) -> dict[tuple[str, str], float]:
    """Median seconds of the jobs of each (stage, scale) that the store remembers."""
    seconds = defaultdict(list)
    for stage, scale, took in _records(store):
        seconds[stage, scale].append(took)
    return {key: median(values) for key, values in seconds.items()}


def _records(store: Store) -> Iterator[tuple[str, str, float]]:
    for path in sorted(store.records()):
        record = store.record(path.stem)
        if record is not None:
            yield record["stage"], record["wildcards"].get("scale", ""), record["seconds"]


def table(
    scale: str,
    every: Mapping[str, int],
    due: Mapping[str, int],
    seconds: Mapping[tuple[str, str], float],
) -> Iterator[str]:
    """Lines: jobs in all, jobs to run now, seconds a job and where measured, core minutes."""
    yield f"scale {scale}: one core a job; seconds are medians of earlier runs"
    yield f"{'stage':18} {'jobs':>5} {'to run':>7} {'s/job':>9}  {'measured at':12} {'core min':>9}"
    total, unknown = 0.0, []
    for stage, jobs in sorted(every.items()):
        measured = measured_at(stage, scale, seconds)
        if measured is None:
            unknown.append(stage)
            yield f"{stage:18} {jobs:5d} {due.get(stage, 0):7d} {'?':>9}  {'never':12} {'?':>9}"
            continue
        took = seconds[stage, measured]
        total += jobs * took
        yield (
            f"{stage:18} {jobs:5d} {due.get(stage, 0):7d} {took:9.1f}  {measured:12} "
            f"{jobs * took / 60:9.1f}"
        )
    yield f"{'in all':18} {sum(every.values()):5d} {sum(due.values()):7d} {'':23} {total / 60:9.1f}"
    smaller = {measured_at(stage, scale, seconds) for stage in every} - {scale, None}
    if smaller:
        yield f"times of scale {', '.join(sorted(smaller))} say little about {scale}: a lower bound"
    if unknown:
        yield f"not counted, never run here: {', '.join(unknown)}"


def measured_at(stage: str, scale: str, seconds: Mapping[tuple[str, str], float]) -> str | None:
    """The scale itself if its jobs were run, else the nearest smaller, else any."""
    order = SCALES[: SCALES.index(scale) + 1][::-1] + SCALES[SCALES.index(scale) + 1 :]
    return next((s for s in order if (stage, s) in seconds), None)
