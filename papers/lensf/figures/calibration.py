"""Whether ensembles of fields say how wrong they are, and how their codecs were trained."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.fields import DASHES, shades
from papers.lensf.figures.selection import alike, joined, over_seeds, summary

RAREST = 1e-2  # relative frequency below which a bar of a rank histogram ends
TRAINING = {
    "state_error": "states, $D(E(x))$",
    "observation_error": "observations, $D(E_{obs}(y))$",
}


def calibration_data(scores: xr.Dataset) -> xr.Dataset:
    """Of Latent-EnSF with every scale: rank histogram, and spread and RMSE at each analysis.

    frequency (run, rank): over that of a uniform histogram; rmse_..., spread_... (run, analysis).
    """
    own = joined(scores, alike(scores, "latent_ensf", "scale", strict=True))
    count = own.rank_count
    bins = count.notnull().sum("rank")
    data = summary(own.rmse, "rmse").merge(
        summary(own.spread, "spread"), combine_attrs="override", compat="override", join="exact"
    )
    data = data.rename(time="analysis").assign_coords(
        analysis=np.arange(1, own.sizes["time"] + 1), scale=own["scale"]
    )
    data["frequency"] = count * bins / count.sum("rank")
    data["frequency"].attrs = {"units": "1", "long_name": "frequency over that of equal ranks"}
    kept = ("run", "analysis", "scale")
    return data.drop_vars([n for n in data.coords if n not in kept])


@plotting.published
def calibration_figure(data: xr.Dataset) -> Figure:
    """Rank histograms beside spread against error, a shade for each scale of the latents."""
    fig = plotting.figure(plotting.PAGE, 3.0)
    left, right = fig.subplots(1, 2)
    colours = shades(style.colour("latent_ensf"), data.sizes["run"])
    for run, colour in zip(data.run.values, colours, strict=True):
        histogram(left, data.frequency.sel(run=run).dropna("rank").values, colour)
        against_error(right, data.sel(run=run), colour)
    left.axhline(1, **LEVEL)
    left.set_yscale("log")
    left.set_xlim(0, 1)
    left.set_xlabel("rank of the truth among the members, as a share")
    left.set_ylabel("frequency (equal ranks: 1)")
    left.yaxis.set_major_locator(LogLocator())
    left.grid(axis="y")
    square(right, data)
    plotting.letter([left, right])
    entries = [
        Line2D([], [], color=c, linewidth=1.8, label=f"$S = {float(s):g}$")
        for s, c in zip(data["scale"].values, colours, strict=True)
    ]
    fig.legend(
        handles=entries,
        loc="outside upper center",
        ncols=max(len(entries), 1),
        title=f"Latent-EnSF, {over_seeds(data)}",
        title_fontsize=7,
    )
    return fig


LEVEL = {"color": plotting.BLACK, "linewidth": 0.8, "linestyle": DASHES["free"]}


def histogram(ax: Axes, frequency: np.ndarray, colour: object) -> None:
    """A step for each rank; those that hardly occur end at the foot of the axis."""
    edges = np.linspace(0, 1, frequency.size + 1)
    ax.stairs(np.maximum(frequency, RAREST), edges, baseline=None, color=colour, linewidth=1.2)


def against_error(ax: Axes, data: xr.Dataset, colour: object) -> None:
    """Medians of spread against RMSE, a dot for each analysis, the first of them larger."""
    error, spread = data.rmse_median.values, data.spread_median.values
    dots = {"color": colour, "linestyle": "none", "markeredgewidth": 0}
    ax.plot(error, spread, marker="o", markersize=2.6, alpha=0.7, **dots)
    ax.plot(error[:1], spread[:1], marker="D", markersize=5, **dots)


def square(ax: Axes, data: xr.Dataset) -> None:
    """Logarithmic axes with the line on which spread and error agree."""
    error, spread = data.rmse_median.values, data.spread_median.values
    across = np.nanmin(error) / 1.3, np.nanmax(error) * 1.3
    up = np.nanmin(spread[spread > 0]) / 1.3, max(np.nanmax(spread) * 1.3, across[1])
    ax.set(xscale="log", yscale="log", xlim=across, ylim=up)
    plotting.plain(ax.xaxis, *across)
    plotting.plain(ax.yaxis, *up)
    ax.plot(across, across, **LEVEL)
    ax.text(0.03, 0.97, "dashed: spread = RMSE", transform=ax.transAxes, fontsize=6.5, va="top")
    ax.set_xlabel("RMSE (standard deviations)")
    ax.set_ylabel("spread (standard deviations)")
    ax.grid()


# -- codecs ----------------------------------------------------------------------------------------


def training_data(scores: xr.Dataset) -> xr.Dataset:
    """state_error, observation_error (codec, check) on validation data, updates of each check."""
    if "updates" not in scores:
        raise ValueError(
            "expected scores with the training of codecs (updates, state_error, "
            f"observation_error), found {', '.join(sorted(map(str, scores.data_vars)))}; "
            "draw this figure of a case whose filters use codecs"
        )
    data = scores[["updates", *TRAINING]]
    kept = ("codec", "codec_every", "codec_latent", "codec_matched", "codec_linear")
    return data.drop_vars([n for n in data.coords if n not in kept])


@plotting.published
def training_figure(data: xr.Dataset) -> Figure:
    """Validation errors of states and of observations, decoded; linear codecs across the panel."""
    fig = plotting.figure(plotting.PAGE, max(2.6, 0.7 + 0.17 * data.sizes["codec"]))
    axes = fig.subplots(1, 2, sharey=True)
    looks = {codec: codec_look(i) for i, codec in enumerate(data.codec.values.tolist())}
    for ax, (name, label) in zip(axes, TRAINING.items(), strict=True):
        for codec, look in looks.items():
            learned(ax, data.sel(codec=codec), name, look)
        ax.set_xlabel("updates")
        ax.set_title(label)
        ax.set_yscale("log")
        ax.margins(x=0.02)
        ax.grid(axis="y")
    shown = np.concatenate([data[name].values.ravel() for name in TRAINING])
    limits = np.nanmin(shown) / 1.1, np.nanmax(shown) * 1.1
    axes[0].set_ylim(limits)
    plotting.plain(axes[0].yaxis, *limits)
    axes[0].set_ylabel("relative validation error")
    plotting.letter(axes)
    entries = [
        Line2D([], [], label=described(data.sel(codec=codec)), **look)
        for codec, look in looks.items()
    ]
    fig.legend(handles=entries, loc="outside right upper")
    return fig


COLOURS = (
    *(plotting.VERMILION, plotting.BLUE, plotting.GREEN, plotting.ORANGE),
    *(plotting.PURPLE, plotting.SKY, plotting.BLACK),
)
STROKES = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)))


def codec_look(i: int) -> dict:
    """A colour for each codec; when all were used, again with other strokes."""
    stroke = STROKES[i // len(COLOURS) % len(STROKES)]
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": stroke}


def learned(ax: Axes, data: xr.Dataset, name: str, look: dict) -> None:
    """An error (check) against updates; what was not learned in steps is a level."""
    there = np.isfinite(data.updates.values) & np.isfinite(data[name].values)
    updates, error = data.updates.values[there], data[name].values[there]
    if updates.size == 1:
        ax.axhline(error[0], linewidth=0.9, **look)
    else:
        ax.plot(updates, error, **look)


def described(data: xr.Dataset) -> str:
    """What distinguishes a codec, and its name."""
    parts = [f"{int(data.codec_every) ** 2}×", f"$r = {int(data.codec_latent)}$"]
    parts += ["linear"] if int(data.codec_linear) else []
    parts += [] if int(data.codec_matched) else ["unmatched"]
    return f"{', '.join(parts)} ({data.codec.values})"
