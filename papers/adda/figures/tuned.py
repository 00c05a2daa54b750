"""Learned tuning of filters beside scans over it, and the interactions that are to be learned."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dalib import plotting
from papers.adda import style
from papers.adda.figures.sweeps import BAND, NOT_RUN

STAR = {"marker": "*", "markersize": 11, "markeredgewidth": 0.7, "linestyle": "none"}
STARRED = STAR | {"color": plotting.YELLOW, "markeredgecolor": plotting.BLACK}

# -- inflation and radius --------------------------------------------------------------------------


def path_data(scores: xr.Dataset) -> xr.Dataset:
    """rmse_grid (scale, radius), path_scale and path_radius (epoch), rmse_start, rmse_end.

    Args:
        scores: of the experiment `taper`, whose first repeat is shown. `scale` is 1 + φ.
    """
    one = scores.isel(taper_repeat=0, taper_method=0)
    path = {name: one[f"taper_path_{name}"] for name in ("scale", "radius")}
    names = {"taper_pair_scale": "scale", "taper_pair_radius": "radius"}
    grid = one.taper_rmse_by_pair.reset_coords(drop=True).rename(names)
    start = grid.sel({n: float(path[n][0]) for n in path}, method="nearest")
    grid = grid.assign_coords(scale=1 + grid.scale)
    found = {
        "rmse_grid": grid.transpose("scale", "radius"),
        "path_scale": ("epoch", 1 + path["scale"].values),
        "path_radius": ("epoch", path["radius"].values),
        "rmse_start": ((), float(start)),
        "rmse_end": ((), float(one.taper_rmse_at_pair)),
    }
    data = xr.Dataset(found, {"scale": grid.scale, "radius": grid.radius})
    for name in (*data.data_vars, *data.coords):
        data[name].attrs = {"units": "1", "long_name": str(name).replace("_", " ")}
    return data


@plotting.published
def path_figure(data: xr.Dataset) -> Figure:
    """RMSE of the filter with the true model, and the way of the learned pair over it."""
    fig = plotting.figure(4.6, 3.2)
    ax = fig.add_subplot()
    grid = data.rmse_grid.values
    low, usual, most = (float(q) for q in np.nanquantile(grid, (0, 0.85, 1)))
    high = min(most, max(1.1 * low, min(usual, 2 * low)))
    ax.set_facecolor("#e6e6e6")
    image = ax.pcolormesh(
        data.scale,
        data.radius,
        np.where(np.isnan(grid), 2 * most, grid).T,  # where the filter was lost
        shading="nearest",
        cmap="viridis_r",
        vmin=low,
        vmax=high,
        rasterized=True,
    )
    bar = fig.colorbar(image, ax=ax, extend="max")
    bar.set_label("filter-RMSE with the true model")
    bar.outline.set_visible(False)
    way(ax, data)
    ax.set_xlabel(r"inflation, $1 + \varphi$")
    ax.set_ylabel("taper radius, $c$")
    fig.legend(loc="outside upper center", ncols=3)
    return fig


def way(ax: Axes, data: xr.Dataset) -> None:
    """The learned pair after each epoch, a ring where it starts and a star where it ends."""
    across, up = data.path_scale.values, data.path_radius.values
    edged = {"markeredgecolor": plotting.BLACK}
    ax.plot(across, up, color="white", linewidth=2.6, zorder=2.5)
    look = {"color": plotting.VERMILION, "marker": ".", "markersize": 3}
    ax.plot(across, up, linewidth=1.1, zorder=3, label="learned, by epoch", **look)
    ring = {"marker": "o", "markersize": 6, "linestyle": "none", "markerfacecolor": "white"}
    start, end = (f"RMSE {float(data[name]):.3g}" for name in ("rmse_start", "rmse_end"))
    ax.plot(across[:1], up[:1], zorder=4, label=f"start, {start}", **ring, **edged)
    ax.plot(
        across[-1:],
        up[-1:],
        zorder=5,
        label=f"end, {end}",
        color=plotting.VERMILION,
        **STAR,
        **edged,
    )


# -- inflation and weight --------------------------------------------------------------------------

SCANS = {  # what is scanned: method, label of the axis
    "inflation": ("enkf", r"inflation, $\varphi$"),
    "weight": ("ens3dvar", r"weight of the ensemble, $\varphi_1$"),
}


def scans_data(scores: Mapping[str, xr.Dataset], band: tuple[float, float] = BAND) -> xr.Dataset:
    """Quantiles over repeats of the RMSE by inflation and by weight, and of the learned values.

    For each name in SCANS: {name}_median, {name}_low, {name}_high (system, {name}), and
    learned_{name}, rmse_at_{name} (system), medians; missing where a system has no scan.

    Args:
        scores: {label of the system: its scores}, with rmse_by_{name} ({name}, repeat),
            learned_{name} (repeat) and rmse_at_{name} (repeat).
    """
    parts = [_scans(one, band) for one in scores.values()]
    systems = xr.DataArray(list(scores), dims="system", name="system")
    data = xr.concat(parts, systems, join="outer", combine_attrs="override")
    for name in data.data_vars:
        data[name].attrs = {"units": "1", "long_name": str(name).replace("_", " ")}
    for name in SCANS:
        data[name].attrs = {"units": "1", "long_name": name}
    return data


def _scans(scores: xr.Dataset, band: tuple[float, float]) -> xr.Dataset:
    found = xr.Dataset()
    for name in SCANS:
        there = f"rmse_by_{name}" in scores
        found = found.assign_coords({name: scores[name].values if there else np.empty(0)})
        by = scores[f"rmse_by_{name}"].transpose(name, "repeat").values if there else None
        for part, q in {"median": 0.5, "low": band[0], "high": band[1]}.items():
            found[f"{name}_{part}"] = (name, plotting.quantile(by, q) if there else np.empty(0))
        for one in (f"learned_{name}", f"rmse_at_{name}"):
            values = scores[one].values if there else np.full(1, np.nan)
            found[one] = ((), float(plotting.quantile(values, 0.5)))
    return found


@plotting.published
def scans_figure(data: xr.Dataset) -> Figure:
    """A row for inflation, a row for the weight, a column for each system."""
    systems = data.system.values
    fig = plotting.figure(plotting.PAGE, 3.7)
    axes = fig.subplots(len(SCANS), len(systems), squeeze=False)
    for row, (name, (_, label)) in zip(axes, SCANS.items(), strict=True):
        for ax, system in zip(row, systems, strict=True):
            scan(ax, data.sel(system=system).dropna(name, how="all", subset=[f"{name}_low"]), name)
            ax.set_xlabel(label)
        row[0].set_ylabel("filter-RMSE")
    for ax, system in zip(axes[0], systems, strict=True):
        ax.set_title(str(system))
    fig.align_ylabels(axes[:, 0])
    lines = [
        *(
            Line2D([], [], color=style.colour(m), label=f"{style.learned(m)}, {name} held fixed")
            for name, (m, _) in SCANS.items()
        ),
        Line2D([], [], label="learned value", **STARRED),
    ]
    fig.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return fig


def scan(ax: Axes, data: xr.Dataset, name: str) -> None:
    """Median and band against the value, and a star at what was learned."""
    if not data.sizes[name]:
        ax.text(0.5, 0.5, NOT_RUN, transform=ax.transAxes, ha="center", fontsize=7)
        ax.set(xticks=[], yticks=[])
        return
    colour = style.colour(SCANS[name][0])
    x, middle = data[name].values, data[f"{name}_median"].values
    low, high = data[f"{name}_low"].values, data[f"{name}_high"].values
    at = float(data[f"learned_{name}"]), float(data[f"rmse_at_{name}"])
    bottom, top = scan_limits(low, middle, high, at[1])
    high, middle = (np.where(np.isnan(values), top, values) for values in (high, middle))
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, middle, color=colour, marker=".", markersize=3)
    ax.plot(*at, zorder=4, clip_on=False, **STARRED)
    if top > 2 * bottom:
        ax.set_yscale("log")
        plotting.plain(ax.yaxis, bottom, top)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_ylim(bottom, top)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.grid(axis="y")


def scan_limits(
    low: np.ndarray, middle: np.ndarray, high: np.ndarray, learned: float
) -> tuple[float, float]:
    """Of an axis that holds all medians, bands and the learned value, with some room."""
    shown = np.concatenate([low, middle, high, [learned]])
    shown = shown[np.isfinite(shown)]
    room = max((shown.max() / shown.min()) ** 0.06, 1.02)
    return float(shown.min() / room), float(shown.max() * room)


# -- interactions ----------------------------------------------------------------------------------


def interactions_data(scores: xr.Dataset) -> xr.Dataset:
    """interactions (species, other), of a system that is small enough to be shown."""
    return scores[["interactions"]].transpose("species", "other")


@plotting.published
def interactions_figure(data: xr.Dataset, bound: float = 0.1, groups: int = 4) -> Figure:
    """The matrix as a heat map, with lines between the groups of species."""
    fig = plotting.figure(plotting.COLUMN, 2.9)
    ax = fig.add_subplot()
    count = data.sizes["species"]
    edges = (0.5, count + 0.5)
    image = ax.imshow(
        data.interactions.values,
        cmap="RdBu_r",
        vmin=-bound,
        vmax=bound,
        interpolation="nearest",
        extent=(*edges, *edges[::-1]),
    )
    for line in np.arange(1, groups) * count / groups + 0.5:
        ax.axhline(line, color="white", linewidth=1.2)
        ax.axvline(line, color="white", linewidth=1.2)
    ticks = ticked(count, groups)
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("species $j$")
    ax.set_ylabel("species $i$")
    bar = fig.colorbar(image, ax=ax, shrink=0.85, ticks=[-bound, -bound / 2, 0, bound / 2, bound])
    bar.set_label("$A_{ij}$, effect of $j$ on $i$")
    bar.outline.set_visible(False)
    return fig


def ticked(count: int, groups: int) -> Sequence[int]:
    """The first of each group, and the last of all."""
    return sorted({*range(1, count + 1, max(1, count // groups)), count})
