"""Mean error of filters of fields against what is varied."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.fields import (
    DASHES,
    ERROR,
    HIGHEST,
    error_axis,
    heading,
    notes,
    remark,
    shades,
)
from papers.lensf.figures.selection import (
    ONLY,
    alike,
    joined,
    over_seeds,
    summary,
    where,
)

KEPT = ("method", "latent", "interval")
CODED = ("latent_enkf", "latent_letkf", "direct", "latent_ensf", "pca_direct", "pca_latent_ensf")
ALL = ("free", "ensf_interpolated", "letkf", "ensf", *CODED)
REFERENCES = {"eps_beta": "free", "scale": "direct"}  # what the error is to be compared with
STD = r"$\hat\sigma = {:g}$"
MARKERS = {
    "free": "X",
    "ensf": "o",
    "ensf_interpolated": "h",
    "letkf": "^",
    "direct": "s",
    "latent_enkf": "v",
    "latent_letkf": "^",
    "latent_ensf": "o",
    "pca_direct": "s",
    "pca_latent_ensf": "D",
}
MEANS = ("mean_low", "mean_median", "mean_high")
LINE = {"markersize": 4, "markeredgewidth": 0, "linewidth": 0.9}


# -- data ------------------------------------------------------------------------------------------


def means_data(scores: xr.Dataset, *chosen: xr.Dataset, kept: Sequence[str] = KEPT) -> xr.Dataset:
    """mean_median, mean_low, mean_high (run): of the relative RMSE of the late analyses."""
    data = summary(joined(scores, *chosen).mean_relative_rmse, "mean")
    return data.drop_vars([n for n in data.coords if n not in ("run", *kept)])


def latent_sizes_data(scores: xr.Dataset) -> xr.Dataset:
    """Methods with every number of latents, and free run and EnSF, which have none."""
    chosen = [alike(scores, method, "latent", strict=True) for method in CODED]
    data = means_data(scores, alike(scores, "free"), alike(scores, "ensf"), *chosen)
    sizes = np.unique(data.latent.values[data.latent.values > 0])
    return data.assign_attrs(note=f"other sizes: {ONLY}" if sizes.size < 2 else "")


def interval_data(scores: xr.Dataset) -> xr.Dataset:
    """Methods that were run with several intervals; without such, all at the base one."""
    chosen = [alike(scores, method, "interval", strict=True) for method in ALL]
    several = [one for one in chosen if one.sizes["run"] > 1]
    data = means_data(scores, *(several or chosen))
    return data.assign_attrs(note="" if several else f"other intervals: {ONLY}")


def tuning_data(scores: xr.Dataset) -> xr.Dataset:
    """EnSF with every variance eps_beta, Latent-EnSF with every scale, for each likelihood_std.

    `panel` is what is varied and `place` its value; what has none is for comparison.
    """
    chosen = {
        "eps_beta": alike(scores, "ensf", "eps_beta", strict=True),
        "scale": alike(scores, "latent_ensf", "likelihood_std", "scale", strict=True),
    }
    others = [alike(scores, method) for method in REFERENCES.values()]
    data = means_data(scores, *chosen.values(), *others)
    own = joined(scores, data)
    place = np.full(data.sizes["run"], np.nan)
    panel = np.full(data.sizes["run"], "", "<U9")
    for name, runs in chosen.items():
        there = np.isin(data.run.values, runs.run.values)
        place[there], panel[there] = own[name].values[there], name
    values = {
        "place": ("run", place, {"units": "1", "long_name": "value of what is varied"}),
        "likelihood_std": ("run", own.likelihood_std.values, own.likelihood_std.attrs),
    }
    return data.assign(values).assign_coords(panel=("run", panel))


# -- drawing ---------------------------------------------------------------------------------------


def line(ax: Axes, places: np.ndarray, data: xr.Dataset, **look: object) -> None:
    """mean_... (run) at places: ranges over seeds, and medians joined."""
    high = np.where(np.isnan(data.mean_high), HIGHEST, data.mean_high)  # a seed is lost
    ax.vlines(places, data.mean_low.values, high, color=look["color"], alpha=0.35, linewidth=2.4)
    ax.plot(places, data.mean_median.values, **LINE | look)


def level(ax: Axes, data: xr.Dataset, method: str) -> None:
    """The error of a method for comparison, across the panel."""
    look = {"color": style.colour(method), "linewidth": 0.9}
    for value in where(data, method=method).mean_median.values:
        ax.axhline(value, label=style.label(method), linestyle=DASHES["free"], **look)


def factors_axis(ax: Axes, places: np.ndarray) -> None:
    """What is varied by factors, with its values as ticks; 0, if there, apart on the left."""
    values = np.unique(places[np.isfinite(places)])
    positive = values[values > 0]
    if positive.size and positive.size < values.size:
        ax.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
    elif positive.size:
        ax.set_xscale("log")
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.minorticks_off()
    ax.margins(x=0.1)


@plotting.published
def against_figure(data: xr.Dataset, over: str, label: str) -> Figure:
    """Mean errors against a coordinate, a line for each method; without it, across the panel."""
    fig = plotting.figure(5.2, 2.9)
    ax = fig.add_subplot()
    own = data.isel(run=data[over].values > 0)
    methods = [m for m in ALL if m in own["method"].values]
    alone = len(set(own[over].values.tolist())) == 1
    for i, method in enumerate(methods):
        one = where(own, method=method)
        places = np.full(one.sizes["run"], i) if alone else one[over].values
        look = {"color": style.colour(method), "marker": MARKERS[method]}
        line(ax, places, one, label=style.label(method), **look)
    for method in (m for m in ALL if m not in methods):
        level(ax, data, method)
    error_axis(ax, *(data[n].values for n in MEANS))
    ax.set_ylabel(f"mean {ERROR}")
    ax.grid(axis="y")
    if alone:  # nothing is varied: the methods stand side by side
        ax.set_xticks(
            range(len(methods)),
            [style.label(m) for m in methods],
            rotation=35,
            ha="right",
            rotation_mode="anchor",
        )
        ax.margins(x=0.1)
        ax.set_xlabel(f"{label}: {own[over].values[0]:g}")
    else:
        factors_axis(ax, own[over].values.astype(float))
        ax.set_xlabel(label)
    remark(ax, data.attrs["note"])
    entries = [*ax.get_legend_handles_labels()[0], heading(""), *notes(data)]
    fig.legend(handles=entries, loc="outside right upper")
    return fig


def latent_sizes_figure(data: xr.Dataset) -> Figure:
    """Against the number of latents."""
    return against_figure(data, "latent", "number of latents, $r$")


def interval_figure(data: xr.Dataset) -> Figure:
    """Against the number of observation times from one analysis to the next."""
    return against_figure(data, "interval", "interval between analyses (observation times)")


@plotting.published
def tuning_figure(data: xr.Dataset) -> Figure:
    """EnSF against the variance of its prior, Latent-EnSF against the scale of its latents."""
    fig = plotting.figure(plotting.PAGE, 2.7)
    axes = fig.subplots(1, 2)
    tuning_panel(axes[0], data, "eps_beta", "ensf", r"variance of the prior, $\varepsilon_\beta$")
    tuning_panel(axes[1], data, "scale", "latent_ensf", "scale of the latents, $S$")
    plotting.letter(axes)
    fig.suptitle(over_seeds(data), fontsize=7)
    return fig


def tuning_panel(ax: Axes, data: xr.Dataset, panel: str, method: str, label: str) -> None:
    """Mean errors of a method against what is varied, a shade for each likelihood_std."""
    own, reference = where(data, panel=panel), REFERENCES[panel]
    stds = np.unique(own.likelihood_std.values)
    for std, colour in zip(stds, shades(style.colour(method), len(stds)), strict=True):
        one = where(own, likelihood_std=std)
        line(ax, one.place.values, one, color=colour, marker=MARKERS[method], label=STD.format(std))
    level(ax, data, reference)
    shown = xr.concat([own, where(data, panel="", method=reference)], "run")
    if shown.sizes["run"]:
        error_axis(ax, *(shown[n].values for n in MEANS))
    factors_axis(ax, own.place.values)
    ax.set_title(style.label(method))
    ax.set_ylabel(f"mean {ERROR}")
    ax.grid(axis="y")
    ax.set_xlabel(label)
    remark(ax, f"other values: {ONLY}" if own.sizes["run"] < 2 else "")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.0), ncols=3)
