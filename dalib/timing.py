"""What methods cost: CPU time of this process, of methods that take turns.

Process time on one thread, not wall time, so that what else runs on the machine counts little. It
still counts (caches and memory are shared, clock rates change), so that methods that are compared
are measured in turn, each once in every round: whatever slows one round slows all of them. A claim
on two methods then takes the median over rounds of the ratio in a round, with its interval
(`{kind: median_ratio}` with `timing: true`).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def in_turn(work: Mapping[str, Callable[[], T]], repetitions: int) -> dict[str, list[T]]:
    """{name: what its calls return}, one in each of `repetitions` rounds after one that warms up.

    Every other round goes backward, so that a steady drift of the machine's speed favours none.

        seconds = in_turn({name: partial(cpu_seconds, run) for name, run in ...}, repetitions)
    """
    order = list(work)
    found: dict[str, list[T]] = {name: [] for name in order}
    for repetition in range(1 + repetitions):
        for name in order if repetition % 2 else order[::-1]:
            found[name].append(work[name]())
    return {name: values[1:] for name, values in found.items()}


def cpu_seconds(run: Callable[[], Any]) -> float:
    """Process time of one call."""
    before = time.process_time()
    run()
    return time.process_time() - before
