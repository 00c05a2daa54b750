"""What an external check is: a published number, how it is measured here, its tolerance."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

MET, NOT_MET, SHOWN, SKIPPED = "met", "not met", "shown", "skipped"


class UnavailableError(Exception):
    """What a check needs is not there; the message says what, and where it can be had."""


@dataclass(frozen=True)
class Measured:
    """What came out here.

    value: to be compared with the published number.
    tolerance: how far it may be from it; None where nothing was fixed before, and the two numbers
        are only shown beside each other.
    interval: 95 % of `value`, where it was sampled.
    note: what a reader has to know of it.
    """

    value: float
    tolerance: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One published number.

    group: the source that it belongs to, as in the page's headings.
    published: the value, in the units of `name`.
    measure: measures it here; may raise `UnavailableError`.
    cost: CPU seconds, about; what costs more than a minute is left to `--all`.
    """

    group: str
    name: str
    published: float
    source: str
    measure: Callable[[], Measured]
    cost: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """A check with what came out."""

    check: Check
    measured: Measured | None = None
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def difference(self) -> float:
        """Ours less published."""
        return np.nan if self.measured is None else self.measured.value - self.check.published

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return SKIPPED
        if self.measured.tolerance is None:
            return SHOWN
        return MET if abs(self.difference) <= self.measured.tolerance else NOT_MET


def run(check: Check) -> Outcome:
    """Measure, and judge."""
    begin = time.process_time()
    try:
        measured = check.measure()
    except UnavailableError as error:
        return Outcome(check, None, str(error), time.process_time() - begin)
    return Outcome(check, measured, measured.note, time.process_time() - begin)


def mean_of(values: Sequence[float], *, seed: int = 0) -> tuple[float, tuple[float, float], float]:
    """(mean, 95 % interval by bootstrap, standard error) of independent values."""
    values = np.asarray(values, dtype=float)
    draws = np.random.default_rng(seed).integers(len(values), size=(2000, len(values)))
    means = values[draws].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), (float(low), float(high)), float(means.std())
