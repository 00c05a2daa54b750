"""A figure that a correct implementation must meet, and the table of such figures."""

import csv
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Row:
    """What is measured, what it should be, and how far off it may be (in its own units).

    `measure` gives one value for each seed, or a single one where nothing is random.
    """

    section: str
    setting: str
    method: str
    expected: float
    tolerance: float
    measure: Callable[[], Tensor]


@dataclass(frozen=True)
class Outcome:
    """A row with the values over seeds; a value that is not finite counts as infinitely wrong."""

    section: str
    setting: str
    method: str
    expected: float
    tolerance: float
    median: float
    mean: float
    lowest: float
    highest: float
    above_twice_the_median: float
    seeds: int
    cpu_seconds: float
    verdict: str


def run(row: Row) -> Outcome:
    """Measure a row and judge its median over seeds."""
    begin = time.process_time()
    values = torch.nan_to_num(torch.atleast_1d(row.measure()).double(), nan=torch.inf)
    seconds = time.process_time() - begin
    median = values.quantile(0.5).item()
    holds = abs(median - row.expected) <= row.tolerance
    return Outcome(
        section=row.section,
        setting=row.setting,
        method=row.method,
        expected=row.expected,
        tolerance=row.tolerance,
        median=median,
        mean=values.mean().item(),
        lowest=values.min().item(),
        highest=values.max().item(),
        above_twice_the_median=(values.abs() > 2 * abs(median)).double().mean().item(),
        seeds=len(values),
        cpu_seconds=seconds,
        verdict="holds" if holds else "FAILS",
    )


HEADER = (
    "| section | setting | method or quantity | expected | tolerance | median | mean "
    "| lowest ... highest | > 2 medians | seeds | CPU s | verdict |"
)
RULE = "|" + " --- |" * (HEADER.count("|") - 1)


def line(outcome: Outcome) -> str:
    """One line of a Markdown table under `HEADER`."""
    o = outcome
    cells = (
        o.section,
        o.setting,
        o.method,
        f"{o.expected:.6g}",
        f"{o.tolerance:.2g}",
        f"{o.median:.6g}",
        f"{o.mean:.4g}",
        f"{o.lowest:.4g} ... {o.highest:.4g}",
        f"{o.above_twice_the_median:.0%}",
        str(o.seeds),
        f"{o.cpu_seconds:.1f}",
        o.verdict,
    )
    return f"| {' | '.join(cells)} |"


def write_csv(outcomes: Iterable[Outcome], path: Path) -> None:
    """The table with all digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Outcome)])
        writer.writerows(map(astuple, outcomes))
