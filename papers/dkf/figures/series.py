"""Truth, observations and estimates against time."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from dalib import plotting
from papers.dkf import style

TRUTH, WIDEST, THICK, THIN = 3.6, 2.2, 1.1, 0.7  # widths of lines


def component(ax: Axes, data: xr.Dataset, name: str) -> None:
    """One state component: truth (time), observations where there are, estimates (method, time)."""
    time = data.time.values
    if name in data.obs.values:
        seen = data.observations.sel(obs=name).values
        ax.plot(time, seen, **_dots())
    ax.plot(time, data.truth.sel(state=name), color=plotting.BLACK, linewidth=TRUTH, alpha=0.25)
    for method, width in widths(data).items():
        estimate = data.estimate.sel({"method": method, "state": name})
        ax.plot(time, estimate, color=style.colour(method), linewidth=width)
    ax.set_ylabel(f"${name}$")


def errors(ax: Axes, data: xr.Dataset) -> None:
    """error (method, time), the length of the error vector, on a logarithmic axis."""
    for method, width in widths(data).items():
        error = data.error.sel({"method": method})
        ax.plot(data.time, error, color=style.colour(method), linewidth=min(width, THICK))
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(numticks=12))
    ax.yaxis.set_minor_formatter("")
    ax.set_ylabel("error norm")
    ax.grid(axis="y")


def widths(data: xr.Dataset) -> dict[str, float]:
    """{method: width of its line}, from the last method, the widest, to the first on top of it.

    Estimates that agree lie on each other, and all are seen.
    """
    methods = list(map(str, data.method.values))[::-1]
    return dict(zip(methods, np.linspace(WIDEST, THIN, len(methods)).tolist(), strict=True))


def unobserved(ax: Axes, start: float, end: float) -> None:
    """Shade the time without observations."""
    ax.axvspan(start, end, color="#f0f0f0", linewidth=0, zorder=0)
    ax.axvline(start, color="#9a9a9a", linewidth=0.6, zorder=0.5)


@plotting.published
def filters_figure(data: xr.Dataset) -> Figure:
    """Every component and the error against time; what is only predicted stands on grey."""
    fig = plotting.figure(plotting.PAGE, 5.4)
    names = list(data.state.values)
    axes = fig.subplots(len(names) + 1, 1, sharex=True)
    end = float(data.time[-1])
    for ax, name in zip(axes, names, strict=False):
        unobserved(ax, last_observed(data), end)
        component(ax, data, name)
    unobserved(axes[-1], last_observed(data), end)
    errors(axes[-1], data)
    axes[-1].set_xlabel("time (model units)")
    axes[-1].set_xlim(float(data.time[0]), end)
    axes[0].annotate(
        "prediction without observations",
        ((last_observed(data) + end) / 2, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=7,
        color="#555555",
    )
    handles = [
        *axes[0].plot([], [], color=plotting.BLACK, linewidth=TRUTH, alpha=0.25, label="truth"),
        *axes[0].plot([], [], label="observations", **_dots()),
        *(
            axes[0].plot([], [], color=style.colour(m), linewidth=width, label=style.label(m))[0]
            for m, width in reversed(widths(data).items())
        ),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    fig.align_ylabels(axes)
    return fig


def last_observed(data: xr.Dataset) -> float:
    """The last time in the figure at which there is an observation."""
    there = np.isfinite(data.observations).any("obs")
    return float(data.time.values[there.values].max())


def filters_data(
    truth: xr.Dataset,
    observations: xr.Dataset,
    estimates: dict[str, xr.Dataset],
    length: float,
    seed: int = 0,
) -> xr.Dataset:
    """The last `length` units of time of a test trajectory: truth, observations, analyses.

    Args:
        estimates: mean (case, time, state) of one run of each method.
        seed: the trajectory, counted from 0.
    """
    end = float(observations.time[-1])
    inside = {"time": slice(end - length - 1e-9, None)}
    y = observations.y.isel(seed=seed, drop=True).sel(inside)
    means = [
        e["mean"].isel(case=seed, drop=True).sel(inside).reset_coords(drop=True)
        for e in estimates.values()
    ]
    x = truth.x.isel(seed=seed, drop=True).sel(time=y.time, method="nearest", tolerance=1e-6)
    methods = xr.DataArray(list(estimates), dims="method", name="method")
    return xr.Dataset(
        {
            "truth": x.assign_coords(time=y.time),
            "observations": y,
            "estimate": xr.concat(means, methods, join="exact", combine_attrs="override"),
        }
    )


def _dots() -> dict:
    return {
        "linestyle": "none",
        "marker": "o",
        "markersize": 1.7,
        "zorder": 2.5,
        "markeredgewidth": 0,
        "color": style.colour("observations"),
    }
