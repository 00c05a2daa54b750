"""What a job will cost, from jobs that were measured; pure functions.

The time of a job is that of starting it, and its work at the rate of the most similar job known:

    seconds = START + (measured seconds - START) * work / measured work

Work is compared by what the configuration counts (`pipeline.work`). What has no kin among the
measured jobs is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import NamedTuple

from pipeline.work import Size, ratio

START = 2.0  # seconds to import torch and xarray
# A job that takes less is mostly other things than its work: it tells of jobs so many times as
# large at most.
TELLING, NEAR = 20.0, 10.0


class Measured(NamedTuple):
    """A job that has run: its size, seconds, and bytes written.

    job: its name without the scale, `work.named`.
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


def estimate(job: Size, measured: Iterable[Measured]) -> Estimate | None:
    """What `job` will cost; None if no job like it was ever measured, or none that tells enough.

    Of the jobs nearest of kin, with the same settings, those nearest in work; of these the last
    scale's.

    Args:
        measured: jobs that have run, those of small scales first.
    """
    comparable = [m for m in measured if _same_settings(job, m.size)]
    for name in job.alike:
        found = _scaled(job, [m for m in comparable if name in m.size.alike])
        if found:
            return found
    return None


def _scaled(job: Size, kin: list[Measured]) -> Estimate | None:
    """The time and files of those nearest in work, times the ratio of the work."""
    if not kin:
        return None

    def distance(other: Measured) -> float:
        return round(abs(math.log(ratio(job, other.size))), 9)

    nearest = min(map(distance, kin))
    best = [m for m in kin if distance(m) == nearest]
    model = best[-1]
    best = [m for m in best if m.scale == model.scale]
    factor = ratio(job, model.size)
    seconds = median(m.seconds for m in best)
    written = median(m.bytes for m in best) * ratio(job, model.size, files=True)
    if factor > NEAR and seconds < TELLING:
        return None
    if not math.isclose(factor, 1):
        seconds = START + max(seconds - START, 0) * factor
    return Estimate(seconds, written, model.scale, factor)


def _same_settings(job: Size, other: Size) -> bool:
    if job.counts is None or other.counts is None:
        return job.counts is None  # by its own name, whatever it is made from
    return job.counts.keys() == other.counts.keys()


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


def until_the_end(jobs: Iterable[Job], seconds: Mapping[Job, float]) -> dict[Job, float]:
    """Seconds of each job and of the longest chain of jobs that waits for it."""
    jobs = list(jobs)
    readers: dict[str, list[Job]] = {}
    for job in jobs:
        for path in job.inputs:
            readers.setdefault(path, []).append(job)

    @cache
    def rest(job: Job) -> float:
        waiting = {other for path in job.outputs for other in readers.get(path, ())}
        return seconds[job] + max(map(rest, waiting), default=0.0)

    return {job: rest(job) for job in jobs}
