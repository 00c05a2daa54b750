"""Sections of this paper beside those of all papers; see dalib/experiments/sections.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dalib import limits
from dalib.experiments import sections


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the paper prints in a column of Table I.

    Attributes:
        generated: distance of generated states from true ones.
        reference: distance of two sets of true states.
        divergence: time until generated and true trajectories with the same past part.
        lyapunov_time: the inverse of the largest Lyapunov exponent.
        exponent: the largest Lyapunov exponent of generated states.
        exponent_reference: that of the system.
    """

    generated: float
    reference: float
    divergence: float = None
    lyapunov_time: float = None
    exponent: float = None
    exponent_reference: float = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """Runs that stand in one column of a table.

    Attributes:
        label: what the table calls it.
        study: whose runs it shows.
        cells: of the codec, in each dimension.
        published: what the paper prints.
    """

    label: str
    study: str
    cells: int
    published: Published = None

    def __post_init__(self) -> None:
        limits.at_least(1, cells=self.cells)


@dataclass(frozen=True, kw_only=True)
class Plot(sections.Plot):
    """What figures and tables show.

    Attributes:
        table: columns in their order.
        columns: of Table I, by name.
    """

    open: ClassVar[bool] = False

    table: list[str]
    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        for name in self.table:
            if name not in self.columns:
                there = ", ".join(self.columns)
                raise ValueError(f'table: unknown column "{name}"; there are: {there}')


@dataclass(frozen=True, kw_only=True)
class Paper(sections.Paper):
    """The section of this paper."""

    plot: Plot
