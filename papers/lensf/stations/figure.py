"""Errors of all methods at points without station, hour by hour, and in the mean."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dalib import plotting
from papers.lensf import style
from papers.lensf.stations.experiment import demonstration

OTHERS = {  # colours of what the other figures do not show
    "persistence": plotting.GREY,
    "last_day": plotting.SAND,
    "climatology": plotting.BLACK,
    "interpolation": plotting.SKY,
}


def figures(given: Any, config: Mapping) -> Iterator[plotting.Drawn]:
    """The demonstration of the case, on the file that it names or on the stand-in."""
    data = demonstration(config["stations"], config["stations"]["path"])
    yield plotting.Drawn(
        "figS_stations", data, figure(data), "Sparse stations: errors by the hour", list(data)
    )


@plotting.published
def figure(data: xr.Dataset) -> Figure:
    """Against the hours since the start of the test; the legend gives the mean of each."""
    fig = plotting.figure(plotting.PAGE, 2.6)
    ax = fig.add_subplot()
    hours = (data["time"].values - data["time"].values[0]) / np.timedelta64(1, "h")
    for name, label, rmse in zip(
        data["method"].values, data.label.values, data.rmse.values, strict=True
    ):
        colour = OTHERS.get(name) or style.colour(name)
        text = f"{label} ({rmse:.2f} K)"
        ax.plot(hours, data.hourly_rmse.sel({"method": name}), color=colour, label=text)
    ax.set(xlabel="hours", ylabel="RMSE without station (K)", ylim=(0, None))
    ax.margins(x=0.01)
    ax.grid(axis="y")
    fig.legend(loc="outside right upper")
    return fig
