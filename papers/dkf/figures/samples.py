"""Clouds of samples over clouds of true states."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib import plotting
from papers.dkf import style

PLANE = ("x", "z")


def cloud(ax: Axes, states: xr.DataArray, plane: tuple[str, str], colour: str, **marks) -> None:
    """(sample, state) as dots in the plane of two components."""
    across, up = (states.sel(state=name).values for name in plane)
    ax.plot(across, up, linestyle="none", marker=".", markeredgewidth=0, color=colour, **marks)


@plotting.published
def levels_figure(data: xr.Dataset) -> Figure:
    """Samples on their way from noise to the attractor: one panel for each level of noise."""
    levels = data.sizes["level"]
    fig = plotting.figure(plotting.PAGE, 4.6)
    axes = fig.subplots(-(-levels // 3), 3, sharex=True, sharey=True).ravel()
    limits = [wide(data.truth.sel(state=name)) for name in PLANE]
    for ax, level in zip(axes, range(levels), strict=True):
        snapshot = data.snapshots.isel(level=level)
        cloud(ax, data.truth, PLANE, "#c4c4c4", markersize=2.4)
        cloud(ax, snapshot, PLANE, style.colour("langevin"), markersize=2.4)
        ax.set_xlim(*limits[0])
        ax.set_ylim(*limits[1])
        outside = share_outside(snapshot, limits)
        note = f" ({outside:.0%} outside)" if outside >= 0.005 else ""
        ax.set_title(rf"$\sigma = {float(data.level[level]):.2g}${note}")
    plotting.letter(axes)
    fig.supxlabel(f"${PLANE[0]}$", fontsize=8)
    fig.supylabel(f"${PLANE[1]}$", fontsize=8)
    marks = {"linestyle": "none", "marker": ".", "markersize": 7, "markeredgewidth": 0}
    handles = [
        *axes[0].plot([], [], color="#c4c4c4", label="true states", **marks),
        *axes[0].plot([], [], color=style.colour("langevin"), label="samples", **marks),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    return fig


def wide(component: xr.DataArray) -> tuple[float, float]:
    """Limits that leave a third of the range of the true states free on both sides."""
    low, high = float(component.min()), float(component.max())
    room = (high - low) / 3
    return low - room, high + room


def share_outside(states: xr.DataArray, limits: list[tuple[float, float]]) -> float:
    """Share of the samples that a panel with these limits does not show."""
    across, up = (states.sel(state=name) for name in PLANE)
    (left, right), (low, high) = limits
    inside = (across >= left) & (across <= right) & (up >= low) & (up <= high)
    return float(1 - inside.mean())


def levels_data(samples: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """snapshots (level, sample, state) of one run, and as many true states."""
    snapshots = samples.snapshots.reset_coords(drop=True)
    count = snapshots.sizes["sample"]
    x = truth.x.stack(sample=("seed", "time")).transpose("sample", "state")
    x = x.reset_index("sample", drop=True).drop_vars(("seed", "time"), errors="ignore")
    if x.sizes["sample"] < count:
        raise ValueError(
            f"{count} true states are needed beside the samples, but there are "
            f"{x.sizes['sample']}; draw fewer samples, or give the truth more seeds or samples"
        )
    return xr.Dataset({"snapshots": snapshots, "truth": x.isel(sample=slice(count))})
