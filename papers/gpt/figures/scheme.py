"""From a trajectory to tokens and back: the idea, drawn from real data."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from dalib import plotting
from papers.gpt import style
from papers.gpt.runs import Cells, first

Colour = str | np.ndarray

SHOWN = 6  # tokens of the past on the strip
LEFT, BOTTOM, PANEL = (0.42, 2.78, 5.17), 1.52, 1.78  # of the panels, in inches
ROW = 0.62  # height of the strip's middle, in inches
FRAME = plotting.VERMILION  # of what is enlarged
CLOUD = {"color": "#c4c4c4", "markeredgewidth": 0}
PATH = {"color": plotting.BLACK, "zorder": 2.5}
LONG_NAMES = {
    "cloud": "true states",
    "past_state": "true states that are given",
    "past_token": "their tokens",
    "past_centre": "centres of their cells",
    "future_state": "true states that follow",
    "future_token": "generated tokens, T = 1",
    "future_centre": "centres of their cells, T = 1",
    "greedy_token": "generated tokens, T = 0",
    "greedy_centre": "centres of their cells, T = 0",
    "visited_centre": "centre of a visited cell, in the plane",
    "lower": "lower edge of the box",
    "upper": "upper edge of the box",
    "cells": "cells in each dimension",
}


@plotting.published
def scheme_figure(data: xr.Dataset) -> Figure:
    """Trajectory, cells, tokens, GPT-2, the next token, and its cell."""
    width, height = plotting.PAGE, 3.65
    fig = plotting.figure(width, height)
    fig.set_layout_engine("none")  # the sheet is laid out in inches
    sheet = fig.add_axes((0, 0, 1, 1))
    sheet.set_axis_off()
    sheet.set_xlim(0, width)
    sheet.set_ylim(0, height)
    box = (PANEL / width, PANEL / height)
    axes = [fig.add_axes((x / width, BOTTOM / height, *box)) for x in LEFT]
    whole(axes[0], data)
    cells(axes[1], data)
    cells(axes[2], data, faded=True)
    continuation(axes[2], data)
    titles = "trajectory", f"cells of the last {SHOWN} states", "centre of the next cell"
    for ax, text in zip(axes, titles, strict=True):
        ax.set_title(text, loc="right", pad=4)
    plotting.letter(axes)
    middle = BOTTOM + PANEL / 2
    arrow(sheet, (LEFT[0] + PANEL + 0.08, middle), (LEFT[1] - 0.22, middle))
    strip(sheet, data)
    handles, names = axes[2].get_legend_handles_labels()
    sheet.legend(handles, names, loc="lower right", bbox_to_anchor=(1, 0.04), handlelength=1.8)
    return fig


def strip(ax: Axes, data: xr.Dataset) -> None:
    """The lower row: numbers of the past, the network, and the number it gives."""
    middles = 0.84 + 0.485 * np.arange(SHOWN)
    ax.text(middles[0] - 0.34, ROW, "…", ha="right", va="center", fontsize=11)
    for i, colour in enumerate(shades()):
        token(ax, middles[i], data.past_token[i - SHOWN], colour, i - SHOWN + 1)
    ax.text(middles[0] - 0.22, ROW + 0.3, "tokens: numbers of visited cells", fontsize=7)
    arrow(ax, (LEFT[1] + 0.42, BOTTOM - 0.28), (LEFT[1] + 0.42, ROW + 0.24))
    network, out = middles[-1] + 1.05, middles[-1] + 2.12
    arrow(ax, (middles[-1] + 0.26, ROW), (network - 0.51, ROW))
    rounded(ax, network, 0.95, 0.54, facecolor="#e3eef7", edgecolor=style.colour("gpt"))
    ax.text(network, ROW + 0.07, "GPT-2", ha="center", va="center", fontsize=9.5)
    law = r"$p(k_{t+1}\,|\,\ldots,k_{t-1},k_t)$"
    ax.text(network, ROW - 0.14, law, ha="center", va="center", fontsize=6.5)
    arrow(ax, (network + 0.51, ROW), (out - 0.26, ROW))
    token(ax, out, data.future_token[0], style.colour("gpt"), 1)
    greedy = f"{int(data.greedy_token[0])} at $T \\to 0$"
    ax.text(out, ROW + 0.21, greedy, fontsize=6.5, color="#555555", ha="center")
    end = (LEFT[2] + 0.95, BOTTOM - 0.28)
    arrow(ax, (out + 0.25, ROW + 0.06), end, connectionstyle="arc3,rad=0.3")
    again(ax, out, middles[-1])


def again(ax: Axes, start: float, end: float) -> None:
    """The way back of the new token to the end of the strip."""
    low, high = 0.13, ROW - 0.4
    soft = {"color": "#777777", "linewidth": 0.9, "linestyle": (0, (3, 2))}
    ax.plot([start, start, end, end], [high, low, low, high - 0.06], **soft)
    ax.plot([end], [high - 0.03], marker="^", markersize=4, color="#777777", markeredgewidth=0)
    middle = (start + end) / 2
    ax.text(middle, low + 0.04, "appended, and so on", fontsize=6.5, color="#555555", ha="center")


def token(ax: Axes, x: float, number: xr.DataArray, colour: Colour, offset: int) -> None:
    """A box with a number, in the colour of its cell, and `offset` samples after the last given."""
    rounded(ax, x, 0.44, 0.34, facecolor=colour, edgecolor="none")
    ax.text(x, ROW, str(int(number)), ha="center", va="center", fontsize=8, color=ink(colour))
    index = f"t{offset:+d}" if offset else "t"
    ax.text(x, ROW - 0.28, f"$k_{{{index}}}$", ha="center", va="center", fontsize=7)


def rounded(ax: Axes, x: float, width: float, height: float, **colours: Colour) -> None:
    corner = x - width / 2, ROW - height / 2
    shape = "round,pad=0,rounding_size=0.06"
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, linewidth=1.2, **colours))


def ink(colour: Colour) -> str:
    """Black or white, whichever is read more easily on the colour."""
    return "white" if np.dot(to_rgb(colour), (0.3, 0.59, 0.11)) < 0.55 else "black"


def shades() -> np.ndarray:
    """Colours of the last tokens of the past, the latest the darkest."""
    return colormaps["YlOrBr"](np.linspace(0.18, 0.78, SHOWN))


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **more: str) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "linewidth": 1.1, "color": "#444444"}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **look, **more))


def whole(ax: Axes, data: xr.Dataset) -> None:
    """The attractor, the end of the trajectory that is given, and the part that is enlarged."""
    ax.plot(*data.cloud.transpose("state", "sample").values, ".", markersize=1.2, **CLOUD)
    ax.plot(*data.past_state.transpose("state", "past").values, **PATH, linewidth=1.0)
    corner, size = window(data)
    ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=1, zorder=3))
    labels(ax, data)
    ax.set_ylabel(f"${data.state.values[1]}$", labelpad=1)


def cells(ax: Axes, data: xr.Dataset, faded: bool = False) -> None:
    """The grid around the end of the past: visited cells, and in colour those on the strip."""
    (left, low), size, width = *window(data), cell_width(data)
    fade = 0.4 if faded else 1.0
    visited = data.visited_centre.values
    for centre in visited[((visited > (left, low)) & (visited < (left, low) + size)).all(1)]:
        ax.add_patch(Rectangle(centre - width / 2, *width, facecolor="#ececec"))
    for centre, colour in zip(data.past_centre.values[-SHOWN:], shades(), strict=True):
        ax.add_patch(Rectangle(centre - width / 2, *width, facecolor=colour, alpha=fade))
    for i in range(round(size[0] / width[0])):
        ax.axvline(left + i * width[0], color="#d0d0d0", linewidth=0.4, zorder=1.5)
        ax.axhline(low + i * width[1], color="#d0d0d0", linewidth=0.4, zorder=1.5)
    past = data.past_state.values
    ax.plot(*past[: 1 - SHOWN].T, color="#9a9a9a", linewidth=0.7)
    dots = {"marker": "o", "markersize": 3, "markeredgewidth": 0}
    ax.plot(*past[-SHOWN:].T, **PATH, linewidth=1.0, alpha=fade, **dots)
    ax.set_xlim(left, left + size[0])
    ax.set_ylim(low, low + size[1])
    labels(ax, data)
    for spine in ax.spines.values():
        spine.set(visible=True, color=FRAME, linewidth=1)


def continuation(ax: Axes, data: xr.Dataset) -> None:
    """Generated cells with their centres, the first one full, and the true states."""
    colour, width = style.colour("gpt"), cell_width(data)
    made = data.future_centre.values
    for i, centre in enumerate(made):
        shade = 0.3 if i else 1.0
        ax.add_patch(Rectangle(centre - width / 2, *width, facecolor=colour, alpha=shade))
    ax.plot(*made.T, color=colour, linewidth=1.1, label="generated, $T = 1$", zorder=3)
    greedy = {"color": style.colour("gpt_greedy"), "marker": "x", "markersize": 4, "zorder": 5}
    likeliest = data.greedy_centre.values.T
    ax.plot(*likeliest, linewidth=0.9, label="generated, $T \\to 0$", **greedy)
    dots = {"linestyle": "none", "marker": "o", "markersize": 3.2, "markeredgewidth": 0.8}
    ax.plot(*made.T, **dots, color="white", markeredgecolor=colour, zorder=4)
    true = np.concatenate([data.past_state.values[-1:], data.future_state.values])
    ax.plot(*true.T, **PATH, linewidth=1.0, linestyle=(0, (2, 1.2)), label="truth")


def labels(ax: Axes, data: xr.Dataset) -> None:
    ax.set_xlabel(f"${data.state.values[0]}$", labelpad=1)
    ax.locator_params(nbins=4)


def cell_width(data: xr.Dataset) -> np.ndarray:
    return ((data.upper - data.lower) / data.cells).values


def window(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Lower corner and size of as many cells across as up, around what is shown in colour."""
    width = cell_width(data)
    points = [
        data.past_centre[-SHOWN:],
        *(data.future_centre, data.greedy_centre, data.future_state),
    ]
    index = (np.concatenate([p.values for p in points]) - data.lower.values) / width
    first, last = np.floor(index.min(0)) - 1, np.floor(index.max(0)) + 2
    across = (last - first).max()
    first -= (across - (last - first)) // 2
    return data.lower.values + first * width, across * width


def scheme_data(
    truth: xr.Dataset,
    cells: Cells,
    forecasts: Sequence[xr.Dataset],
    settings: Mapping,
    past: int = 60,
    future: int = 4,
) -> xr.Dataset:
    """The first forecast of the first test trajectory, in the plane of the outer components.

    past_state, past_token, past_centre (past) end where future_state (true), future_token and
    future_centre (generated, T = 1), greedy_token and greedy_centre (T = 0) begin; cloud (sample)
    are other true states.

    Args:
        settings: of the forecasts of the case: `context`, and `first` where it is not that.
    """
    x = truth.x.isel(seed=0, drop=True)
    start, every = settings.get("first", settings["context"]), max(1, x.sizes["time"] // 4000)
    before, after = slice(max(0, start - past), start), slice(start, start + future)
    drawn, greedy = (
        first(forecasts, "gpt", cells.cells, T).forecast.isel(member=0, case=0, lead=slice(future))
        for T in (1.0, 0.0)
    )
    given = cells.tokens(x.values[before])
    shown = {
        "cloud": ("sample", x.values[::every]),
        "past_state": ("past", x.values[before]),
        "past_centre": ("past", cells.centres[given]),
        "future_state": ("future", x.values[after]),
        "future_centre": ("future", drawn.values),
        "greedy_centre": ("future", greedy.values),
        "visited_centre": ("visited", np.unique(cells.centres[:, [0, -1]], axis=0)),
    }
    tokens = {
        "past_token": ("past", given),
        "future_token": ("future", cells.tokens(drawn.values)),
        "greedy_token": ("future", cells.tokens(greedy.values)),
    }
    box = {"lower": cells.lower[[0, -1]], "upper": cells.upper[[0, -1]]}
    data = xr.Dataset(
        {name: ((dim, "state"), values[:, [0, -1]]) for name, (dim, values) in shown.items()}
        | tokens
        | {name: ("state", values) for name, values in box.items()}
        | {"cells": ((), cells.cells)},
        {"state": x.state.values[[0, -1]]},
    )
    for name, long_name in LONG_NAMES.items():
        data[name].attrs = {"units": "1", "long_name": long_name}
    return data
