"""Trajectories of tokens: generated ones beside the truth, and how fast they part."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from dalib import plotting
from papers.gpt import style

LABELS = {"gpt": "GPT-2, $T = 1$", "gpt_greedy": r"GPT-2, $T \to 0$"}
BESIDE = {"fontsize": 6, "color": "#707070", "va": "bottom"}


def states(made: xr.Dataset, name: str, temperature: float) -> xr.DataArray:
    """Centres (..., state) of the tokens `forecast` or `free_run`, of the first training."""
    tokens = made[name].sel(temperature=temperature, drop=True)
    tokens = tokens.isel(repeat=0, drop=True) if "repeat" in tokens.dims else tokens
    return made.centre[tokens.load()]


def conditioning(ax: Axes, end: float, text: str = "") -> None:
    """Shade the time before `end`, of which the tokens are given; `text` says what comes after."""
    ax.axvspan(0, end, color="#f0f0f0", linewidth=0, zorder=0)
    ax.axvline(end, color="#707070", linewidth=0.9, linestyle=":", zorder=0.5)
    across = ax.get_xaxis_transform()
    ax.text(end, 1.015, text, transform=across, fontsize=7, color="#555555", va="bottom")


@plotting.published
def trajectories_figure(data: xr.Dataset) -> Figure:
    """truth and generated: every component against time, and a projection."""
    fig = plotting.figure(plotting.PAGE, 3.7)
    names = list(data.state.values)
    layout = [[name, "plane"] for name in names]
    axes = fig.subplot_mosaic(layout, width_ratios=[1.85, 1])
    lines = {"truth": data.truth} | {
        style_of(float(T)): data.generated.sel(temperature=T) for T in data.temperature
    }
    for name in names:
        ax = axes[name]
        conditioning(ax, float(data.conditioning), "generated →" if name == names[0] else "")
        for source, x in lines.items():
            ax.plot(data.time, x.sel(state=name), **_line(source))
        ax.set_ylabel(f"${name}$")
        ax.set_xlim(0, float(data.time[-1]))
        ax.tick_params(labelbottom=name == names[-1])
    axes[names[-1]].set_xlabel("time (model units)")
    for source, x in lines.items():
        free = x.sel(time=data.time > float(data.conditioning))
        across, up = (free.sel(state=names[i]) for i in (0, -1))
        axes["plane"].plot(across, up, **_line(source))
    axes["plane"].set_xlabel(f"${names[0]}$")
    axes["plane"].set_ylabel(f"${names[-1]}$")
    axes["plane"].set_title("after the tokens given", fontsize=7, color="#555555")
    handles, labels = axes["plane"].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(lines))
    plotting.letter([axes[name] for name in (names[0], "plane")])
    fig.align_ylabels([axes[name] for name in names])
    return fig


def style_of(temperature: float) -> str:
    """The name under which generations at a temperature are drawn."""
    return "gpt" if temperature else "gpt_greedy"


def _line(source: str) -> dict:
    if source == "truth":
        return {"color": plotting.BLACK, "linewidth": 1.9, "alpha": 0.35, "label": "truth"}
    line = {"color": style.colour(source), "linewidth": 0.9, "label": LABELS[source]}
    return line | ({"zorder": 1.9, "alpha": 0.8} if source == "gpt_greedy" else {})


def trajectories_data(
    truth: xr.Dataset,
    codes: xr.Dataset,
    made: xr.Dataset,
    settings: Mapping,
    chain: int = 0,
    length: int = 500,
) -> xr.Dataset:
    """truth (time, state) and generated (temperature, time, state): `length` samples of free runs.

    The generated trajectories begin with the centres of the cells given.

    Args:
        codes: token (seed, time) of the truth.
        settings: of the forecasts of the case: `context`, and `free_run` with its `start`.
    """
    first, context = settings["free_run"]["start"], settings["context"]
    seed = {"seed": chain % truth.sizes["seed"]}
    later = [
        states(made, "free_run", T).isel(chain=chain, drop=True).values
        for T in made.temperature.values
    ]
    length = min(length, context + len(later[0]), truth.sizes["time"] - first)
    x = truth.x.isel(seed, drop=True).isel(time=slice(first, first + length))
    given = made.centre[codes.token.isel(seed, drop=True).isel(time=slice(first, first + context))]
    interval = float(made.time[0])
    joined = [np.concatenate([given.values, one])[:length] for one in later]
    generated = xr.DataArray(joined, dims=("temperature", *x.dims), attrs=x.attrs)
    return xr.Dataset(
        {
            "truth": x,
            "generated": generated.assign_attrs(long_name="centre of the cell"),
            "temperature": made.temperature,
            "conditioning": ((), interval * context, _text("end of the tokens given")),
        },
    ).assign_coords(time=("time", interval * np.arange(1, length + 1), _text("time")))


@plotting.published
def distances_figure(data: xr.Dataset) -> Figure:
    """difference (method, repeat, time), mean distance to the truth, on a logarithmic axis.

    The axis begins where one window is one cell away from the truth, and no other is: a mean of
    zero is drawn there. Below the dashed line most windows are in the cell of the truth.
    """
    fig = plotting.figure(plotting.COLUMN, 3.0)
    ax = fig.add_subplot()
    end, floor = float(data.conditioning), float(data.cell) / int(data.windows.max())
    conditioning(ax, end, "after the tokens given →")
    for level, text in ((data.cell, "one cell"), (data.independent, "independent states")):
        ax.axhline(float(level), color=plotting.GREY, linewidth=0.8, linestyle="--", zorder=1)
        ax.text(0.01, float(level), text, transform=ax.get_yaxis_transform(), **BESIDE)
    for method in data.method.values[::-1]:  # the first on top
        one = data.difference.sel({"method": method}).dropna("repeat", how="all")
        if one.sizes["repeat"]:
            shown = one.clip(min=floor)
            plotting.band(
                ax, data.time, shown, "repeat", style.colour(method), _counted(data, method)
            )
    ax.set_yscale("log")
    ax.set_ylim(floor, 2 * float(data.independent))
    ax.yaxis.set_major_locator(LogLocator(numticks=8))
    ax.yaxis.set_minor_formatter("")
    ax.set_xlim(0, float(data.time[-1]))
    ax.set_xlabel("time (model units)")
    ax.set_ylabel("mean distance to the truth\n(units of the state)")
    ax.grid(axis="y")
    handles, names = ax.get_legend_handles_labels()
    fig.legend(handles[::-1], names[::-1], loc="outside upper center", ncols=2)
    return fig


def _counted(data: xr.Dataset, method: str) -> str:
    """The method's name, and how many windows it has where these are not all."""
    count, most = int(data.windows.sel({"method": method})), int(data.windows.max())
    name = LABELS.get(method, style.label(method))
    return name + (f" ({count} of {most} windows)" if count < most else "")


def distances_data(
    generated: xr.Dataset, marks: xr.Dataset, codec: xr.Dataset, column: Mapping, context: int
) -> xr.Dataset:
    """difference (method, repeat, time) after the tokens given; NaN: not repeated.

    The GPT stands there at T = 1 (gpt) and T = 0 (gpt_greedy), the chain at T = 1. windows (method)
    are those in the mean; cell is the least width of one, independent the distance of states that
    know nothing of each other.

    Args:
        generated: scores of generations, difference (method, temperature, [repeat,] lead).
        marks: scores of the truth, paired_difference (lead), paired (seed, start, lead) and
            independent (codec).
        codec: with the centres of the cells.
        column: methods by their part, `generated` and `chain` (those not there are left out), and
            the codec, `cells`.
        context: tokens given.
    """
    runs = {
        "gpt": (column["generated"], 1.0),
        "gpt_greedy": (column["generated"], 0.0),
        "markov": (column["chain"], 1.0),
    }
    names = {
        name: {"method": method, "temperature": T}
        for name, (method, T) in runs.items()
        if method in generated.method and T in generated.temperature
    }
    parts = [generated.difference.sel(where, drop=True) for where in names.values()]
    apart = xr.concat(parts, xr.DataArray(list(names), dims="method", name="method"))
    apart = apart if "repeat" in apart.dims else apart.expand_dims(repeat=[0])
    paired = marks.paired_difference.expand_dims(method=["paired"], repeat=apart.repeat[:1])
    both = xr.concat([apart, paired], "method", join="outer", combine_attrs="override")
    there = (marks.paired >= 0).all("lead")
    windows = [there.size] * len(names) + [int(there.sum())]
    width = (codec.upper - codec.lower) / codec.cells
    given = float(apart.lead[0]) * context
    return xr.Dataset(
        {
            "difference": both.rename(lead="time").assign_attrs(
                _text("mean distance to the truth")
            ),
            "windows": ("method", windows, _text("windows in the mean")),
            "cell": ((), float(width.min()), _text("least width of a cell")),
            "independent": (
                (),
                float(marks.independent.sel(codec=column["cells"])),
                _text("mean distance of two states that know nothing of each other"),
            ),
            "conditioning": ((), given, _text("end of the tokens given")),
        },
    ).assign_coords(time=("time", given + apart.lead.values, _text("time")))


def _text(long_name: str) -> dict[str, str]:
    return {"units": "1", "long_name": long_name}
