"""Trajectories of tokens: generated ones beside the truth, and how fast they part."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from dalib import plotting
from papers.gpt import style
from papers.gpt.runs import Cells, base_cells, first, select

LABELS = {"gpt": "GPT-2, $T = 1$", "gpt_greedy": r"GPT-2, $T \to 0$"}
BESIDE = {"fontsize": 6, "color": "#707070", "va": "bottom"}


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
    cells: Cells,
    forecasts: Sequence[xr.Dataset],
    settings: Mapping,
    length: int = 500,
) -> xr.Dataset:
    """truth (time, state) and generated (temperature, time, state): `length` samples of free runs.

    The generated trajectories begin with the centres of the cells given.

    Args:
        settings: of the forecasts of the case: `context`, and `first` where it is not that.
    """
    context = settings["context"]
    begin = settings.get("first", context) - context
    runs = {T: first(forecasts, "gpt", cells.cells, T).free_run.isel(chain=0) for T in (1.0, 0.0)}
    interval = float(runs[1.0].time[0])
    length = min(length, context + runs[1.0].sizes["time"], truth.sizes["time"] - begin)
    x = truth.x.isel(seed=0, drop=True).isel(time=slice(begin, begin + length))
    given = cells.coded(x.values[:context])
    joined = [np.concatenate([given, one.values])[:length] for one in runs.values()]
    generated = xr.DataArray(joined, dims=("temperature", *x.dims), attrs=x.attrs)
    return xr.Dataset(
        {
            "truth": x,
            "generated": generated.assign_attrs(long_name="centre of the cell"),
            "conditioning": ((), interval * context, _text("end of the tokens given")),
        },
        {"temperature": ("temperature", list(runs), _text("temperature"))},
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


def distances_data(scores: xr.Dataset, context: int) -> xr.Dataset:
    """difference (method, repeat, time) after the tokens given; NaN: not repeated.

    The GPT stands there at T = 1 (gpt) and T = 0 (gpt_greedy), the chain at T = 1. windows (method)
    are those in the mean; cell is the least width of one, independent the distance of states that
    know nothing of each other.

    Args:
        scores: of the study, at whose base cells the runs are shown.
        context: tokens given.
    """
    cells = Cells.of(scores, base_cells(scores))
    named = {"gpt": ("gpt", 1.0), "gpt_greedy": ("gpt", 0.0), "markov": ("markov", 1.0)}
    found = {n: select(scores, method, cells.cells, T) for n, (method, T) in named.items()}
    parts = {n: _repeated(one.difference) for n, one in found.items() if one is not None}
    own = found["gpt"].isel(run=0)
    parts["paired"] = _repeated(own.paired_difference.expand_dims("run"))
    both = xr.concat(
        list(parts.values()), xr.DataArray(list(parts), dims="method", name="method"), join="outer"
    )
    there = (own.paired >= 0).all("lead")
    windows = [there.size] * (len(parts) - 1) + [int(there.sum())]
    lead = scores.lead.values
    given = float(lead[0]) * context
    return xr.Dataset(
        {
            "difference": both.rename(lead="time").assign_attrs(
                _text("mean distance to the truth")
            ),
            "windows": ("method", windows, _text("windows in the mean")),
            "cell": ((), float(cells.width.min()), _text("least width of a cell")),
            "independent": (
                (),
                float(own.independent),
                _text("mean distance of two states that know nothing of each other"),
            ),
            "conditioning": ((), given, _text("end of the tokens given")),
        },
    ).assign_coords(time=("time", given + lead, _text("time")))


def _repeated(values: xr.DataArray) -> xr.DataArray:
    """(run, lead) -> (repeat, lead), numbered and without other labels."""
    kept = values.drop_vars([name for name in values.coords if name != "lead"])
    return kept.rename(run="repeat").assign_coords(repeat=np.arange(values.sizes["run"]))


def _text(long_name: str) -> dict[str, str]:
    return {"units": "1", "long_name": long_name}
