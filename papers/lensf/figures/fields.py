"""Error of filters of fields at every analysis: by sparsity, by method, by number of members."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.selection import (
    ONLY,
    alike,
    base,
    joined,
    over_seeds,
    percent,
    same,
    summary,
    where,
)

KEPT = ("method", "every", "noise", "members", "latent")
METHODS = ("free", "ensf", "direct", "latent_enkf", "latent_letkf", "latent_ensf")
CODED = METHODS[2:]
HIGHEST = 5.0  # relative RMSE above which nothing is drawn: that of no estimate is 1
MUCH = 2.5  # ratio of errors from which on their axis is logarithmic
DASHES = {"free": (0, (4, 1.5)), "direct": (0, (1.2, 1.2))}
ERROR = "relative RMSE"


# -- data ------------------------------------------------------------------------------------------


def curves_data(scores: xr.Dataset, *chosen: xr.Dataset, note: str = "") -> xr.Dataset:
    """median, low, high (run, analysis) of the relative RMSE over seeds, of the runs chosen."""
    found = joined(scores, *chosen)
    count = found.sizes["time"]
    data = summary(found.relative_rmse).rename(time="analysis")
    data = data.assign_coords(analysis=np.arange(1, count + 1))
    data = data.drop_vars([n for n in data.coords if n not in ("run", "analysis", *KEPT)])
    return data.assign_attrs(note=note)


def sparsity_data(scores: xr.Dataset) -> xr.Dataset:
    """The free run, and EnSF and Latent-EnSF at every sparsity, from the base start."""
    filters = (alike(scores, method, "every") for method in ("ensf", "latent_ensf"))
    return curves_data(scores, alike(scores, "free"), *filters)


def members_data(scores: xr.Dataset) -> xr.Dataset:
    """The free run, and EnSF with every number of members at the base sparsity."""
    own = alike(scores, "ensf", "members", strict=True)
    note = f"other ensemble sizes: {ONLY}" if own.sizes["run"] < 2 else ""
    chosen = alike(scores, "free"), own
    late = summary(joined(scores, *chosen).mean_relative_rmse, "mean")
    return curves_data(scores, *chosen, note=note).assign(late.drop_vars(list(late.coords)))


def methods_data(scores: xr.Dataset, noise: float) -> xr.Dataset:
    """All methods at the base sparsity and one noise, latent ones for every number of latents.

    Without such runs at this noise, those at the base noise stand for them and `note` says so.
    """
    there = where(scores, noise=noise)
    if set(CODED).isdisjoint(there["method"].values):
        note, noise = f"noise {percent(noise)}: {ONLY}", base(scores)["noise"]
        note = f"{note}; shown: {percent(noise)}"
    else:
        note = other_codecs(scores, there, noise)
    chosen = [
        alike(scores, method, *(("latent",) if method in CODED else ()), noise=noise)
        for method in METHODS
    ]
    if not chosen[0].sizes["run"]:  # it sees no observations: their noise is nothing to it
        chosen[0] = alike(scores, "free")
    return curves_data(scores, *chosen, note=note)


def other_codecs(scores: xr.Dataset, there: xr.Dataset, noise: float) -> str:
    """A note where the codecs of the runs at one noise were trained with another."""
    if "codec_noise" not in scores.coords:
        return ""
    used = [name for name in np.unique(there["model"].values) if name in scores.codec.values]
    trained = scores.codec_noise.sel(codec=used).values
    others = sorted({float(one) for one in trained if not same(np.array([one]), noise)[0]})
    return f"codec trained with noise of {percent(others[0])}" if others else ""


# -- drawing ---------------------------------------------------------------------------------------


def shades(colour: str, count: int) -> list[tuple[float, float, float]]:
    """From a pale to a deep shade of a colour."""
    own = np.array(to_rgb(colour))
    places = np.linspace(-0.62, 0.35, count) if count > 1 else [0.0]
    mixed = [own + (1 - own) * -p if p < 0 else own * (1 - p) for p in places]
    return [tuple(float(part) for part in one) for one in mixed]


def curve(ax: Axes, data: xr.Dataset, colour: object, **line: object) -> None:
    """The median of one run at each analysis, over its band."""
    n, low, high = data.analysis.values, data.low.values, data.high.values
    if data.attrs["seeds"] > 1:
        top = np.where(np.isnan(high), 1e6, high)  # lost seeds: beyond every number
        ax.fill_between(n, low, top, color=colour, alpha=0.15, linewidth=0)
    ax.plot(n, data["median"].values, color=colour, **line)


def axes_of_errors(axes: Sequence[Axes], data: xr.Dataset) -> None:
    """Analyses across, an axis of errors that all panels share: logarithmic if they differ much."""
    for ax in axes:
        error_axis(ax, data.low.values, data["median"].values, data.high.values)
        last = int(data.analysis[-1])
        ax.set_xlim(1, max(last, 2))
        ax.set_xticks([1, *(t for t in ax.get_xticks() if 1 < t <= last and t == int(t))])
        ax.set_xlabel("analysis")
        ax.grid(axis="y")
    axes[0].set_ylabel(f"{ERROR} of the analysis")


def error_axis(ax: Axes, *errors: np.ndarray) -> None:
    """Room for all finite errors, on an axis that is logarithmic if they differ much."""
    shown = np.concatenate([e.ravel() for e in errors])
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        return
    least, most = float(shown.min()), float(shown.max())
    limits = least / 1.08, min(1.08 * most, max(HIGHEST, 2 * least))
    if most > MUCH * least:
        ax.set_yscale("log")
        plotting.plain(ax.yaxis, *limits)
    ax.set_ylim(limits)


def remark(ax: Axes, text: str) -> None:
    """What the data lack, in a frame at the top of the panel; nothing where they lack nothing."""
    if text:
        frame = {
            "boxstyle": "round,pad=0.35",
            "facecolor": "#fff6ec",
            "edgecolor": plotting.VERMILION,
        }
        ax.text(
            *(0.5, 0.97, text),
            transform=ax.transAxes,
            ha="center",
            va="top",
            fontsize=7,
            bbox=frame | {"linewidth": 0.6},
            zorder=10,
        )


def heading(text: str) -> Line2D:
    """A line of a legend that only holds text."""
    return Line2D([], [], linestyle="none", label=text)


def line_of(method: str) -> Line2D:
    return Line2D(
        [],
        [],
        color=style.colour(method),
        linestyle=DASHES.get(method, "-"),
        label=style.label(method),
    )


@plotting.published
def sparsity_figure(data: xr.Dataset) -> Figure:
    """A shade for each sparsity, a colour for each filter."""
    fig = plotting.figure(5.2, 2.9)
    ax = fig.add_subplot()
    entries = free_run(ax, data)
    for method in ("ensf", "latent_ensf"):
        own = where(data, method=method)
        entries.append(heading(style.label(method)))
        for i, colour in enumerate(shades(style.colour(method), own.sizes["run"])):
            one = own.isel(run=i)
            curve(ax, one, colour)
            label = f"{int(one.every) ** 2}×"
            entries.append(Line2D([], [], color=colour, linewidth=1.8, label=label))
    axes_of_errors([ax], data)
    remark(ax, data.attrs["note"])
    entries += [heading(""), *notes(data)]
    legend = fig.legend(handles=entries, loc="outside right upper")
    for text in legend.get_texts():
        if text.get_text() in map(style.label, ("ensf", "latent_ensf")):
            text.set_fontweight("bold")
    return fig


def free_run(ax: Axes, data: xr.Dataset) -> list[Line2D]:
    """Draws the free run, if there is one; its entry of the legend."""
    own = where(data, method="free")
    for run in own.run.values:
        curve(ax, own.sel(run=run), style.colour("free"), linestyle=DASHES["free"])
    return [line_of("free")] if own.sizes["run"] else []


def notes(data: xr.Dataset) -> list[Line2D]:
    """What line and band are, as lines of a legend."""
    first, _, rest = over_seeds(data).partition(" over ")
    return [heading(first), heading(f"over {rest}")] if rest else [heading(first)]


@plotting.published
def methods_figure(data: xr.Dataset) -> Figure:
    """A panel for each number of latents; methods without latents stand in all."""
    sizes = sorted(set(data.latent.values[data.latent.values > 0].tolist())) or [0]
    fig = plotting.figure(4.6 if len(sizes) == 1 else plotting.PAGE, 2.75)
    axes = fig.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for ax, size in zip(axes, sizes, strict=True):
        shown = data.isel(run=np.isin(data.latent.values, (0, size)))
        for run in shown.run.values:
            one = shown.sel(run=run)
            method = str(one["method"].values)
            curve(ax, one, style.colour(method), linestyle=DASHES.get(method, "-"))
        ax.set_title(f"$r = {size}$" if size else "")
    axes_of_errors(axes, data)
    remark(axes[0] if len(sizes) == 1 else axes[len(sizes) // 2], data.attrs["note"])
    if len(sizes) > 1:
        plotting.letter(axes)
    methods = [m for m in METHODS if m in data["method"].values]
    fig.legend(
        handles=[line_of(m) for m in methods],
        loc="outside upper center",
        ncols=min(len(methods), 3 if len(sizes) == 1 else 6),
        title=over_seeds(data),
        title_fontsize=7,
    )
    return fig


@plotting.published
def members_figure(data: xr.Dataset) -> Figure:
    """EnSF with few and many members: at every analysis, and in the mean over the late ones."""
    fig = plotting.figure(plotting.PAGE, 2.6)
    left, right = fig.subplots(1, 2, width_ratios=[1.5, 1])
    entries = free_run(left, data)
    own = where(data, method="ensf")
    for i, colour in enumerate(shades(style.colour("ensf"), own.sizes["run"])):
        one = own.isel(run=i)
        curve(left, one, colour)
        entries.append(
            Line2D([], [], color=colour, linewidth=1.8, label=f"$N = {int(one.members)}$")
        )
        bar(right, int(one.members), one, "mean", color=colour)
    right.plot(own.members, own.mean_median, color=plotting.GREY, linewidth=0.7, zorder=0.5)
    axes_of_errors([left], data)
    right.set_xscale("log")
    right.set_xticks(own.members.values, [str(n) for n in own.members.values])
    right.xaxis.set_minor_formatter("")
    right.minorticks_off()
    right.margins(x=0.12)
    level = where(data, method="free").mean_median.values
    right.set_ylim(
        0, 1.15 * np.nanmax([*level, *own.mean_high.values])
    )  # what is small looks small
    for value in level:
        right.axhline(value, color=style.colour("free"), linestyle=DASHES["free"], linewidth=0.9)
    right.set_xlabel("members, $N$")
    right.set_ylabel(f"mean {ERROR}")
    right.grid(axis="y")
    remark(left, data.attrs["note"])
    plotting.letter([left, right])
    fig.legend(
        handles=entries,
        loc="outside upper center",
        ncols=len(entries),
        title=over_seeds(data),
        title_fontsize=7,
    )
    return fig


def bar(ax: Axes, place: float, data: xr.Dataset, name: str, **look: object) -> None:
    """The median of one run as a dot at a place, over its range."""
    low, middle, high = (float(data[f"{name}_{part}"]) for part in ("low", "median", "high"))
    ax.vlines(place, low, high, linewidth=2.4, alpha=0.35, **look)
    ax.plot([place], [middle], marker="o", markersize=4, markeredgewidth=0, **look)
