"""One look for every figure: sizes, letters, a palette, one colour for each method of a paper."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

P, R = ParamSpec("P"), TypeVar("R")

COLUMN, PAGE = 3.5, 7.1  # inches: one column, full width of a two-column page

# Okabe & Ito (2008), told apart by all common kinds of colour vision.
BLACK, GREY, OTHER = "#000000", "#8c8c8c", "#5c5c5c"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
BROWN, SAND = "#8a5a2b", "#b8a078"  # of linear codecs; darker and lighter than all of these

RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#e0e0e0",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.1,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Look:
    """What readers call the methods of a paper, and the one colour of each in all its figures.

    methods: {method: (label, colour)}, in the order of figures and tables.
    """

    methods: Mapping[str, tuple[str, str]]

    def label(self, method: str) -> str:
        """A method that is not known here keeps its name."""
        return self.methods[method][0] if method in self.methods else method.replace("_", " ")

    def colour(self, method: str) -> str:
        """Methods that are not known here share a grey."""
        return self.methods[method][1] if method in self.methods else OTHER

    def legend(self, ax: Axes, methods: Sequence[str], place: str, **legend: Any) -> None:
        """Legend of the methods by their colours, before what else in the panel has a label."""
        handles = [
            Line2D([], [], color=self.colour(m), linewidth=2.5, label=self.label(m))
            for m in methods
        ]
        known, others = {self.label(m) for m in methods}, ax.get_legend_handles_labels()[0]
        others = [handle for handle in others if handle.get_label() not in known]
        ax.legend(handles=handles + others, loc=place, **legend)


@dataclass(frozen=True)
class Drawn:
    """A figure, or an animation, with the data that it shows.

    Args:
        name: of its files, `fig2a`.
        missing: variables of the data that may hold NaN.
    """

    name: str
    data: xr.Dataset
    figure: Figure
    title: str
    missing: Sequence[str] = ()


def published(draw: Callable[P, R]) -> Callable[P, R]:
    """The function, with the settings of this page in force while it draws."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return drawn


def figure(width: float = PAGE, height: float = 3.0) -> Figure:
    """An empty figure in inches; no window, no global state."""
    return Figure(figsize=(width, height))


def quantity(array: Any, name: str | None = None) -> str:
    """Axis label of a labelled array: `long name (units)`; no units where there are none."""
    name = name or array.attrs["long_name"]
    units = array.attrs["units"]
    return name if units == "1" else f"{name} ({units})"


def letter(axes: Sequence[Axes]) -> None:
    """(a), (b), ... at the upper left, outside of each panel."""
    for ax, character in zip(axes, "abcdefghijklmnop", strict=False):
        ax.set_title(f"({character})", loc="left", fontweight="bold")


def band(
    ax: Axes, x: xr.DataArray, y: xr.DataArray, over: str, colour: str, label: str, **line
) -> None:
    """Median of `y` over a dimension as a line, its range as a shade; the rest lies along x."""
    low, mid, high = y.min(over), y.median(over), y.max(over)
    if y.sizes[over] > 1:
        ax.fill_between(x.values, low.values, high.values, color=colour, alpha=0.22, linewidth=0)
    ax.plot(x.values, mid.values, color=colour, label=label, **line)


def plain(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis as plain numbers, few or many by how far it reaches."""
    decades = np.log10(high / low)
    subs = (1,) if decades > 2.5 else (1, 3) if decades > 1.5 else (1, 2, 5)
    subs = subs if decades > 0.5 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(lambda value, _: f"{value:.4g}")
    axis.set_minor_formatter(NullFormatter())


def quantile(values: np.ndarray, q: float) -> np.ndarray:
    """Of the last axis, linear between neighbours; NaN is larger than every number."""
    if not values.size:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(values, -1)  # NaN comes last
    place = q * (values.shape[-1] - 1)
    below = int(place + 1e-9)
    part = place - below
    if part < 1e-9:
        return ordered[..., below]
    return ordered[..., below] + part * (ordered[..., below + 1] - ordered[..., below])
