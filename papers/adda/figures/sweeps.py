"""Errors of learned models against what is varied: medians and bands over repeats."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from dalib import plotting
from papers.adda import style

SWEEPS = {
    "start_variance": r"variance of initial models, $\sigma_0^2$",
    "obs_variance": r"variance of observation errors, $r$",
    "observed": r"observed share, $d_y/d_x$",
    "members": r"members, $N$",
    "samples": r"observation times, $T$",
    "size": r"components, $d_x$",
    "rank": r"rank, $p$",
}
MARKERS = {
    "var3d_k": "v",
    "var3d_c": "s",
    "enkf": "o",
    "ens3dvar": "D",
    "letkf": "^",
    "start": ".",
}
ENSEMBLES = ("enkf", "ens3dvar")
BY_FACTORS = ("members", "obs_variance")  # what is varied over more than a decade
LINE = {"markersize": 3.4, "markeredgewidth": 0}
SHARES = (  # a colour and mark for each share of observed components, the same method
    (plotting.SKY, "v"),
    (plotting.GREEN, "s"),
    (plotting.BLACK, "o"),
    (plotting.PURPLE, "D"),
    (plotting.ORANGE, "^"),
)
BAND = (0.2, 0.8)
NOT_RUN = "not run at this scale"


class Panel(NamedTuple):
    """A score against a sweep; `label` is what stands at the axis, `title` above the panel."""

    scores: xr.Dataset
    metric: str
    sweep: str
    label: str
    title: str = ""
    methods: Sequence[str] = style.LEARNED
    logarithm: bool = False  # show the natural logarithm of the score, not a logarithmic axis


# -- which panels the figures have -----------------------------------------------------------------


def orbit_panels(scores: xr.Dataset) -> list[Panel]:
    """Clohessy-Wiltshire: error of the rate."""
    return [
        Panel(scores, "error", sweep, r"MAE of the orbital rate")
        for sweep in ("start_variance", "obs_variance")
    ]


def ring_panels(scores: xr.Dataset, sizes: Sequence[xr.Dataset]) -> list[Panel]:
    """Lorenz-96: error of a forecast. sizes: scores at different sizes."""
    by_size, scores = sized(sizes, ["error"]), with_own(scores, "letkf", "observed")
    return [
        Panel(of, "error", sweep, "forecast-RMSE")
        for of, sweep in ((by_size, "size"), (scores, "start_variance"), (scores, "observed"))
    ]


def with_own(scores: xr.Dataset, method: str, sweep: str) -> xr.Dataset:
    """`error_by_<sweep>` with the places at which a method of a sweep of its own was run."""
    if f"error_by_{method}" not in scores:
        return scores
    own = scores[f"error_by_{method}"].sel({"method": [method]})
    own = own.rename({f"{method}_{sweep}": sweep}).reindex({sweep: scores[sweep]})
    both = scores[f"error_by_{sweep}"].drop_sel({"method": method}, errors="ignore")
    both = xr.concat([both, own], "method", join="outer", combine_attrs="override")
    return scores.drop_vars(f"error_by_{sweep}").assign({f"error_by_{sweep}": both})


def species_panels(scores: xr.Dataset, sizes: Sequence[xr.Dataset]) -> list[Panel]:
    """Lotka-Volterra: errors of interactions (first row) and of growth rates."""
    by_size = sized(sizes, ["mae_interactions", "mae_growth"])
    return [
        Panel(of, metric, sweep, label, logarithm=True)
        for metric, label in (
            ("mae_interactions", r"$\ln$ MAE of $A$"),
            ("mae_growth", r"$\ln$ MAE of $r$"),
        )
        for of, sweep in ((by_size, "size"), (scores, "observed"), (scores, "samples"))
    ]


def member_panels(orbit: xr.Dataset, ring: xr.Dataset, species: xr.Dataset) -> list[Panel]:
    """The ensemble methods against the number of members, in all three systems."""
    rows = (
        (orbit, "error", "MAE of the orbital rate", "Clohessy–Wiltshire", False),
        (ring, "error", "forecast-RMSE", "Lorenz-96", False),
        (species, "mae_interactions", r"$\ln$ MAE of $A$", "Lotka–Volterra", True),
        (species, "mae_growth", r"$\ln$ MAE of $r$", "Lotka–Volterra", True),
    )
    return [
        Panel(of, metric, "members", label, title, ENSEMBLES, logarithm)
        for of, metric, label, title, logarithm in rows
    ]


def sized(scores: Sequence[xr.Dataset], metrics: Sequence[str]) -> xr.Dataset:
    """{metric}_by_size and start_{metric}_by_size from scores of systems, each with its `size`.

    A method that some sizes lack is missing there, and one that but a single one of several sizes
    has is left out: it says nothing of the size. The repeats must agree.
    """
    ordered = sorted(scores, key=lambda one: int(one["size"]))
    names = {n: f"{n}_by_size" for metric in metrics for n in (metric, f"start_{metric}")}
    times = {m: sum(m in one.method for one in ordered) for m in style.LEARNED}
    methods = [m for m, n in times.items() if n >= min(2, len(ordered))]
    parts = [one[list(names)].reindex({"method": methods}) for one in ordered]
    sizes = xr.DataArray([int(one["size"]) for one in ordered], dims="size", name="size")
    parts = [one.drop_vars("size", errors="ignore") for one in parts]
    both = xr.concat(parts, sizes, join="exact", combine_attrs="override")
    return both.rename(names)


# -- data ------------------------------------------------------------------------------------------


def sweep_data(panels: Sequence[Panel], band: tuple[float, float] = BAND) -> xr.Dataset:
    """median, low, high (panel, method, point) over repeats at place (panel, point).

    A repeat without a finite score is lost: it counts as the worst, and `lost` is the share of
    them; a quantile that falls on a lost repeat is missing. `methods` begin with `start`, the
    initial models. Where nothing was run, places are missing.

    Args:
        panels: in the order of the figure.
        band: the two quantiles.
    """
    parts = [_panel(panel, band) for panel in panels]
    most = max(part.sizes["point"] for part in parts)
    methods = [m for m in ("start", *style.LEARNED) if any(m in p.method for p in parts)]
    parts = [
        part.reindex({"method": methods}).pad(point=(0, most - part.sizes["point"]))
        for part in parts
    ]
    data = xr.concat(parts, "panel", combine_attrs="override")
    long_names = {
        "place": "value of what is varied",
        "median": "median over repeats",
        "low": f"{band[0]:g} quantile over repeats",
        "high": f"{band[1]:g} quantile over repeats",
        "lost": "share of repeats without a finite score",
    }
    for name, long_name in long_names.items():
        data[name].attrs = {"units": "1", "long_name": long_name}
    return data.assign_coords(
        label=("panel", [p.label for p in panels]),
        title=("panel", [p.title for p in panels]),
        sweep=("panel", [p.sweep for p in panels]),
        logarithm=("panel", [int(p.logarithm) for p in panels]),
    )


def _panel(panel: Panel, band: tuple[float, float]) -> xr.Dataset:
    name = f"{panel.metric}_by_{panel.sweep}"
    if name not in panel.scores:
        return summary(xr.DataArray(np.empty((0, 0, 0)), dims=DIMS), np.empty(0), band)
    scores = panel.scores[name]
    scores = scores.sel({"method": [m for m in panel.methods if m in scores.method]})
    start = f"start_{name}"
    if start in panel.scores:
        first = panel.scores[start].expand_dims(method=["start"])
        scores = xr.concat([first, scores], "method", join="outer", combine_attrs="override")
    places = panel.scores[panel.sweep].values.astype(float)
    scores = scores.rename({panel.sweep: "point"}).drop_vars("point").transpose(*DIMS)
    return summary(np.log(scores) if panel.logarithm else scores, places, band)


DIMS = ("method", "point", "repeat")


def summary(scores: xr.DataArray, places: np.ndarray, band: tuple[float, float]) -> xr.Dataset:
    """Quantiles and share of lost repeats of scores (method, point, repeat)."""
    values = np.where(np.isfinite(scores.values), scores.values, np.nan)
    there = np.isfinite(values).any(-1) if values.size else np.zeros(values.shape[:-1], bool)
    lost = np.isnan(values).mean(-1) if values.size else np.zeros(values.shape[:-1])
    found = {"median": 0.5, "low": band[0], "high": band[1]}
    dims = DIMS[:-1]
    coords = {"method": scores.method.values} if "method" in scores.coords else {"method": []}
    return xr.Dataset(
        {name: (dims, plotting.quantile(values, q)) for name, q in found.items()}
        | {"lost": (dims, np.where(there, lost, np.nan)), "place": ("point", places)},
        coords,
    )


# -- drawing ---------------------------------------------------------------------------------------


@plotting.published
def sweeps_figure(data: xr.Dataset, columns: int = 3, height: float = 2.1) -> Figure:
    """A panel for each sweep, in rows `height` inches high; one legend for all."""
    count = data.sizes["panel"]
    rows = -(-count // columns)
    fig = plotting.figure(plotting.PAGE, 0.3 + height * rows)
    axes = fig.subplots(rows, columns, squeeze=False)
    for ax in axes.ravel()[count:]:
        ax.remove()
    for first, row in zip(range(0, count, columns), axes, strict=True):
        group = data.isel(panel=slice(first, first + columns))
        same = len(set(group.label.values)) == 1
        for i, ax in enumerate(row[: group.sizes["panel"]]):
            one = group.isel(panel=i)
            panel(ax, one, limits(group if same else one))
            if i == 0 or not same:
                ax.set_ylabel(str(one.label.values))
            ax.tick_params(labelleft=i == 0 or not same)
    plotting.letter(axes.ravel()[:count])
    fig.align_ylabels(axes[:, 0])
    methods = [str(m) for m in data.method.values if run(data.sel({"method": m}))]
    fig.legend(handles=handles(methods), loc="outside upper center", ncols=max(1, len(methods)))
    return fig


def run(data: xr.Dataset) -> bool:
    """Whether there is anything to draw."""
    return bool(np.isfinite(data.low).any())


def panel(ax: Axes, data: xr.Dataset, limits: tuple[float, float]) -> None:
    """median, low, high (method, point) against place (point); initial models in grey behind."""
    ax.set_xlabel(SWEEPS[str(data.sweep.values)])
    ax.set_title(str(data.title.values))
    if not run(data):
        ax.text(0.5, 0.5, NOT_RUN, transform=ax.transAxes, ha="center", fontsize=7)
        ax.set(xticks=[], yticks=[])
        return
    logarithmic = not int(data.logarithm)
    if logarithmic:
        ax.set_yscale("log")
        plotting.plain(ax.yaxis, *limits)
    ax.set_ylim(limits)
    for method in data.method.values[::-1]:  # the first on top
        look = {"color": style.colour(method), "marker": MARKERS[str(method)]}
        curve(ax, data.sel({"method": method}), limits[1], **look)
    across(ax, np.sort(data.place.dropna("point").values), str(data.sweep.values))
    ax.grid(axis="y")


def curve(ax: Axes, data: xr.Dataset, top: float, **look) -> None:
    """The line of medians over its band; a quantile that is a lost run lies at the top."""
    there = np.isfinite(data.low.values)  # a method may have been run at some of the places
    x, low, middle, high = (data[n].values[there] for n in ("place", "low", "median", "high"))
    high, middle = (np.where(np.isnan(values), top, values) for values in (high, middle))
    ax.fill_between(x, low, high, color=look["color"], alpha=0.16, linewidth=0)
    if len(x) == 1:  # a band needs two points
        ends = [middle - low, high - middle]
        ax.errorbar(x, middle, ends, color=look["color"], linewidth=0.8, capsize=2)
    ax.plot(x, middle, **LINE, **look)


def limits(data: xr.Dataset) -> tuple[float, float]:
    """Of the axis: all bands, and some room."""
    shown = np.concatenate([data[n].values.ravel() for n in ("low", "median", "high")])
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    if int(data.logarithm.values.ravel()[0]):
        room = 0.06 * (high - low) or 0.5
        return low - room, high + room
    room = (high / low) ** 0.06 if high > low else 1.5
    return low / room, high * room


def across(ax: Axes, places: np.ndarray, sweep: str) -> None:
    """The axis of what is varied, by factors where it is `BY_FACTORS`; ticks, not too close."""
    if sweep in BY_FACTORS:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    where = np.log(places) if sweep in BY_FACTORS else places
    kept = [0]
    for i in range(1, len(where)):
        if where[i] - where[kept[-1]] >= 0.13 * np.ptp(where):
            kept.append(i)
    ax.set_xticks(places[kept], [f"{place:g}" for place in places[kept]])
    ax.margins(x=0.04)


def handles(methods: Sequence[str]) -> list[Line2D]:
    """What a legend shows of methods: colour and mark."""
    return [
        Line2D([], [], color=style.colour(m), marker=MARKERS[m], label=style.learned(m), **LINE)
        for m in methods
    ]


# -- ranks -----------------------------------------------------------------------------------------


LOW_RANK = "low_rank"  # the method whose rank is varied


def rank_data(scores: xr.Dataset, band: tuple[float, float] = BAND) -> xr.Dataset:
    """median, low, high, lost (observed, rank), start_... (rank), and mflop (observed, rank).

    Args:
        scores: error_by_rank (method, rank, rank_observed, repeat), mflop_by_rank without the
            repeats and start_error_by_rank without the methods.
    """
    names = ["error_by_rank", "start_error_by_rank", "mflop_by_rank"]
    scores = scores[names].sel({"method": LOW_RANK}).rename(rank_observed="observed")
    error = scores.error_by_rank.transpose("observed", "rank", "repeat")
    start = scores.start_error_by_rank.isel(observed=0, drop=True).transpose("rank", "repeat")
    parts = {"": error, "start_": start}
    names = {"median": 0.5, "low": band[0], "high": band[1]}
    data = xr.Dataset(coords={n: scores[n] for n in ("observed", "rank")})
    for prefix, values in parts.items():
        for name, q in names.items():
            text = f"{'error of initial models' if prefix else 'error'}, {q:g} quantile"
            found = plotting.quantile(values.values, q)
            data[prefix + name] = (
                values.dims[:-1],
                found,
                {"units": "1", "long_name": text},
            )
    data["mflop"] = scores.mflop_by_rank.transpose("observed", "rank")
    return data


@plotting.published
def rank_figure(data: xr.Dataset) -> Figure:
    """Error and cost of a covariance of low rank, a line for each share of observed components."""
    fig = plotting.figure(plotting.PAGE, 2.6)
    left, right = fig.subplots(1, 2)
    shown = np.concatenate([data[n].values.ravel() for n in ("low", "high", "start_low")])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    top = float(max(shown.max(), np.nanmax(data.start_high.values, initial=0.0))) * 1.1
    left.set_yscale("log")
    left.set_ylim(float(shown.min()) / 1.1, top)
    plotting.plain(left.yaxis, *left.get_ylim())
    first = data[["start_median", "start_low", "start_high"]]
    first = first.rename({name: name.removeprefix("start_") for name in first.data_vars})
    curve(left, first.assign(place=data["rank"]), top, color=plotting.GREY, marker=".")
    for observed, (colour, marker) in zip(data.observed.values, SHARES, strict=False):
        one = data.sel(observed=observed).assign(place=data["rank"])
        look = {"color": colour, "marker": marker}
        curve(left, one, top, **look)
        label = f"$d_y/d_x = {float(observed):g}$"
        right.plot(one.place, one.mflop, label=label, **LINE, **look)
    left.set_ylabel("forecast-RMSE")
    right.set_ylabel("MFLOP of one update")
    right.set_ylim(0, 1.1 * float(data.mflop.max()))
    right.ticklabel_format(axis="y", scilimits=(-2, 5), useMathText=True)
    for ax in (left, right):
        across(ax, data["rank"].values, "rank")
        ax.set_xlabel(SWEEPS["rank"])
        ax.grid(axis="y")
    plotting.letter([left, right])
    lines = [*handles(["start"]), *right.get_legend_handles_labels()[0]]
    fig.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return fig
