"""Trajectories in the space of states."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from dalib import plotting


def trajectory_3d(ax: Axes3D, x: xr.DataArray) -> Line3DCollection:
    """x (time, state) of three components, coloured by time; returns the line for a colour bar."""
    points = x.transpose("time", "state").values
    segments = np.stack([points[:-1], points[1:]], 1)
    line = Line3DCollection(segments, cmap="viridis", linewidths=0.6, capstyle="round")
    line.set_array(x.time.values[:-1])
    ax.add_collection3d(line)
    ax.plot(*points[0], marker="o", markersize=3.5, color=plotting.VERMILION, linestyle="none")
    ax.text(*(points[0] - [0, 0, 3.5]), "start", fontsize=7, ha="center", va="top")
    ax.auto_scale_xyz(*points.T)
    for axis, name in zip("xyz", x.state.values, strict=True):
        getattr(ax, f"set_{axis}label")(f"${name}$", labelpad=-4)
        getattr(ax, f"{axis}axis").pane.set_facecolor("#f6f6f6")
        getattr(ax, f"{axis}axis").pane.set_edgecolor("#d0d0d0")
        getattr(ax, f"{axis}axis")._axinfo["grid"].update(linewidth=0.4, color="#dddddd")
        ax.tick_params(axis=axis, pad=-2)
    ax.set_box_aspect((1, 1.1, 0.9), zoom=1.08)
    ax.view_init(elev=18, azim=-55)
    return line


@plotting.published
def trajectory_figure(data: xr.Dataset) -> Figure:
    """One trajectory x (time, state) in space."""
    fig = plotting.figure(4.4, 3.3)
    ax = fig.add_subplot(projection="3d")
    line = trajectory_3d(ax, data.x)
    bar = fig.colorbar(line, ax=ax, shrink=0.7, aspect=24, pad=0.1)
    bar.set_label("time (model units)")
    bar.outline.set_visible(False)
    return fig


def trajectory_data(truth: xr.Dataset) -> xr.Dataset:
    """The first trajectory of a truth: x (time, state)."""
    return truth[["x"]].isel(seed=0, drop=True)
