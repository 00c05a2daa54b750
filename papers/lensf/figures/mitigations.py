"""Mitigations of the late error of the latent filter: a row for each."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.field_sweeps import means_data
from papers.lensf.figures.fields import ERROR, HIGHEST, remark
from papers.lensf.figures.selection import (
    ONLY,
    SETTINGS,
    alike,
    joined,
    over,
    over_seeds,
    prepared,
    same,
    summary,
    where,
)

SYMBOLS = {
    "members": "$N = {:g}$",
    "latent": "$r = {:g}$",
    "scale": "$S = {:g}$",
    "eps_beta": r"$\varepsilon_\beta = {:g}$",
    "likelihood_std": r"$\hat\sigma = {:g}$",
}
ERRORS = {
    "given": "errors as given",
    "latent_noise": "latent errors from those of observations",
    "mismatch": "latent errors from the encoder discrepancy",
}
MARKS = {  # what is shown: beside the row, line of the first run, look
    "valid": (0.24, ":", {"marker": "D", "markersize": 3.0}),
    "mean": (0.0, "-", {}),
    "last": (-0.24, (0, (3, 2)), {"markerfacecolor": "white"}),
}
LABELS = {
    "valid": "mean, validation trajectories",
    "mean": "mean of the late analyses",
    "last": "last analysis",
}
MISSING = [f"{name}_{part}" for name in MARKS for part in ("median", "low", "high")]  # of the lost
TICKS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
DOT = {"linestyle": "none", "marker": "o", "markersize": 3.6}


def mitigations_data(scores: xr.Dataset, validation: xr.Dataset) -> xr.Dataset:
    """mean_..., last_..., valid_... (run): of Latent-EnSF as in the paper and with changes.

    The changes are those of the runs on validation trajectories, whose mean errors are valid_...;
    `chosen` is the one that is best there. Observation-only decoding stands beside them.
    """
    scores, validation = prepared(scores), prepared(validation)
    tried = [run for run in validation.run.values if run in scores.run.values]
    own = where(scores.sel(run=tried), method="latent_ensf")
    first = alike(scores, "latent_ensf")
    others = own.sel(run=[run for run in own.run.values if run not in first.run.values])
    beside = [alike(scores, method) for method in ("pca_latent_ensf", "direct", "pca_direct")]
    found = joined(scores, first, others, *beside)
    last = found.at_analysis.isel(nth=-1, drop=True)
    data = means_data(scores, found, kept=("method",))
    data = data.assign(summary(last, "last").drop_vars(list(data.coords), errors="ignore"))
    valid = summary(validation.mean_relative_rmse, "valid").reindex(run=data.run)
    data = data.assign(valid.drop_vars([n for n in valid.coords if n != "run"]))
    data = data.drop_vars([n for n in data.coords if n not in ("run", "method")])
    names = [words(found.sel(run=run), first) for run in data.run.values]
    best = valid.valid_median.fillna(np.inf).values
    few = "" if np.isfinite(best).any() else f"validation: {ONLY}"
    chosen = np.isfinite(best) & (best == best.min())
    data = data.assign_coords(description=("run", names), chosen=("run", chosen.astype(int)))
    seeds = validation.sizes["seed"] if tried else 0
    return data.assign_attrs(note=few, validation_seeds=seeds)


def words(run: xr.Dataset, first: xr.Dataset) -> str:
    """What distinguishes a run from the paper's method, for readers."""
    method = str(run["method"].values)
    if run.run.values in first.run.values:
        return f"{style.label(method)} as in the paper"
    if method not in first["method"].values:
        return style.label(method)
    paper = first.isel(run=0)
    unlike = [
        n for n in SETTINGS if n in run.coords and not same(run[n].values[None], paper[n].values)[0]
    ]
    estimated = "errors" in run.coords and run["errors"].values != paper["errors"].values
    if estimated:  # in the place of the one that the filter was given
        unlike = [name for name in unlike if name != "likelihood_std"]
    named = [said(name, run[name].values) for name in unlike]
    if estimated:
        named.append(ERRORS[str(run["errors"].values)])
    if run["model"].values != paper["model"].values and "latent" not in unlike:
        given = str(run.run.values).partition(" ")[2]  # its label
        return given.replace("=", " ")
    return ", ".join(named) or str(run.run.values).partition(" ")[2]


def said(name: str, value: object) -> str:
    """A setting and its value: by the letter of formulas, if it has one."""
    if name in SYMBOLS:
        return SYMBOLS[name].format(float(value))
    if name == "prior":
        return f"{value} prior"
    return f"{name.replace('_', ' ')} {float(value):g}"


@plotting.published
def mitigations_figure(data: xr.Dataset) -> Figure:
    """A row for each variant: its errors, beside those of the paper's method; bold: chosen."""
    count = data.sizes["run"]
    fig = plotting.figure(5.6, 1.2 + 0.24 * count)
    ax = fig.add_subplot()
    rows = np.arange(count)[::-1]
    for name, (shift, dashes, look) in MARKS.items():
        first = data[f"{name}_median"].values[0]
        ax.axvline(first, color=plotting.GREY, linewidth=0.7, linestyle=dashes, zorder=0)
        variants(ax, rows + shift, data, name, look)
        ax.plot([], [], color=plotting.BLACK, label=LABELS[name], **DOT | look)
    ax.set_yticks(rows, data.description.values)
    for text, chosen in zip(ax.get_yticklabels(), data.chosen.values, strict=True):
        text.set_fontweight("bold" if chosen else "normal")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, count - 0.4 + 0.8 * bool(data.attrs["note"]))
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    high = min(high, HIGHEST)
    ax.set_xlim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(ERROR)
    ax.grid(axis="x")
    remark(ax, data.attrs["note"])
    title = over_seeds(data)
    if data.attrs["validation_seeds"]:
        title += f"; validation: {over(int(data.attrs['validation_seeds']))}"
    fig.legend(loc="outside upper center", ncols=3, title=title, title_fontsize=7)
    return fig


def variants(ax: Axes, rows: np.ndarray, data: xr.Dataset, name: str, look: dict) -> None:
    """{name}_... (run): a dot in each row, over the range of the seeds."""
    for row, run in zip(rows, data.run.values, strict=True):
        one = data.sel(run=run)
        colour = style.colour(str(one["method"].values))
        low, middle, high = (float(one[f"{name}_{part}"]) for part in ("low", "median", "high"))
        if name == "valid" and np.isnan(middle):
            continue  # not run there
        high = HIGHEST if np.isnan(high) else high  # a seed is lost
        ax.hlines(row, low, high, color=colour, alpha=0.35, linewidth=2.2)
        ax.plot(middle, row, color=colour, **DOT | look)
