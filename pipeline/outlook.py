"""What a run is about to cost on this machine, how far it is, and which job takes far too long."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import measurements
from pipeline.errors import ConfigError
from pipeline.estimates import Job, Measured, estimate, longest_chain, until_the_end
from pipeline.graph import Graph
from pipeline.stage import say
from pipeline.work import named, size

REUSED = 1.0  # seconds of a job whose result is in the store
LATE, SPARE = 3.0, 60.0  # a job is late beyond so many times its plan, and so many seconds more
LOOK_EVERY, TELL_EVERY = 5.0, 120.0  # seconds
NAMED = 4  # jobs or stages listed by name


class Expected(NamedTuple):
    """What is expected of a job: seconds, None if nothing like it was ever measured."""

    seconds: float | None
    reused: bool = False  # the store has a result of the same spec, and of all that it reads


# --- what is expected ----------------------------------------------------------------------------


def expected(
    graph: Graph, jobs: Iterable[Job], specs: Mapping[Job, Any], past: list[Measured]
) -> dict[Job, Expected]:
    """What each job will take, given the jobs that have run.

    Args:
        specs: what the jobs are made from.
    """
    jobs = list(jobs)
    stored = {one.spec for one in past if one.spec}
    digests = {job: measurements.digest_of(spec) for job, spec in specs.items()}
    reused = kept(jobs, {job for job in jobs if digests.get(job) in stored})
    return {
        job: Expected(REUSED, True)
        if job in reused
        else Expected(seconds(graph, job, specs.get(job), past))
        for job in jobs
    }


def seconds(graph: Graph, job: Job, spec: Any, past: list[Measured]) -> float | None:
    """What the same job took if it has run, else an estimate from the nearest of kin."""
    guess = estimate(size(graph, job.rule, dict(job.wildcards), spec), past)
    return guess.seconds if guess else None


def order(costs: Mapping[Job, Expected]) -> dict[Job, float]:
    """Priorities: what most work waits for goes first, and before all what is unknown.

    The priority of a job is the time until the end of all that waits for it, in seconds; a job
    that was never measured counts as longer than all others together.
    """
    unknown = 1.0 + sum(cost.seconds or 0.0 for cost in costs.values())
    taken = {j: unknown if cost.seconds is None else cost.seconds for j, cost in costs.items()}
    return {job: round(rest, 1) for job, rest in until_the_end(costs, taken).items()}


def kept(jobs: Collection[Job], stored: Collection[Job]) -> set[Job]:
    """Those of the `stored` jobs that read nothing but results, and these unchanged or kept."""
    maker = {path: job for job in jobs for path in job.outputs}

    @cache
    def one(job: Job) -> bool:
        known = all(path in maker or path.startswith("results/") for path in job.inputs)
        return job in stored and known and all(one(maker[p]) for p in job.inputs if p in maker)

    return {job for job in jobs if one(job)}


def announced(costs: Mapping[Job, Expected], cores: int | None) -> Iterator[str]:
    """Lines: jobs, minutes, what takes most of them, and what is not known.

    Args:
        cores: of this machine; None if the jobs run elsewhere.
    """
    stored = sum(cost.reused for cost in costs.values())
    unknown = sorted({job.rule for job, cost in costs.items() if cost.seconds is None})
    work = {job: cost.seconds * job.threads for job, cost in costs.items() if cost.seconds}
    count = f"{len(costs)} job{'s' * (len(costs) != 1)} to run"
    count += f", {stored} of them probably from the store" if stored else ""
    if not work:
        yield f"{count}; what they cost is unknown: nothing like them was ever measured"
        return
    total = duration(sum(work.values()))
    if cores is None:
        yield f"{count}: about {total} of CPU time where it was measured"
    else:
        wall = duration(wall_seconds(costs, cores))
        plural = "s" * (cores != 1)
        yield f"{count}: about {wall} on {cores} core{plural} of this machine ({total} of CPU time)"
    if unknown:
        lacking = sum(cost.seconds is None for cost in costs.values())
        yield f"  and {lacking} of unknown cost, never measured: {listed(unknown)}"
    stages: dict[str, float] = {}
    for job, seconds in work.items():
        stages[job.rule] = stages.get(job.rule, 0.0) + seconds
    most = sorted(stages, key=stages.get, reverse=True)[:NAMED]
    yield "  most of it: " + ", ".join(f"{name} {duration(stages[name])}" for name in most)
    if cores is not None and (busy := _busy(cores)):
        yield busy


def wall_seconds(costs: Mapping[Job, Expected], cores: int) -> float:
    """The work shared by the cores, or the longest chain of jobs if that is longer."""
    seconds = {job: cost.seconds or 0.0 for job, cost in costs.items()}
    work = sum(seconds[job] * min(job.threads, cores) for job in costs)
    chain = sum(seconds[job] for job in longest_chain(costs, seconds))
    return max(work / cores, chain)


def _busy(cores: int) -> str:
    """A warning where others compute on cores that this run counts on; "" where not."""
    there, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if load < 0.5 or load + cores < there + 0.5:
        return ""
    return f"  it takes longer while others compute here: the load of this machine is {load:.1f}"


def duration(seconds: float) -> str:
    """`40 seconds`, `1.5 minutes`, `12 minutes`, `3.4 hours`."""
    for limit, unit, name in (
        (100, 1, "seconds"),
        (6000, 60, "minutes"),
        (math.inf, 3600, "hours"),
    ):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.0f} {name}" if value >= 9.5 or unit == 1 else f"{value:.1f} {name}"
    raise ValueError(f"seconds are not finite: {seconds}")


def listed(names: Collection[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(list(names)[:NAMED]) + more


# --- how far it is -------------------------------------------------------------------------------


@dataclass
class Progress:
    """Follows the jobs of a run by their first outputs; `look` says what is worth saying."""

    costs: Mapping[Job, Expected]
    cores: int
    logs: Mapping[str, str] = field(default_factory=dict)  # of each job, by its first output
    begun: dict[str, float] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    warned: dict[str, float] = field(default_factory=dict)  # seconds after which to say it again
    started: float | None = None
    told: float = 0.0

    def __post_init__(self) -> None:
        self.jobs = {job.outputs[0]: job for job in self.costs}
        self.planned = wall_seconds(self.costs, self.cores)

    def look(self, now: float, running: Collection[str]) -> Iterator[str]:
        """Lines about jobs that take too long and, once in a while, about the whole.

        Args:
            now: seconds of some clock.
            running: first outputs of the jobs that run.
        """
        if self.started is None:
            self.started = self.told = now
        self.ended |= self.begun.keys() - set(running)
        for output in running:
            if output in self.jobs:
                self.begun.setdefault(output, now)
                yield from self.late(output, now - self.begun[output])
        if now - self.told >= TELL_EVERY:
            self.told = now
            yield self.line(now)

    def late(self, output: str, seconds: float) -> Iterator[str]:
        planned = self.costs[self.jobs[output]].seconds
        if planned is None or seconds < self.warned.get(
            output, max(LATE * planned, planned + SPARE)
        ):
            return
        self.warned[output] = 2 * seconds
        job, log = self.jobs[output], self.logs.get(output, "")
        load = os.getloadavg()[0]
        yield (
            f"{named(job.rule, dict(job.wildcards))}: runs for {duration(seconds)}, planned were "
            f"{duration(planned)}. The load of this machine is {load:.1f} on "
            f"{len(os.sched_getaffinity(0))} cores"
            f"{f'; what the job does stands in {log}' if log else ''}. It goes on; Ctrl-C stops "
            "the run, and the next one continues"
        )

    def line(self, now: float) -> str:
        """How many jobs have ended, and about how long the others will take."""
        left = {job: cost for job, cost in self.costs.items() if job.outputs[0] not in self.ended}
        until_now = {o: now - t for o, t in self.begun.items() if o not in self.ended}
        rest = {
            job: Expected(max((cost.seconds or 0.0) - until_now.get(job.outputs[0], 0.0), 0.0))
            for job, cost in left.items()
        }
        seconds, spent = wall_seconds(rest, self.cores) if rest else 0.0, now - self.started
        done = max(self.planned - seconds, 1e-9)
        pace = spent / done if done > 0.1 * self.planned else 1.0
        unknown = sum(cost.seconds is None for cost in left.values())
        ahead = [f"about {duration(seconds * pace)} to go"] if unknown < len(left) else []
        ahead += [f"{unknown} left that were never measured"] if unknown else []
        count = f"{len(self.ended)} of {len(self.costs)} jobs done after {duration(spent)}"
        return ", ".join([count, *ahead])


def follow(progress: Progress, scheduler: Any) -> threading.Thread:
    """Look at the jobs of a scheduler from now on, until this process ends."""

    def looking() -> None:
        while True:
            running = [str(job.output[0]) for job in list(scheduler.running) if job.output]
            for line in progress.look(time.monotonic(), running):
                say(line)
            time.sleep(LOOK_EVERY)

    thread = threading.Thread(target=looking, daemon=True)
    thread.start()
    return thread


def begin(workflow: Any, config: Mapping[str, Any], root: Path, store: Path) -> None:
    """Say what the run of this workflow will cost, put its jobs in order and follow them."""
    asked = [job for job in workflow.dag.needrun_jobs() if job.output]
    jobs = {as_job(job): job for job in asked}
    if not jobs:
        return
    specs = {as_: spec for as_, job in jobs.items() if (spec := job.params.get("spec"))}
    try:
        costs = expected(Graph(config, root), jobs, specs, measurements.known(root, store))
    except (ConfigError, OSError) as error:  # a run does not need to know what it costs
        say(f"what this run costs is unknown: {error}")
        return
    for as_, priority in order(costs).items():
        workflow.dag._priority[jobs[as_]] = priority
    cores = workflow.cores if workflow.local_exec else None
    for line in announced(costs, cores):
        say(line)
    if cores is not None:
        logs = {as_.outputs[0]: str(job.log[0]) for as_, job in jobs.items() if job.log}
        follow(Progress(costs, cores, logs), workflow.scheduler)


def as_job(job: Any) -> Job:
    """A job of Snakemake in our words."""
    files = (tuple(map(str, names)) for names in (job.input, job.output))
    return Job(job.rule.name, tuple(job.wildcards.items()), *files, threads=job.threads)
