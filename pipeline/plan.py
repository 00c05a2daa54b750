"""What a scale costs before anyone starts it: jobs, core hours, GPU hours, memory, time, disk."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from pipeline import measurements
from pipeline.estimates import Estimate, Job, estimate, longest_chain
from pipeline.graph import Graph
from pipeline.store import Store, directory
from pipeline.work import size

HOUR, GB = 3600.0, 1e9


def main(root: Path, config: Mapping[str, Any], targets: list[str], given: list[str]) -> int:
    """Print a row for each stage; the exit code of snakemake if it cannot build the graph.

    Args:
        given: what follows `--config` on the command line.
    """
    scale = config["scale"]
    given = [*given, f"scale={scale}"]
    done = graph(root, given, ["--forceall", *targets])
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        return done.returncode
    every, due = jobs(done.stdout), jobs(graph(root, given, targets).stdout)
    known = measurements.known(root, Store(directory()).directory)
    wiring = Graph(config, root)
    costs = {job: estimate(size(wiring, job.rule, dict(job.wildcards)), known) for job in every}
    print("\n".join(table(scale, costs, {job.outputs for job in due})))
    return 0


def graph(root: Path, given: list[str], arguments: list[str]) -> subprocess.CompletedProcess:
    """A dry run that lists every job, with both of its streams in stdout."""
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    command = [snakemake, *arguments, "--dry-run", "--quiet", "host", "--config", *given]
    return subprocess.run(
        command, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def jobs(output: str) -> list[Job]:
    """The jobs that a dry run lists; those without output only gather the others."""
    blocks = re.findall(r"^(?:local)?rule (\w+):\n((?: +.*\n)*)", output, re.MULTILINE)
    return [job for rule, block in blocks if (job := _job(rule, block)).outputs]


def _job(rule: str, block: str) -> Job:
    lines = dict(re.findall(r"^ +(\w+): (.*)$", block, re.MULTILINE))
    asked = dict(pair.split("=", 1) for pair in lines.get("resources", "").split(", ") if pair)
    wildcards = dict(p.split("=", 1) for p in lines.get("wildcards", "").split(", ") if p)
    return Job(
        rule,
        tuple(wildcards.items()),
        tuple(lines.get("input", "").split(", ")),
        tuple(filter(None, lines.get("output", "").split(", "))),
        int(lines.get("threads", 1)),
        *(int(asked.get(name, 0)) for name in ("mem_mb", "runtime", "gpu")),
    )


def table(
    scale: str, costs: Mapping[Job, Estimate | None], due: set[tuple[str, ...]]
) -> Iterator[str]:
    """Lines: a row for each stage, the sums, the longest chain, and what was extrapolated."""
    known = {job: cost for job, cost in costs.items() if cost is not None}
    yield f"scale {scale}: estimated from jobs that were measured"
    yield (
        f"{'stage':14} {'jobs':>5} {'to run':>7} {'min/job':>8} {'longest':>8} {'core h':>8} "
        f"{'GPU h':>7} {'GB/job':>7}  measured at"
    )
    for stage in sorted({job.rule for job in costs}):
        yield _row(stage, [job for job in costs if job.rule == stage], known, due)
    yield (
        f"{'in all':14} {len(costs):5d} {sum(job.outputs in due for job in costs):7d} {'':17} "
        f"{core_hours(known):8.2f} {gpu_hours(known):7.2f} {most(costs, 'mem_mb') / 1000:7.1f}"
    )
    seconds = {job: cost.seconds for job, cost in known.items()}
    chain = longest_chain(costs, seconds)
    total = sum(seconds.get(job, 0.0) for job in chain)
    yield f"longest chain: {total / HOUR:.2f} h, {' > '.join(job.rule for job in chain)}"
    disk = sum(cost.bytes for cost in known.values()) / GB
    yield f"disk: {disk:.2f} GB of results, as much again in the store"
    if any(job.gpu for job in costs):
        yield "GPU h of jobs that were measured on a CPU are upper bounds"
    far = sorted({job.rule for job, cost in known.items() if cost.factor != 1})
    if far:
        yield (
            f"extrapolated by what the configuration counts: {', '.join(far)}; a rough estimate, "
            "worse the larger the factor"
        )
    unknown = sorted({job.rule for job, cost in costs.items() if cost is None})
    if unknown:
        lacking = sum(cost is None for cost in costs.values())
        yield f"unknown and in no sum, never measured: {lacking} jobs of {', '.join(unknown)}"


def _row(
    stage: str,
    jobs: list[Job],
    known: Mapping[Job, Estimate],
    due: set[tuple[str, ...]],
) -> str:
    found = {job: known[job] for job in jobs if job in known}
    start = f"{stage:14} {len(jobs):5d} {sum(job.outputs in due for job in jobs):7d}"
    memory = f"{most(jobs, 'mem_mb') / 1000:7.1f}"
    if not found:
        return f"{start} {'?':>8} {'?':>8} {'?':>8} {'?':>7} {memory}  unknown"
    minutes = [cost.seconds / 60 for cost in found.values()]
    factors = [cost.factor for cost in found.values()]
    least, largest = min(factors), max(factors)
    spread = f"{least:.3g}" if least == largest else f"{least:.3g} to {largest:.3g}"
    scales = ", ".join(sorted({cost.scale for cost in found.values()}))
    unknown = len(jobs) - len(found)
    return (
        f"{start} {median(minutes):8.1f} {max(minutes):8.1f} {core_hours(found):8.2f} "
        f"{gpu_hours(found):7.2f} {memory}  {scales}"
        + ("" if least == largest == 1 else f", work x {spread}")
        + (f", {unknown} unknown" if unknown else "")
    )


def core_hours(costs: Mapping[Job, Estimate]) -> float:
    return sum(job.threads * cost.seconds for job, cost in costs.items()) / HOUR


def gpu_hours(costs: Mapping[Job, Estimate]) -> float:
    return sum(job.gpu * cost.seconds for job, cost in costs.items()) / HOUR


def most(jobs: Iterable[Job], resource: str) -> int:
    return max((getattr(job, resource) for job in jobs), default=0)
