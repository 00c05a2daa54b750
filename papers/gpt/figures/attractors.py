"""Where trajectories of tokens spend their time: true, generated, and from a Markov chain."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from dalib import plotting
from papers.gpt.runs import Cells, base_cells, first

SOURCES = {
    "truth": "truth",
    "gpt": "GPT-2, $T = 1$",
    "gpt_greedy": "GPT-2, $T = 0$",
    "markov": "Markov chain, order 1",
}
RUNS = {  # source: method, temperature
    "gpt": ("gpt", 1.0),
    "gpt_greedy": ("gpt", 0.0),
    "markov": ("markov", 1.0),
}
LEAST = 1e-5  # smallest share told from the colour


@plotting.published
def gallery_figure(data: xr.Dataset) -> Figure:
    """share (system, source, row, column) of the states in each cell of a plane."""
    systems, sources = data.system.values, data.source.values
    fig = plotting.figure(plotting.PAGE, 0.55 + 1.62 * len(systems))
    axes = fig.subplots(len(systems), len(sources), squeeze=False)
    norm = LogNorm(LEAST, float(data.share.max()))
    for row, system, label in zip(axes, systems, data.label.values, strict=True):
        for ax, source in zip(row, sources, strict=True):
            image = panel(ax, data.sel(system=system, source=source), norm)
            ax.tick_params(labelleft=ax is row[0])
            across, up = data.component.sel(system=system).values
            ax.set_xlabel(f"${across}$", labelpad=1)
        row[0].set_ylabel(f"{label}\n${up}$", fontweight="bold")
    for ax, source in zip(axes[0], sources, strict=True):
        ax.set_title(SOURCES[source])
    fig.align_ylabels(axes[:, 0])
    bar = fig.colorbar(image, ax=axes, shrink=0.6, aspect=30, pad=0.015, extend="min")
    bar.set_label("share of states in a cell of the plane")
    bar.outline.set_visible(False)
    return fig


def panel(ax: Axes, data: xr.Dataset, norm: LogNorm) -> AxesImage:
    """One source of one system, with how many cells it visits."""
    inside = slice(int(data.cells))
    share = data.share.isel(row=inside, column=inside).transpose("row", "column").values
    (left, low), (right, high) = data.lower.values, data.upper.values
    image = ax.imshow(
        np.where(share > 0, np.maximum(share, LEAST), np.nan),
        origin="lower",
        extent=(left, right, low, high),
        aspect="auto",
        interpolation="nearest",
        cmap="viridis_r",
        norm=norm,
    )
    ax.set_ylim(low, high + 0.13 * (high - low))  # room for the text
    ax.locator_params(nbins=4)
    text = f"{int(data.visited)} cells" if share.any() else "not run at this scale"
    ax.text(0.97, 0.97, text, transform=ax.transAxes, fontsize=6.5, ha="right", va="top")
    return image


def gallery_data(
    truth: Mapping[str, xr.Dataset],
    scores: Mapping[str, xr.Dataset],
    forecasts: Mapping[str, Sequence[xr.Dataset]],
    labels: Mapping[str, str],
    planes: Mapping[str, Sequence[str]],
) -> xr.Dataset:
    """share (system, source, row, column) of the states in each cell of a plane, and the box.

    visited (system, source) counts cells of the whole space; rows and columns from `cells` on are
    missing. The cells are those of the base of a study, the first training is shown; a source that
    was not run has no share anywhere.

    Args:
        truth: test part, by system.
        scores, forecasts: of its study.
        labels: what readers call it.
        planes: {system: components across and up}, in the order of the rows.
    """
    cells = {name: Cells.of(scores[name], base_cells(scores[name])) for name in planes}
    rows = [_row(truth[n], cells[n], forecasts[n], planes[n]) for n in planes]
    most = max(int(row.cells) for row in rows)
    rows = [row.pad({d: (0, most - int(row.cells)) for d in ("row", "column")}) for row in rows]
    systems = xr.DataArray(list(planes), dims="system", name="system")
    data = xr.concat(rows, systems, join="exact", combine_attrs="override")
    long_names = {
        "share": "share of the states in a cell of the plane",
        "visited": "visited cells",
        "cells": "cells in each dimension",
        "lower": "lower edges of the box, across and up",
        "upper": "upper edges of the box, across and up",
        "component": "component of the state, across and up",
    }
    for name, long_name in long_names.items():
        data[name].attrs = {"units": "1", "long_name": long_name}
    return data.assign_coords(label=("system", [labels[name] for name in planes]))


def _row(
    truth: xr.Dataset, cells: Cells, forecasts: Sequence[xr.Dataset], plane: Sequence[str]
) -> xr.Dataset:
    sources = [truth.x]
    for method, temperature in RUNS.values():
        run = first(forecasts, method, cells.cells, temperature)
        sources.append(None if run is None else run.free_run)
    counts = [_visits(states, cells) for states in sources]
    axes = [list(cells.state).index(name) for name in plane]
    return xr.Dataset(
        {
            "share": (("source", "row", "column"), [_plane(c, cells, axes) for c in counts]),
            "visited": ("source", [int((c > 0).sum()) for c in counts]),
            "lower": ("axis", cells.lower[axes]),
            "upper": ("axis", cells.upper[axes]),
            "cells": ((), cells.cells),
            "component": ("axis", list(plane)),
        },
        {"source": ["truth", *RUNS]},
    )


def _visits(states: xr.DataArray | None, cells: Cells) -> np.ndarray:
    """(token,), how often each occurs."""
    size = len(cells.centres)
    if states is None:
        return np.zeros(size)
    return np.bincount(cells.tokens(states.values).ravel(), minlength=size)


def _plane(visits: np.ndarray, cells: Cells, axes: Sequence[int]) -> np.ndarray:
    """(row, column), shares of visits (token,) in the cells of the plane."""
    across, up = cells.indices(cells.centres).T[list(axes)]
    share = np.zeros((cells.cells, cells.cells))
    np.add.at(share, (up, across), visits)
    return share / max(1, visits.sum())
