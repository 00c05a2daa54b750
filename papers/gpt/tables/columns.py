"""Tables with a row for each quantity and a column for each system and codec.

A cell is a number, or the median of several with their 5 and 95 % quantiles. What a scale leaves
out has no cell: a column without its case or codec, a quantity without its method or variable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from dalib.tables import Row, markdown
from papers.gpt.runs import CELLS, select

Values = xr.DataArray | None


class Cell(NamedTuple):
    """A number, or the median of several between their 5 and 95 % quantiles."""

    value: float
    low: float | None = None
    high: float | None = None
    digits: int = 3

    def __str__(self) -> str:
        if self.low is None:
            return self.text(self.value)
        return f"{self.text(self.value)} [{self.text(self.low)}–{self.text(self.high)}]"

    def text(self, number: float) -> str:
        return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.{self.digits}g}"


METHODS = {"generated": "gpt", "chain": "markov"}


@dataclass(frozen=True)
class Column:
    """Scores of a study, and which of them are this column's.

    settings: `label`, `study`, `cells` in each dimension, and where there are such `published`
    (numbers by name). scores: along `run`.
    """

    settings: Mapping
    scores: xr.Dataset

    def said(self, name: str) -> Cell | None:
        """What the paper prints."""
        number = self.settings.get("published", {}).get(name)
        return None if number is None else Cell(number, digits=6)

    def true(self, variable: str, **where: float) -> Values:
        """A score of the truth through this column's codec: the same of every run with it."""
        if variable not in self.scores:
            return None
        own = (self.scores[CELLS] == self.settings["cells"]).values
        values = self.scores[variable].isel(run=own.nonzero()[0])
        values = values.dropna("run", how="all")  # what is asked of some methods only
        return values.isel(run=0).sel(where) if values.sizes["run"] else None

    def made(
        self, variable: str, *, by: str = "generated", temperature: float = 1.0, **where: float
    ) -> Values:
        """A score of generated states, or of those of the Markov chain."""
        own = select(self.scores, METHODS[by], self.settings["cells"], temperature)
        return None if own is None or variable not in own else own[variable].sel(where)


class Quantity(NamedTuple):
    """A row: its name in texts, what readers call it, and what it is in a column."""

    name: str
    label: str
    of: Callable[[Column], Values | Cell]


def columns(
    settings: Mapping[str, Mapping], names: Sequence[str], scores: Mapping[str, xr.Dataset]
) -> dict[str, Column]:
    """Those of `names`, in their order, that are there; `scores` by study."""
    found = {}
    for name in names:
        column = settings[name]
        own = scores.get(column["study"])
        if own is not None and column["cells"] in own[CELLS]:
            found[name] = Column(column, own)
    return found


def cell(values: Values | Cell) -> Cell | None:
    """A number as it is, of several the median and quantiles; None for NaN alone."""
    if values is None or isinstance(values, Cell):
        return values
    finite = values.values[np.isfinite(values.values)]
    if finite.size == 0:
        return None
    low, median, high = (float(q) for q in np.quantile(finite, (0.05, 0.5, 0.95)))
    return Cell(median) if low == high else Cell(median, low, high)


def rows(columns: Mapping[str, Column], quantities: Sequence[Quantity]) -> list[Row]:
    """One for every number: column, quantity, value, and quantiles where it is a median."""
    found = [(c, q, cell(q.of(c))) for c in columns.values() for q in quantities]
    return [
        {"column": c.settings["label"], "quantity": q.label}
        | {"value": number.value, "low": number.low, "high": number.high}
        for c, q, number in found
        if number is not None
    ]


def page(columns: Mapping[str, Column], quantities: Sequence[Quantity], notes: str) -> str:
    """The table, quantities without any number left out, and notes below it."""
    shown = values(columns, columns, quantities)
    wide = [
        {"": q.label}
        | {c.settings["label"]: shown[f"{name}.{q.name}"] or "" for name, c in columns.items()}
        for q in quantities
    ]
    return markdown([row for row in wide if any(list(row.values())[1:])]) + f"\n{notes}\n"


def values(
    columns: Mapping[str, Column], names: Iterable[str], quantities: Sequence[Quantity]
) -> dict[str, str | None]:
    """{"column.quantity": what the table shows}, None where there is nothing.

    names: of the columns, those that are not there as well.
    """

    def shown(name: str, quantity: Quantity) -> str | None:
        number = cell(quantity.of(columns[name])) if name in columns else None
        return None if number is None else str(number)

    return {f"{name}.{q.name}": shown(name, q) for name in names for q in quantities}


def quotient(above: Values | Cell, below: Values | Cell) -> Cell | None:
    """Of two numbers or medians."""
    upper, lower = cell(above), cell(below)
    return None if upper is None or lower is None else Cell(upper.value / lower.value)


def percent(share: Values) -> Values:
    return None if share is None else 100 * share


def share_from(values: Values, least: Cell | None) -> Cell | None:
    """Percentage of the values that are `least` or more."""
    if values is None or least is None:
        return None
    return Cell(100 * float((values >= least.value).mean()))


def largest(values: Values) -> Cell | None:
    return None if values is None else Cell(float(values.max()))


def count(values: Values) -> Cell | None:
    return None if values is None else Cell(values.size)
