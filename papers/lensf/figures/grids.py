"""Settings of filters that were tried on validation trajectories, and which were chosen."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.selection import same

WORDS = {
    "inflation": "inflation",
    "obs_std": "assumed error",
    "radius": "radius of localisation",
    "weight": "weight of the analysis",
}
MOST = 6  # panels
TRIED = "tried_"
LOST = "#e6e6e6"


def grids_data(scores: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """error, across, up (panel, candidate), the mean over validation trajectories by settings.

    A panel for each run that was tuned: those at the first noise of each method before others, no
    more than MOST. NaN where a combination lost a trajectory, or where a panel has fewer of them.

    Args:
        scores: {case/fields: scores}, with tried_... (run, candidate) where runs were tuned.
    """
    panels = [panel for one in scores.values() for panel in _panels(one)]
    if not panels:
        there = ", ".join(scores)
        raise ValueError(f"expected scores with runs that are tuned, found none in: {there}")
    first = [
        p for i, p in enumerate(panels) if p["method"] not in [o["method"] for o in panels[:i]]
    ]
    kept = (first + [p for p in panels if p not in first])[:MOST]
    most = max(p["error"].size for p in kept)
    parts = {
        name: np.stack(
            [np.pad(p[name], (0, most - p[name].size), constant_values=np.nan) for p in kept]
        )
        for name in ("error", "across", "up")
    }
    texts = {
        "error": "mean relative RMSE on validation trajectories",
        "across": "value of the setting across",
        "up": "value of the setting upward",
    }
    return xr.Dataset(
        {
            n: (("panel", "candidate"), v, {"units": "1", "long_name": texts[n]})
            for n, v in parts.items()
        },
        {
            "panel": [p["run"] for p in kept],
            **{
                n: ("panel", [p[n] for p in kept])
                for n in ("method", "about", "across_name", "up_name")
            },
        },
    )


def _panels(scores: xr.Dataset) -> list[dict]:
    if "tried_error" not in scores:
        return []
    found = []
    for run in scores.run.values:
        one = scores.sel(run=run)
        there = one.tried_error.notnull().any("tried_seed").values
        names = [n for n in one if str(n).startswith(TRIED) and n != "tried_error"]
        names = [n for n in names if one[n].notnull().any()]
        if not there.any() or not names:
            continue
        tried = one.isel(candidate=np.isfinite(one[names[0]].values))
        errors = tried.tried_error.values
        errors = np.where(np.isfinite(errors), errors, np.inf)
        middle = errors.mean(axis=tried.tried_error.get_axis_num("tried_seed"))
        up, across = (sorted(names, key=lambda n: n != "tried_inflation") + [None])[:2]
        found.append(
            {
                "run": str(run),
                "method": str(one["method"].values),
                "about": _about(one),
                "error": np.where(np.isfinite(middle), middle, np.nan),
                "up": tried[up].values,
                "across": tried[across].values if across else np.zeros(middle.size),
                "up_name": up.removeprefix(TRIED),
                "across_name": across.removeprefix(TRIED) if across else "",
            }
        )
    return found


def _about(run: xr.Dataset) -> str:
    """What tells a panel from others of its method."""
    if "noise" not in run.coords or not np.isfinite(float(run["noise"])):
        return ""
    return f"noise {float(run['noise']):g}"


@plotting.published
def grids_figure(data: xr.Dataset) -> Figure:
    """A cell for each combination, with its error; a frame around the one that was chosen."""
    count = data.sizes["panel"]
    columns = min(count, 3)
    rows = -(-count // columns)
    fig = plotting.figure(plotting.PAGE, 0.3 + 2.35 * rows)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(axes, data.panel.values, strict=False):
        cells(ax, data.sel(panel=name))
    for ax in axes[count:]:
        ax.set_axis_off()
    plotting.letter(axes[:count])
    return fig


def cells(ax: Axes, data: xr.Dataset) -> None:
    """The errors of one run by two of its settings."""
    there = np.isfinite(data.up.values)
    up, across, error = (data[n].values[there] for n in ("up", "across", "error"))
    rows, columns = np.unique(up), np.unique(across)
    grid = np.full((rows.size, columns.size), np.nan)
    grid[np.searchsorted(rows, up), np.searchsorted(columns, across)] = error
    low = np.nanmin(grid)
    ax.set_facecolor(LOST)
    ax.imshow(np.log(grid), cmap="viridis_r", origin="lower", aspect="auto", vmax=np.log(4 * low))
    for (i, j), value in np.ndenumerate(grid):
        dark = np.isfinite(value) and value > 2 * low
        text = f"{value:.2f}" if np.isfinite(value) else "lost"
        ax.text(
            j, i, text, ha="center", va="center", fontsize=6, color="white" if dark else "black"
        )
    i, j = np.argwhere(same(grid, low))[0]
    frame = {"fill": False, "edgecolor": plotting.VERMILION, "linewidth": 1.8}
    ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **frame))
    ax.set_yticks(range(rows.size), [f"{v:.3g}" for v in rows])
    ax.set_xticks(range(columns.size), [f"{v:.3g}" for v in columns])
    if not str(data.across_name.values):  # only one setting was tried
        ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_ylabel(WORDS.get(str(data.up_name.values), str(data.up_name.values)))
    ax.set_xlabel(WORDS.get(str(data.across_name.values), str(data.across_name.values)))
    about = str(data.about.values)
    ax.set_title(style.label(str(data["method"].values)) + (f", {about}" if about else ""))
