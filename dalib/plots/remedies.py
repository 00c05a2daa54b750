"""What changes of the latent filter do to its errors: a row for each variant."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib.plots import style
from dalib.plots.field_sweeps import means_data
from dalib.plots.fields import ERROR, HIGHEST, remark
from dalib.plots.selection import (
    ONLY,
    SETTINGS,
    alike,
    base,
    joined,
    over_seeds,
    prepared,
    same,
    summary,
    usual,
    where,
)

SYMBOLS = {
    "members": "$N = {:g}$",
    "latent": "$r = {:g}$",
    "scale": "$S = {:g}$",
    "eps_beta": r"$\varepsilon_\beta = {:g}$",
    "likelihood_std": r"$\hat\sigma = {:g}$",
}
MARKS = {  # what is shown: beside the row, line of the first run, look
    "mean": (0.13, "-", {}),
    "last": (-0.13, (0, (3, 2)), {"markerfacecolor": "white"}),
}
LABELS = {"mean": "mean of the late analyses", "last": "last analysis"}
DOT = {"linestyle": "none", "marker": "o", "markersize": 3.6}


def remedies_data(scores: xr.Dataset) -> xr.Dataset:
    """mean_... and last_... (run): of Latent-EnSF as in the paper and with one thing changed.

    At the base point and the base size of the codes; with another codec and other settings. The
    direct decodes, which use no forecast, stand beside them.
    """
    scores = prepared(scores)
    first = alike(scores, "latent_ensf")
    others = [where(scores, method=m, **base(scores)) for m in ("latent_ensf", "pca_latent_ensf")]
    latent = usual(first.latent.values) if first.sizes["run"] else 0
    own = joined(scores, first, *(where(one, latent=latent) for one in others))
    codes = [alike(scores, method) for method in ("direct", "pca_direct")]
    found = joined(scores, own, *codes)
    last = found.at_analysis.isel(nth=-1, drop=True)
    data = means_data(scores, found, kept=("method",))
    data = data.assign(summary(last, "last").drop_vars(list(data.coords), errors="ignore"))
    data = data.drop_vars([n for n in data.coords if n not in ("run", "method")])
    names = [words(found.sel(run=run), first) for run in data.run.values]
    few = f"other settings and codecs: {ONLY}" if own.sizes["run"] < 2 else ""
    return data.assign_coords(description=("run", names)).assign_attrs(note=few)


def words(run: xr.Dataset, first: xr.Dataset) -> str:
    """What distinguishes a run from the paper's method, for readers."""
    method = str(run["method"].values)
    if run.run.values in first.run.values:
        return f"{style.label(method)} as in the paper"
    if method not in first["method"].values:
        return style.label(method)
    unlike = [
        n
        for n in SETTINGS
        if n in run.coords and not same(run[n].values[None], first[n].values[0])[0]
    ]
    if unlike:
        return ", ".join(said(name, run[name].values) for name in unlike)
    if run["model"].values != first["model"].values[0]:
        return f"other codec: {run['model'].values}"
    return str(run.run.values).partition(" ")[2]  # a setting that is no coordinate


def said(name: str, value: object) -> str:
    """A setting and its value: by the letter of formulas, if it has one."""
    if name in SYMBOLS:
        return SYMBOLS[name].format(float(value))
    return f"{name.replace('_', ' ')} {float(value):g}"


@style.published
def remedies_figure(data: xr.Dataset) -> Figure:
    """A row for each variant: mean and last error, beside those of the paper's method."""
    count = data.sizes["run"]
    fig = style.figure(5.6, 1.2 + 0.2 * count)
    ax = fig.add_subplot()
    rows = np.arange(count)[::-1]
    for name, (shift, dashes, look) in MARKS.items():
        first = data[f"{name}_median"].values[0]
        ax.axvline(first, color=style.GREY, linewidth=0.7, linestyle=dashes, zorder=0)
        variants(ax, rows + shift, data, name, look)
        ax.plot([], [], color=style.BLACK, label=LABELS[name], **DOT | look)
    ax.set_yticks(rows, data.description.values)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, count - 0.4 + 0.8 * bool(data.attrs["note"]))
    ax.set_xlim(right=min(ax.get_xlim()[1], HIGHEST))
    ax.set_xlabel(ERROR)
    ax.grid(axis="x")
    remark(ax, data.attrs["note"])
    fig.legend(loc="outside upper center", ncols=2, title=over_seeds(data), title_fontsize=7)
    return fig


def variants(ax: Axes, rows: np.ndarray, data: xr.Dataset, name: str, look: dict) -> None:
    """{name}_... (run): a dot in each row, over the range of the seeds."""
    for row, run in zip(rows, data.run.values, strict=True):
        one = data.sel(run=run)
        colour = style.colour(str(one["method"].values))
        low, middle, high = (float(one[f"{name}_{part}"]) for part in ("low", "median", "high"))
        high = HIGHEST if np.isnan(high) else high  # a seed is lost
        ax.hlines(row, low, high, color=colour, alpha=0.35, linewidth=2.2)
        ax.plot(middle, row, color=colour, **DOT | look)
