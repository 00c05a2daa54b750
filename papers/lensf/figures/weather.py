"""Assimilation into a weather model: maps of channels at the last time, and their error in time."""

import xarray as xr
from matplotlib.figure import Figure

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures import maps
from papers.lensf.figures.selection import over_seeds, summary

METHODS = ("free", "latent_letkf", "latent_ensf")
CHANNELS = ("z500", "u500")
NAMES = {"free": "forecast model alone"}
BAR = {"aspect": 10, "shrink": 0.84}


def label(method: str) -> str:
    return NAMES.get(method, style.label(method))


def channels(scores: xr.Dataset) -> list[str]:
    """Z500 and U500; where one is not there, the first other channels in their place."""
    names = scores.variable.values.tolist()
    there = [name for name in CHANNELS if name in names]
    return (there + [name for name in names if name not in there])[: len(CHANNELS)]


# -- maps ------------------------------------------------------------------------------------------


def maps_data(scores: xr.Dataset) -> xr.Dataset:
    """Maps of two channels at the last time shown.

    truth_<channel> and observed_<channel> (y, x; NaN off sensors), mean_<channel> and
    error_<channel> (method, y, x), relative_rmse (method, channel).
    """
    runs = {m: run for m in METHODS if (run := maps.shown_run(scores, m)) is not None}
    if not runs:
        there = ", ".join(map(str, scores.shown_run.values))
        raise ValueError(f"expected maps of one of {', '.join(METHODS)}, found {there or 'none'}")
    shown = maps.maps_of(scores, "truth_shown", "mean_shown", "observed_shown", unit="d")
    shown = shown.isel(shown_time=[-1])
    last = shown.isel(shown_time=0, drop=True).sel(shown_run=list(runs.values()))
    last = last.rename(shown_run="method").assign_coords({"method": list(runs)})
    seen = last.observed_shown.isel(method=-1, drop=True)
    data, names = {}, channels(scores)
    for name in names:
        truth = maps.described(last.truth_shown, last, name, "true field")
        mean = maps.described(last.mean_shown, last, name, "mean of the analysis")
        error = (mean - truth).assign_attrs(mean.attrs, long_name="error of the analysis")
        data |= {f"truth_{name}": truth, f"mean_{name}": mean, f"error_{name}": error}
        data[f"observed_{name}"] = maps.described(seen, last, name, "observation")
    at = {"seed": 0, "time": int(shown.shown_time[0]) - 1}
    error = scores.variable_relative_rmse.sel(run=list(runs.values()), variable=names).isel(at)
    attrs = {"units": "1", "long_name": "relative RMSE of the channel, first seed"}
    data["relative_rmse"] = (("method", "channel"), error.transpose("run", ...).values, attrs)
    return xr.Dataset(data, {"channel": names}).assign_coords(at=shown["at"])


@plotting.published
def maps_figure(data: xr.Dataset) -> Figure:
    """A row of states for each channel, then a row of their errors; observations beside these."""
    names, methods = data.channel.values.tolist(), data["method"].values.tolist()
    rows, columns = 2 * len(names), 1 + len(methods)
    any_map = data[f"truth_{names[0]}"]
    left, right, low, high = maps.extent(any_map)
    width = (plotting.PAGE - 1.5) / columns
    tall = width * (high - low) / (right - left)
    fig = plotting.figure(plotting.PAGE, rows * (tall + 0.14) + 1.0)
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    axes = fig.subplots(rows, columns, squeeze=False)
    for i, name in enumerate(names):
        colours = states(fig, axes[i], data, name)
        errors(fig, axes[len(names) + i], data, name, width, colours)
    for ax, text in zip(axes[0], ["truth", *map(label, methods)], strict=True):
        ax.set_title(text)
    for ax, text in zip(axes[len(names)], ["observations", *["error"] * len(methods)], strict=True):
        ax.set_title(text)
    maps.outer(axes, any_map, [written(name) for name in names] * 2)
    fig.suptitle(maps.title(data, 0), fontsize=8)
    return fig


def states(fig: Figure, axes, data: xr.Dataset, name: str) -> dict:
    """The truth and the analyses of a channel on one scale, which is returned."""
    truth, mean = data[f"truth_{name}"], data[f"mean_{name}"]
    signed = float(truth.min()) < 0 < float(truth.max())
    colours = maps.about_zero(truth) if signed else maps.above(truth)
    for ax, one in zip(axes, (truth, *mean), strict=True):
        image = maps.field(ax, one, **colours)
    end = maps.ends(colours, truth, mean)
    quantity = f"{written(name)} ({maps.written(truth.attrs['units'])})"
    maps.bar(fig, image, list(axes), quantity, extend=end, **BAR)
    return colours


def errors(fig: Figure, axes, data: xr.Dataset, name: str, width: float, colours: dict) -> None:
    """What was observed of a channel, and the errors of the analyses on a scale of their own."""
    error = data[f"error_{name}"]
    maps.coloured(axes[0], data[f"observed_{name}"], width, **colours)
    own = maps.about_zero(error, cmap=maps.ERRORS)
    rmse = data.relative_rmse.sel(channel=name)
    for ax, one, value in zip(axes[1:], error, rmse, strict=True):
        image = maps.field(ax, one, **own)
        maps.number(ax, value)
    end = maps.ends(own, error)
    maps.bar(
        fig, image, list(axes), f"error ({maps.written(error.attrs['units'])})", extend=end, **BAR
    )


def written(name: str) -> str:
    """`z500` as it is written in text."""
    return name.upper() if name in CHANNELS else name


# -- error in time ---------------------------------------------------------------------------------


def error_data(scores: xr.Dataset) -> xr.Dataset:
    """median, low and high (method, time in days) over seeds of the relative RMSE of Z500."""
    runs = {m: run for m in METHODS if (run := maps.usual_run(scores, m)) is not None}
    name = channels(scores)[0]
    values = scores.variable_relative_rmse.sel(variable=name, run=list(runs.values()), drop=True)
    data = summary(values.drop_vars([c for c in values.coords if c not in ("run", "time", "seed")]))
    days = maps.clock(scores.time, "d")
    data = data.rename(run="method").assign_coords({"method": list(runs), "time": days})
    return data.assign_attrs(channel=name)


@plotting.published
def error_figure(data: xr.Dataset) -> Figure:
    """Relative RMSE of a channel against the day of the analysis."""
    fig = plotting.figure(plotting.COLUMN, 2.5)
    ax = fig.add_subplot()
    for method in data["method"].values:
        one, colour = data.sel({"method": method}), style.colour(method)
        if data.attrs["seeds"] > 1:
            shade = {"color": colour, "alpha": 0.2, "linewidth": 0}
            ax.fill_between(data.time.values, one.low.values, one.high.values, **shade)
        ax.plot(data.time.values, one["median"].values, color=colour, label=label(method))
    ax.set_ylim(bottom=0)
    ax.margins(x=0.01)
    ax.grid(axis="y")
    ax.set_xlabel("day" if data.time.attrs["units"] == "d" else plotting.quantity(data.time))
    ax.set_ylabel(f"relative RMSE of {written(data.attrs['channel'])}")
    names = {"title": over_seeds(data), "title_fontsize": 7}
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0, **names)
    return fig
