"""What Snakemake itself costs beside the jobs that it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

DEFAULT_RATE = (100, 1)  # jobs, seconds: what Snakemake limits submissions to where nobody asks
DRAWN = 1.0  # times a second


def only_wake_for_jobs(workflow: Any) -> None:
    """Let the scheduler look at waiting jobs when a job ends, and at no other time.

    Its limiter of submissions starts a timer of a second at every look, each of which leads to
    the next look: as many a second as jobs have ended, and every one evaluates all waiting jobs
    anew. A limit that somebody has set is kept.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == DEFAULT_RATE:
        workflow.scheduler.job_rate_limiter = None


def draw_less(workflow: Any) -> None:
    """Let a live display on the terminal draw itself once a second instead of eight times."""
    listener = workflow.logger_manager.queue_listener
    for handler in listener.handlers if listener else ():
        if hasattr(handler, "live_display"):
            handler.live_display.refresh_per_second = DRAWN


@dataclass(frozen=True)
class Overhead:
    """CPU seconds of this process from its start to the first job, and the time of that."""

    graph: float
    started: float

    @classmethod
    def begin(cls) -> Overhead:
        return cls(time.process_time(), time.monotonic())

    def line(self) -> str:
        """Its share of one core while the jobs ran, and that with building the graph in it."""
        wall = max(time.monotonic() - self.started, 1e-9)
        jobs = time.process_time() - self.graph
        return (
            f"snakemake itself: {self.graph:.1f} CPU s to build the graph and {jobs:.1f} beside "
            f"the jobs, which took {wall:.0f} s: {100 * (self.graph + jobs) / wall:.1f} % of a core"
        )
