"""Where trajectories of tokens spend their time: true, generated, and from a Markov chain."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from dalib.plots import style

SOURCES = {
    "truth": "truth",
    "gpt": "GPT-2, $T = 1$",
    "gpt_greedy": "GPT-2, $T = 0$",
    "markov": "Markov chain, order 1",
}
LEAST = 1e-5  # smallest share told from the colour


@style.published
def gallery_figure(data: xr.Dataset) -> Figure:
    """share (system, source, up, across) of the states in each cell of a plane."""
    systems, sources = data.system.values, data.source.values
    fig = style.figure(style.PAGE, 0.55 + 1.62 * len(systems))
    axes = fig.subplots(len(systems), len(sources), squeeze=False)
    norm = LogNorm(LEAST, float(data.share.max()))
    for row, system in zip(axes, systems, strict=True):
        for ax, source in zip(row, sources, strict=True):
            image = panel(ax, data.sel(system=system, source=source), norm)
            ax.set_xlabel(f"${data.across.sel(system=system).item()}$", labelpad=1)
            ax.tick_params(labelleft=ax is row[0])
        row[0].set_ylabel(f"${data.up.sel(system=system).item()}$", labelpad=1)
    for ax, source in zip(axes[0], sources, strict=True):
        ax.set_title(SOURCES[source])
    for row, system in zip(axes, data.label.values, strict=True):
        row[0].annotate(
            system, (0, 0.5), xycoords="axes fraction", xytext=(-34, 0),
            textcoords="offset points", rotation=90, ha="right", va="center", fontweight="bold",
        )  # fmt: skip
    bar = fig.colorbar(image, ax=axes, shrink=0.6, aspect=30, pad=0.015, extend="min")
    bar.set_label("share of states in a cell of the plane")
    bar.outline.set_visible(False)
    return fig


def panel(ax: Axes, data: xr.Dataset, norm: LogNorm) -> AxesImage:
    """One source of one system, with how many cells it visits."""
    share = data.share.transpose("row", "column").values
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
    ax.locator_params(nbins=4)
    text = f"{int(data.visited)} cells" if share.any() else "not run at this scale"
    ax.text(0.97, 0.97, text, transform=ax.transAxes, fontsize=6.5, ha="right", va="top")
    return image


def gallery_data(
    systems: Mapping[str, Mapping], planes: Mapping[str, Sequence[str]], labels: Mapping[str, str]
) -> xr.Dataset:
    """share (system, source, row, column) of the states in each cell of a plane, and the box.

    A source that was not run has share 0 everywhere.

    Args:
        systems: {system: {"codec": codec, "truth": tokens of the test part, "methods": {method:
            token forecasts}}}; of the methods, one is named like a GPT-2 and one like a chain.
        planes: {system: components across and up}.
    """
    return xr.Dataset()
