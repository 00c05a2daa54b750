"""The errors that DAPPER states in its settings files, measured by the rows of `make accuracy`."""

from collections.abc import Iterator

import torch

from benchmarks import accuracy_filters
from benchmarks.anchors.checks import Check, Measured
from benchmarks.rows import Row

SOURCE = "DAPPER (Raanes et al.), settings files"
SECTIONS = ("3a", "3b", "4a", "4b")


def checks() -> Iterator[Check]:
    """Rows of filters; those that compare two of ours are none."""
    for row in accuracy_filters.rows():
        if row.section in SECTIONS and row.expected > 0 and ":" not in row.method:
            yield Check(
                "DAPPER",
                f"analysis RMSE, {row.setting}, {row.method}",
                row.expected,
                SOURCE,
                lambda row=row: measured(row),
                cost=10,
            )


def measured(row: Row) -> Measured:
    """The median over seeds, with the range of its bootstrap."""
    values = torch.atleast_1d(row.measure()).double()
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(values), (2000, len(values)), generator=generator)
    medians = values[draws].quantile(0.5, dim=1)
    low, high = medians.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Measured(values.quantile(0.5).item(), row.tolerance, (low, high), f"{len(values)} seeds")
