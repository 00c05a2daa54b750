"""What a scale costs before anyone starts it: jobs, core hours, GPU hours, memory, time, disk."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from pipeline import field_costs, settings
from pipeline.costs import Estimate, Job, Measured, estimate, longest_chain, named, size
from pipeline.errors import ConfigError
from pipeline.store import Store, directory

COLLECTIONS = {"filter": "filters", "sampler": "samplers", "forecaster": "forecasters"}
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
    known = sorted(measured(Store(directory()).directory, root), key=rank)
    costs = {
        job: estimate(size(job.rule, sections(config, dict(job.wildcards))), known) for job in every
    }
    print("\n".join(table(scale, costs, {job.outputs for job in due})))
    return 0


def rank(measured: Measured) -> int:
    """The place of its scale from small to large; scales of somebody's own come last."""
    scales = settings.SCALES
    return scales.index(measured.scale) if measured.scale in scales else len(scales)


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


def sections(config: Mapping[str, Any], wildcards: Mapping[str, str]) -> dict[str, Any]:
    """What the configuration says of a job with these wildcards."""
    paper = config.get(wildcards.get("paper"), {})
    found = {"batches": config["batches"], "product": wildcards.get("product")}
    found["case"] = paper.get("cases", {}).get(wildcards.get("case"), {})
    if field_costs.on_fields(found["case"]):
        points = config["batches"]["points"]
        return found | {"on_fields": field_costs.sections(paper, wildcards, points)}
    experiments = _experiments(paper, wildcards)
    if experiments:
        batch = wildcards.get("batch")
        return found | {"learning": experiments, "batch": None if batch is None else int(batch)}
    for wildcard, collection in COLLECTIONS.items():
        if wildcard in wildcards:
            found["method"] = paper[collection][wildcards[wildcard]]
    model = wildcards.get("model", found.get("method", {}).get("model"))
    return found | ({"model": _with_codec(paper, paper["models"][model])} if model else {})


def _experiments(paper: Mapping[str, Any], wildcards: Mapping[str, str]) -> list[Mapping]:
    """The experiments of filters that learn which a job has to do with."""
    learning = paper.get("learning", {})
    if wildcards.get("product") == "learning":
        names = paper["cases"][wildcards["case"]]["learning"]["methods"]
    else:
        names = [wildcards.get("model", wildcards.get("filter"))]
    return [learning[name] for name in names if name in learning]


def _with_codec(paper: Mapping[str, Any], model: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model with the section of its codec in place of the name."""
    named = model.get("codec")
    codec = paper.get("codecs", {}).get(named) if isinstance(named, str) else None
    return {**model, "codec": codec} if codec else model


def measured(store: Path, root: Path) -> Iterator[Measured]:
    """The jobs that the store remembers."""

    @cache
    def config(scale: str) -> dict[str, Any]:
        return settings.load(root, {"scale": scale})

    for path in sorted((store / "keys").glob("*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            yield as_measured(record, config(record["wildcards"]["scale"]))
        except (ConfigError, LookupError, TypeError, ValueError):  # damaged, or no longer there
            continue


def as_measured(record: Mapping[str, Any], config: Mapping[str, Any]) -> Measured:
    """What a record tells of the cost of its job, whose sections `config` has.

    Raises:
        KeyError: the job is of a case, model or method that `config` does not have.
    """
    stage, wildcards, spec = record["stage"], record["wildcards"], record["spec"]
    if "case" in wildcards:
        config[wildcards["paper"]]["cases"][wildcards["case"]]  # how large it was is unknown
    of = size(stage, as_run(sections(config, wildcards), spec))
    written = sum(output["size"] for output in record["outputs"].values())
    more = named(stage, wildcards), record.get("host", ""), digest_of(spec)
    return Measured(wildcards["scale"], of, record["seconds"], written, *more)


def digest_of(spec: Any) -> str:
    """The same for equal specs, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def as_run(found: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a job with what its spec says of them, e.g. fewer steps than today."""
    found = dict(found)
    if "on_fields" in found:
        return found | {"on_fields": field_costs.as_run(found["on_fields"], spec)}
    spec = spec["config"]
    if "learning" in found and isinstance(spec.get("model"), Mapping):
        section = {**spec["model"], **{n: spec[n] for n in ("training",) if n in spec}}  # of tune
        return found | {"learning": [section], "case": {**found["case"], **spec["case"]}}
    if isinstance(spec.get("case"), Mapping):
        found["case"] = {**found["case"], **spec["case"]}
    for name in ("filter", "sampler", "forecaster"):
        if name in spec:
            found["method"] = spec[name]
            if isinstance(spec[name].get("model"), Mapping):
                found["model"] = spec[name]["model"]
    return found | ({"model": spec["model"]} if "model" in spec else {})


def table(
    scale: str, costs: Mapping[Job, Estimate | None], due: set[tuple[str, ...]]
) -> Iterator[str]:
    """Lines: a row for each stage, the sums, the longest chain, and what was extrapolated."""
    known = {job: cost for job, cost in costs.items() if cost is not None}
    yield f"scale {scale}: estimated from jobs in the store"
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
            f"extrapolated by the amount of work: {', '.join(far)}; times of a network made wider "
            "are upper bounds"
        )
    unknown = sorted({job.rule for job, cost in costs.items() if cost is None})
    if unknown:
        yield f"not counted, never run here: {', '.join(unknown)}"


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
        return f"{start} {'?':>8} {'?':>8} {'?':>8} {'?':>7} {memory}  never"
    minutes = [cost.seconds / 60 for cost in found.values()]
    factors = [cost.factor for cost in found.values()]
    least, largest = min(factors), max(factors)
    spread = f"{least:.3g}" if least == largest else f"{least:.3g} to {largest:.3g}"
    scales = ", ".join(sorted({cost.scale for cost in found.values()}))
    return (
        f"{start} {median(minutes):8.1f} {max(minutes):8.1f} {core_hours(found):8.2f} "
        f"{gpu_hours(found):7.2f} {memory}  {scales}"
        + ("" if least == largest == 1 else f", work x {spread}")
    )


def core_hours(costs: Mapping[Job, Estimate]) -> float:
    return sum(job.threads * cost.seconds for job, cost in costs.items()) / HOUR


def gpu_hours(costs: Mapping[Job, Estimate]) -> float:
    return sum(job.gpu * cost.seconds for job, cost in costs.items()) / HOUR


def most(jobs: Iterable[Job], resource: str) -> int:
    return max((getattr(job, resource) for job in jobs), default=0)
