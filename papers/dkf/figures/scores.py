"""Scores of methods side by side."""

from collections.abc import Mapping
from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dalib import plotting
from dalib.scores import by_method
from papers.dkf import style
from papers.dkf.figures import curves

DOT = {"linestyle": "none", "marker": "o", "markersize": 4, "markeredgewidth": 0}
LABEL_WIDTH = 18  # letters in a line below a case
ROOT_MEAN_SQUARE = {"linestyle": (0, (3, 1.5))}
GOLDEN = (np.sqrt(5) - 1) / 2  # its multiples, modulo 1, never cluster


def strip(ax: Axes, place: float, values: np.ndarray, colour: str, width: float = 0.17) -> None:
    """Every value as a dot, side by side, and the median as a bar.

    What is not finite is a run that was lost: the worst in the median, and its share is written
    above.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    lost = np.isnan(values).mean()
    median = np.median(np.where(np.isnan(values), np.inf, values))
    values = np.unique(values[np.isfinite(values)])  # untrained: equal in all repeats
    beside = (np.arange(values.size) * GOLDEN) % 1 - 0.5
    ax.plot(place + width * beside, values, color=colour, alpha=0.55, **DOT | {"markersize": 2.2})
    ends = [place - 0.65 * width, place + 0.65 * width]
    ax.plot(ends, [median] * 2, color=plotting.BLACK, linewidth=1.4)
    if lost:
        across = ax.get_xaxis_transform()
        ax.text(
            place, 0.99, f"{lost:.0%} lost", transform=across, fontsize=6, ha="center", va="top"
        )


def folded(label: str) -> str:
    """The label in short lines, broken after commas where that will do."""
    parts = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in label.split(", ")]
    return fill(", ".join(parts), LABEL_WIDTH)


def cases(ax: Axes, data: xr.Dataset) -> None:
    """rmse (case, method, repeat, seed) of each filter, and obs_rmse (case, seed) as a level."""
    for i, case in enumerate(data.case.values):
        at = data.sel(case=case)
        at = at.isel(seed=np.isfinite(at.obs_rmse.values))  # other cases may have more seeds
        methods = [m for m in data.method.values if np.isfinite(at.rmse.sel({"method": m})).any()]
        for j, method in enumerate(methods):
            place = i + 0.25 * (j - (len(methods) - 1) / 2)
            strip(ax, place, at.rmse.sel({"method": method}).values, style.colour(method))
        level = float(at.obs_rmse.median())
        ax.plot([i - 0.4, i + 0.4], [level] * 2, color=plotting.GREY, linewidth=1, linestyle="--")
    ax.set_yscale("log")
    ticks = [0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10]
    ax.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_formatter("")
    low, high = float(data.rmse.min()), float(data.rmse.max())
    ax.set_ylim(low / 1.15, max(high, float(data.obs_rmse.max())) * 1.15)
    described = [folded(text) for text in data.description.values]
    ax.set_xticks(range(data.sizes["case"]), described)
    ax.set_xlim(-0.5, data.sizes["case"] - 0.5)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("RMSE of the analysis")
    ax.grid(axis="y")


def samplers(ax: Axes, data: xr.Dataset, variable: str) -> None:
    """A score (sampler, point, training) at each noise on the training states."""
    methods = data.sampler.values
    for i, method in enumerate(methods):
        values = data[variable].sel(sampler=method)
        place = np.arange(data.sizes["point"]) + 0.2 * (i - (len(methods) - 1) / 2)
        for one in values.transpose("training", "point").values:
            ax.plot(place, one, color=style.colour(method), **DOT)
    ax.set_xticks(range(data.sizes["point"]), [f"{s:g}" for s in data.noise_std.values])
    ax.set_xlim(-0.5, data.sizes["point"] - 0.5)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel(r"noise $\sigma_s$ on the training states")
    ax.grid(axis="y")


def level(ax: Axes, values: np.ndarray, text: str, below: bool = False) -> None:
    """A reference value for each position on the x axis, named at the last."""
    places = np.arange(len(values))
    ends = np.stack([places - 0.4, places + 0.4])
    ax.plot(ends, np.stack([values, values]), color=plotting.BLACK, linewidth=0.8)
    ax.annotate(
        text,
        (places[-1] + 0.4, values[-1]),
        xytext=(0, -2.5 if below else 2.5),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        fontsize=6.5,
    )


@plotting.published
def overview_figure(data: xr.Dataset) -> Figure:
    """All scores of a paper on filters, forecasts and samplers: one panel each."""
    fig = plotting.figure(plotting.PAGE, 5.2)
    axes = fig.subplot_mosaic([["filters"] * 3, ["lead", "w1", "nearest"]], height_ratios=[1.15, 1])
    cases(axes["filters"], data)
    curves.lead_curve(axes["lead"], data.median_error, "forecaster")
    curves.lead_curve(axes["lead"], data.rms_error, "forecaster", **ROOT_MEAN_SQUARE)
    axes["lead"].autoscale(axis="y")
    axes["lead"].set_ylim(bottom=0)
    axes["lead"].set_ylabel("error of the forecast")
    samplers(axes["w1"], data, "w1_ratio")
    level(axes["w1"], np.ones(data.sizes["point"]), "two true sets")
    axes["w1"].set_ylim(bottom=0)
    axes["w1"].set_ylabel("$W_1$, ratio to two true sets")
    samplers(axes["nearest"], data, "nearest_median")
    level(axes["nearest"], data.noisy_nearest_median.values, "noisy true states", below=True)
    axes["nearest"].set_yscale("log")
    axes["nearest"].set_ylabel("median distance to true states")
    plotting.letter(axes.values())
    axes["filters"].plot(
        [], [], color=plotting.GREY, linewidth=1, linestyle="--", label="observations"
    )
    style.LOOK.legend(
        axes["filters"], data.method.values, "lower right", ncols=4, bbox_to_anchor=(1, 1)
    )
    fig.legend(handles=below(data), loc="outside lower center", ncols=5)
    return fig


def below(data: xr.Dataset) -> list[Line2D]:
    """The legend of the lower panels: colours of methods, lines of their errors."""
    methods = [*data.forecaster.values.tolist(), *data.sampler.values.tolist()]
    lines = {"median error": {}, "root mean square": ROOT_MEAN_SQUARE}
    return [
        *(
            Line2D([], [], color=style.colour(m), linewidth=2.5, label=style.label(m))
            for m in methods
        ),
        *(Line2D([], [], color=plotting.BLACK, label=text, **look) for text, look in lines.items()),
    ]


def overview_data(
    analyses: Mapping[str, xr.Dataset],
    forecasts: xr.Dataset,
    samples: xr.Dataset,
    labels: Mapping[str, str],
) -> xr.Dataset:
    """What the overview shows, in one dataset.

    Args:
        analyses: {study: scores of filters}, in the order of the figure.
        forecasts, samples: scores of the studies of forecasters and of generators.
        labels: what distinguishes a study; one without a label goes by its name.
    """
    cases = list(analyses)
    names = xr.DataArray(cases, dims="case", name="case")
    shown = [
        by_method(scores[["rmse", "obs_rmse"]]).rename(case="seed", replicate="repeat")
        for scores in analyses.values()
    ]
    filters = xr.concat(shown, names, join="outer", combine_attrs="override")
    known = [m for m in style.LOOK.methods if m in filters.method]
    others = [m for m in filters.method.values if m not in known]
    text = {"units": "1", "long_name": "what distinguishes the case"}
    return xr.merge(
        [
            filters.sel({"method": known + others}),
            _forecasters(forecasts),
            _samplers(samples),
            xr.Dataset({"description": ("case", [labels.get(c, c) for c in cases], text)}),
        ]
    )


def _forecasters(scores: xr.Dataset) -> xr.Dataset:
    """median_error and rms_error (forecaster, repeat, lead): of the network, and from its start."""
    own = by_method(scores).sel({"method": "dkf", "method_noisy": "with noise"})
    own = own.rename(replicate="repeat")
    names = {"dkf": "", "equations": "equations_", "persistence": "persistence_"}
    found = {
        error: xr.concat([own[f"{prefix}{error}"] for prefix in names.values()], "forecaster")
        for error in ("median_error", "rms_error")
    }
    found = xr.Dataset(found).drop_vars(["method", "method_noisy"])
    return found.assign_coords(forecaster=list(names))


def _samplers(scores: xr.Dataset) -> xr.Dataset:
    """Scores (sampler, point, training), and those of noisy true states (point)."""
    names = {"method": "sampler", "method_noise_std": "point", "replicate": "training"}
    own = by_method(scores).rename(names)
    found = own[["nearest_median"]].assign(
        w1_ratio=(own.w1 / own.w1_floors.median()).assign_attrs(
            units="1", long_name="Wasserstein distance over that of two true sets"
        ),
        noisy_nearest_median=own.noisy_nearest_median.isel(sampler=0, training=0, drop=True),
    )
    noise = {"units": "1", "long_name": "noise on the training states"}
    return found.drop_vars("point").assign_coords(noise_std=("point", own.point.values, noise))
