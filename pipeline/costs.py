"""What a job costs, estimated from jobs that were measured; pure functions.

The time of a job is that of starting it, and its work at the rate of the most similar job known:

    seconds = START + (measured seconds - START) * amount / measured amount

The amount of work counts what a stage loops over: steps, windows, seeds, members, tokens, and for
each of them the products of a network (`MULTIPLICATIONS`). Narrower than some 256 units a network
costs more than its products: what is extrapolated to a larger width is an upper bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any, NamedTuple

from dalib.registry import NETWORKS
from pipeline import field_costs, learning_costs

START = 2.0  # seconds to import torch and xarray
NETWORK_WIDTHS = ("hidden", "width", "channels", "embedding")
GPT = {"layers": 12, "width": 768, "context": 1024}  # where the configuration says nothing


class Work(NamedTuple):
    """Multiplications of a network for each sample or token, and how many weights it has."""

    multiplications: float
    weights: float


def dense(model: Mapping[str, Any]) -> Work:
    """Layers whose products grow as the square of their width, n²."""
    square = math.prod(model.get("network", {}).get(name, 1) for name in NETWORK_WIDTHS) ** 2
    return Work(square, square)


def transformer(model: Mapping[str, Any]) -> Work:
    """L (12 n² + C n) + V n for each token, of L layers of width n and a context of C tokens.

    The vocabulary is not known before the codec is fitted: V is as if a surface were cut into
    squares, (cells)², where no `cells` are given nothing.
    """
    L, n, C = ((GPT | model["network"])[name] for name in GPT)
    V = (model.get("codec") or {}).get("cells", 0) ** 2
    return Work(L * (12 * n**2 + C * n) + V * n, L * 12 * n**2 + (V + C) * n)


MULTIPLICATIONS = {"dalib.nets.gpt:GPT": transformer}  # other networks are dense


class Size(NamedTuple):
    """How large a job is.

    amount: of work, in units of its own for each stage; at least one.
    volume: of what it writes, likewise.
    alike: names under which jobs are comparable, the closest kinship first.
    """

    amount: float
    volume: float
    alike: tuple[str, ...]


class Measured(NamedTuple):
    """A job that has run: its size, seconds, and bytes written.

    job: its name without the scale, `named`.
    host: where it ran.
    spec: what it was made from, `digest_of`.
    """

    scale: str
    size: Size
    seconds: float
    bytes: float
    job: str = ""
    host: str = ""
    spec: str = ""


class Estimate(NamedTuple):
    """seconds and bytes of a job; `factor` is its work over that of the measured job."""

    seconds: float
    bytes: float
    scale: str
    factor: float


@dataclass(frozen=True)
class Job:
    """A job of the graph, and what it asks for."""

    rule: str
    wildcards: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    threads: int = 1
    mem_mb: int = 0
    runtime: int = 0
    gpu: int = 0


def named(stage: str, wildcards: Mapping[str, str]) -> str:
    """`train paper=a case=b batch=0`: a job by the same name at every scale."""
    parts = (f"{name}={value}" for name, value in wildcards.items() if name != "scale")
    return " ".join([stage, *parts])


def size(stage: str, sections: Mapping[str, Any]) -> Size:
    """The size of a job from its sections of the configuration.

    A job of nothing is one unit: what is compared with it is divided by that.

    Args:
        sections: `case`, `batches`, and of `model` and `method` what the job has; or `learning`
            or `on_fields`.
    """
    if "learning" in sections:
        found = _learning(stage, sections)
    elif "on_fields" in sections:
        found = _fields(stage, sections["on_fields"])
    else:
        found = _stage(stage, sections)
    return found._replace(amount=max(found.amount, 1.0), volume=max(found.volume, 1.0))


def _stage(stage: str, sections: Mapping[str, Any]) -> Size:
    """Of a job on a case of few components, of a figure or a table."""
    case, batches = sections.get("case", {}), sections.get("batches", {})
    model, method = sections.get("model", {}), sections.get("method", {})
    network, training = model.get("network", {}), model.get("training", {})
    points = math.prod(len(values) for values in model.get("points", {}).values())
    runs = min(training.get("repeats", 1), batches.get("repeats", math.inf)) * points
    kind = network.get("kind")
    work = MULTIPLICATIONS.get(NETWORKS.get(kind, kind), dense)(model)
    splits = case.get("truth", {})
    samples = {n: _samples(splits.get(n, {})) for n in ("train", "valid", "test")}
    substeps = case.get("integrator", {}).get("steps", 1)
    amount = volume = 1.0
    match stage:
        case "simulate":
            volume = sum(samples.values())
            amount = volume * substeps
        case "observe":
            amount = volume = sum(samples.values())
        case "train":
            window = training["batch"] * training.get("window", network.get("context", 1))
            amount = training["steps"] * window * runs * work.multiplications
            volume = runs * work.weights
        case "assimilate":
            share = min(1, batches.get("seeds", math.inf) / splits["test"]["seeds"])
            volume = samples["test"] * (runs if model else share)
            each = work.multiplications if model else method.get("members", 1) * substeps
            amount = volume * each
        case "forecast":
            volume = _forecasts(case["forecasts"], splits.get("test", {})) * runs
            amount = volume * work.multiplications
        case "sample":
            volume = case["samples"]["count"] * runs
            steps = method.get("steps", 1) * method.get("levels", 1)
            amount = volume * steps * work.multiplications
        case "evaluate":
            amount = volume = samples["test"]
    closest = json.dumps([stage, network, training.get("batch"), training.get("window"), runs])
    kinds = [stage, network.get("kind"), method.get("kind"), sections.get("product")]
    kin = json.dumps([closest, *kinds]) if network else json.dumps(kinds)
    return Size(float(amount), float(volume), (kin, json.dumps(kinds), stage))


def _learning(stage: str, sections: Mapping[str, Any]) -> Size:
    """Of a job of filters that learn; `learning` holds the experiments, `batch` the job."""
    case, batch = sections["case"], sections.get("batch")
    splits = {"tune": "train", "train": "train", "assimilate": "test"}
    amount = volume = 1.0
    experiments = sections["learning"]
    if stage == "tune":
        experiments = [learning_costs.as_tuned(section) for section in experiments]
    for section in experiments:
        split = splits.get(stage, "test")
        volume += learning_costs.runs(section, batch) * _samples(case["truth"][split])
        amount += learning_costs.work(case, section, batch, split)
    amount = volume if stage == "evaluate" else amount
    maps = [section["map"] for section in sections["learning"]]
    kind = json.dumps([stage, *[[m["kind"], m.get("correction")] for m in maps]])
    return Size(amount, volume, (kind, f"{stage} of filters that learn"))


def _fields(stage: str, sections: Mapping[str, Any]) -> Size:
    """Of a job on fields; see `field_costs.sections`."""
    alike = [json.dumps([stage, *kinds]) for kinds in field_costs.kinds(stage, sections)]
    amount, volume = (count(stage, sections) for count in (field_costs.work, field_costs.volume))
    return Size(amount, volume, (*alike, f"{stage} on fields"))


def _forecasts(settings: Mapping[str, Any], test: Mapping[str, int]) -> int:
    """Samples of the free runs and of the forecasts from every start, at every temperature."""
    run, starts = settings["free_run"], settings.get("starts", {})
    horizon = settings.get("horizon", 0)
    room = test.get("samples", 0) - horizon - starts.get("first", 0)
    windows = test.get("seeds", 0) * max(room // starts.get("every", 1) + 1, 0) if starts else 0
    made = run["chains"] * run["samples"] + windows * horizon
    return made * len(settings.get("temperatures", [1.0]))


def _samples(split: Mapping[str, int]) -> int:
    return split.get("seeds", 0) * split.get("samples", 0)


def estimate(job: Size, measured: Iterable[Measured]) -> Estimate | None:
    """What `job` will cost; None if no job of its stage was ever measured.

    Of the jobs nearest of kin those nearest in amount count, of these the last scale's.

    Args:
        measured: jobs that have run, those of small scales first.
    """
    measured = list(measured)
    for name in job.alike:
        kin = [m for m in measured if name in m.size.alike]
        if kin:
            break
    else:
        return None

    def distance(other: Measured) -> float:
        return round(abs(math.log(job.amount / other.size.amount)), 9)

    nearest = min(map(distance, kin))
    best = [m for m in kin if distance(m) == nearest]
    model = best[-1]
    best = [m for m in best if m.scale == model.scale]
    factor = job.amount / model.size.amount
    work = max(median(m.seconds for m in best) - START, 0)
    volume = job.volume / model.size.volume
    written = median(m.bytes for m in best) * volume
    seconds = median(m.seconds for m in best) if factor == 1 else START + work * factor
    return Estimate(seconds, written, model.scale, factor)


def longest_chain(jobs: Iterable[Job], seconds: Mapping[Job, float]) -> list[Job]:
    """The jobs, in order, that must run one after the other and take longest."""
    jobs = list(jobs)
    maker = {path: job for job in jobs for path in job.outputs}

    @cache
    def until(job: Job) -> tuple[float, Job | None]:
        """Seconds from the start to the end of `job`, and the job it waits for longest."""
        before = {maker[path] for path in job.inputs if path in maker}
        ends = [(until(other)[0], other) for other in before]
        last, other = max(ends, key=lambda end: end[0], default=(0.0, None))
        return last + seconds.get(job, 0.0), other

    chain = [max(jobs, key=lambda job: until(job)[0])] if jobs else []
    while chain and (other := until(chain[-1])[1]) is not None:
        chain.append(other)
    return chain[::-1]
