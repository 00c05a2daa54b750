"""Filters of Lorenz-96 of many sizes: errors, calibration and time against the size."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.fields import curve, heading, notes, shades
from papers.lensf.figures.selection import alike, summary, where

METHODS = ("ensf_ring", "letkf_ring")
LAST = 10  # analyses whose mean is shown
KINDS = (("-", "o"), ((0, (3, 1.5)), "s"), ((0, (1, 1.2)), "^"))  # of truth: dashes, marker
MEAN_ERRORS = ("rmse_last", "rmse_whole")
MEANS = {  # over which analyses, look of the markers
    "last": (f"last {LAST} analyses", {}),
    "whole": ("whole run", {"markerfacecolor": "white"}),
}
DOT = {"markersize": 3.8, "linewidth": 0.9}
STAR = {"linestyle": "none", "marker": "*", "markersize": 9, "markeredgewidth": 0.8, "zorder": 5}
SCORES = ("rmse", "spread", "coverage")


# -- data ------------------------------------------------------------------------------------------


def ring_data(scores: Mapping[str, xr.Dataset], rings: Mapping[str, Mapping]) -> xr.Dataset:
    """rmse_..., spread_..., coverage_... (run, analysis), and rmse_last_..., rmse_whole_... (run).

    Of EnSF and LETKF at the base of their case, in units of the state; calibrated_coverage (run) is
    the share that so few members cover at best.
    `published_last`, `published_whole` (run) are missing where nothing was published, and means
    where a run has so few analyses that it is still on its way to what others have reached.

    Args:
        scores: of each case, with `size`, the components of its state.
        rings: of a case, where there is something to say of it: `kind`, what its truth has that
            others have not, and `published`, {method: {last, whole: RMSE, and size, if another}}.
    """
    parts = [
        ring_of(one, case.partition("/")[0], method, rings.get(case.partition("/")[0], {}))
        for case, one in sorted(scores.items(), key=lambda item: size_of(item[1]))
        for method in METHODS
        if method in one["method"].values
    ]
    if not parts:
        raise ValueError(
            f"expected scores of {' or '.join(METHODS)}, found none in: {', '.join(scores)}"
        )
    data = xr.concat(parts, "run", join="outer", combine_attrs="override")
    done = data.rmse_median.notnull().sum("analysis")
    short = (done <= LAST) & (done.max() > LAST)  # the two means would be the same
    means = {name: data[name].where(~short) for name in data if name.startswith(MEAN_ERRORS)}
    return data.assign(means).assign_attrs(seeds=parts[0].attrs["seeds"], short=int(short.sum()))


def ring_of(scores: xr.Dataset, case: str, method: str, about: Mapping) -> xr.Dataset:
    """One method in one case, as a run of that name."""
    one = alike(scores, method).isel(run=0, drop=True)
    parts = {name: one[name] for name in SCORES}
    for name, values in (("last", one.rmse.isel(time=slice(-LAST, None))), ("whole", one.rmse)):
        parts[f"rmse_{name}"] = values.mean("time", skipna=False, keep_attrs=True)
    data = xr.Dataset(attrs={"seeds": one.sizes["seed"]})
    for name, values in parts.items():
        data = data.assign(summary(values.drop_vars(list(values.coords)), name))
    published = about.get("published", {}).get(method, {})
    for name, (text, _) in MEANS.items():
        attrs = {"units": "1", "long_name": f"published RMSE, {text}"}
        data[f"published_{name}"] = ((), float(published.get(name, np.nan)), attrs)
    size = float(published.get("size", size_of(scores)))
    attrs = {"units": "1", "long_name": "components of the state of the published RMSE"}
    data["published_size"] = ((), size, attrs)
    data = data.rename_dims(time="analysis")
    data = data.assign_coords(analysis=np.arange(1, one.sizes["time"] + 1))
    data["calibrated_coverage"] = (
        (),
        float(one.calibrated_coverage),
        one.calibrated_coverage.attrs,
    )
    data = data.expand_dims(run=[f"{case} {method}"])
    values = {"method": method, "size": size_of(scores), "kind": about.get("note", "")}
    return data.assign_coords({name: ("run", [value]) for name, value in values.items()})


def size_of(data: xr.Dataset) -> int:
    """Components of the state."""
    if "size" not in data.variables:
        raise ValueError(
            "expected a variable `size`, the number of components of the state, found "
            f"{', '.join(sorted(map(str, data.variables)))}; write it with the scores or times"
        )
    return int(data["size"])


def timing_data(timings: Sequence[xr.Dataset]) -> xr.Dataset:
    """seconds_... (size, method): median and range over repetitions of one analysis."""
    ordered = sorted(timings, key=size_of)
    parts = []
    for one in ordered:
        seconds = one.cpu_seconds.sel(part="analysis", drop=True)
        seconds = seconds.sel({"method": [m for m in METHODS if m in one["method"].values]})
        found = {"low": seconds.min, "median": seconds.median, "high": seconds.max}
        parts.append(xr.Dataset({f"seconds_{n}": of("repetition") for n, of in found.items()}))
    sizes = xr.DataArray([size_of(one) for one in ordered], dims="size", name="size")
    data = xr.concat(parts, sizes, join="outer", combine_attrs="override")
    for name in data.data_vars:
        data[name].attrs = {"units": "s", "long_name": f"{name.partition('_')[2]} of one analysis"}
    return data


# -- drawing ---------------------------------------------------------------------------------------


@plotting.published
def ring_figure(data: xr.Dataset) -> Figure:
    """Error, spread and coverage at each analysis, a shade for each size; error against size."""
    fig = plotting.figure(plotting.PAGE, 4.6)
    axes = fig.subplots(2, 2)
    for ax, name in zip((axes[0, 0], axes[1, 0], axes[1, 1]), SCORES, strict=True):
        for run in data.run.values:
            one = data.sel(run=run)
            parts = {f"{name}_{part}": part for part in ("low", "median", "high")}
            own = one[list(parts)].rename(parts).dropna("analysis", how="all")
            curve(ax, own.assign_attrs(seeds=data.attrs["seeds"]), **look_of(data, one))
        ax.set_xlabel("analysis")
        ax.set_xlim(left=1)
        ax.grid(axis="y")
    for ax, name, label in (
        (axes[0, 0], "rmse", "RMSE of the analysis"),
        (axes[1, 0], "spread", "spread of the analysis"),
    ):
        logarithmic(ax, data[f"{name}_low"].values, data[f"{name}_high"].values)
        ax.set_ylabel(label)
    for share in np.unique(data.calibrated_coverage.values):
        axes[1, 1].axhline(share, color=plotting.BLACK, linewidth=0.8)
    axes[1, 1].set_ylim(0, 1)
    axes[1, 1].set_ylabel("coverage of the members' interval")
    by_size(axes[0, 1], data)
    plotting.letter(axes.ravel())
    fig.legend(handles=entries(data), loc="outside right upper")
    return fig


def look_of(data: xr.Dataset, one: xr.Dataset) -> dict:
    """A colour for the method, its shade for the size, dashes for the kind of truth."""
    sizes = np.unique(data["size"].values).tolist()
    place = sizes.index(int(one["size"]))
    colour = shades(style.colour(str(one["method"].values)), len(sizes))[place]
    return {"colour": colour, "linestyle": kind_of(data, str(one.kind.values))[0]}


def kind_of(data: xr.Dataset, kind: str) -> tuple:
    """Dashes and marker of a kind of truth."""
    return KINDS[kinds(data).index(kind) % len(KINDS)]


def kinds(data: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(data.kind.values.tolist()))


def logarithmic(ax: Axes, low: np.ndarray, high: np.ndarray) -> None:
    """A logarithmic axis from the lowest to the highest finite value, with some room."""
    limits = float(np.nanmin(low)) / 1.15, float(np.nanmax(high)) * 1.15
    ax.set_yscale("log")
    ax.set_ylim(limits)
    plotting.plain(ax.yaxis, *limits)


def sizes_axis(ax: Axes, sizes: np.ndarray) -> None:
    """Components by factors, ticks at the sizes."""
    sizes = np.unique(sizes)
    ax.set_xscale("log")
    ax.set_xticks(sizes, [written(size) for size in sizes])
    ax.minorticks_off()
    ax.set_xlim(sizes[0] / 2, sizes[-1] * 2)
    ax.set_xlabel("components, $d$")


def by_size(ax: Axes, data: xr.Dataset) -> None:
    """Mean RMSE over the last analyses and over the whole run, with what was published."""
    groups = [(method, kind) for method in METHODS for kind in kinds(data)]
    for method, kind in groups:
        own = where(data, method=method, kind=kind).sortby("size")
        sizes, colour = own["size"].values, style.colour(method)
        for name, (_, look) in MEANS.items():
            low, middle, high = (
                own[f"rmse_{name}_{part}"].values for part in ("low", "median", "high")
            )
            ax.vlines(sizes, low, high, color=colour, alpha=0.35, linewidth=2.4)
            ax.plot(sizes, middle, color=colour, marker=kind_of(data, kind)[1], **DOT | look)
            values = own[f"published_{name}"].values
            ax.plot(own.published_size.values, values, color=colour, **STAR | look)
    shown = [
        values.values.ravel()
        for name, values in data.data_vars.items()
        if name.startswith(("rmse_l", "rmse_w", "published_l", "published_w"))
    ]
    there = data.published_size.values[data.published_last.notnull().values]
    logarithmic(ax, *2 * [np.concatenate(shown)])
    sizes_axis(ax, np.concatenate([data["size"].values, there]))
    ax.set_ylabel("mean RMSE")
    ax.grid(axis="y")


def entries(data: xr.Dataset) -> list[Line2D]:
    """The legend: sizes by method, kinds of truth, and the marks of panel (b)."""
    found = []
    for method in (m for m in METHODS if m in data["method"].values):
        own = where(data, method=method)
        found.append(heading(style.label(method)))
        for size in np.unique(own["size"].values):
            colour = look_of(data, where(own, size=size).isel(run=0))["colour"]
            found.append(
                Line2D([], [], color=colour, linewidth=1.8, label=f"$d$ = {written(size)}")
            )
    for kind in filter(None, kinds(data)):
        dashes, marker = kind_of(data, kind)
        look = {"color": plotting.GREY, "linestyle": dashes, "marker": marker}
        found.append(Line2D([], [], label=kind, **DOT | look))
    found += [heading(""), heading("mean RMSE in (b)")]
    for text, look in MEANS.values():
        found.append(Line2D([], [], color=plotting.GREY, label=text, marker="o", **DOT | look))
    if any(data[f"published_{name}"].notnull().any() for name in MEANS):
        found.append(Line2D([], [], color=plotting.GREY, label="published", **STAR))
    few = (
        [heading("(b) without the run of"), heading("few analyses")] if data.attrs["short"] else []
    )
    return [*found, heading(""), *notes(data), *few]


def written(size: int) -> str:
    """A power of ten as such."""
    power = np.log10(size)
    return f"$10^{{{power:.0f}}}$" if power >= 3 and power == round(power) else f"{size:g}"


@plotting.published
def timing_figure(data: xr.Dataset) -> Figure:
    """CPU seconds of one analysis, and microseconds for each component, against the size."""
    fig = plotting.figure(plotting.PAGE, 2.6)
    left, right = fig.subplots(1, 2)
    size = data["size"].values
    for method in data["method"].values:
        own = data.sel({"method": method})
        look = {"color": style.colour(str(method))}
        for ax, factor in ((left, np.ones(size.size)), (right, 1e6 / size)):
            low, middle, high = (
                own[f"seconds_{part}"].values * factor for part in ("low", "median", "high")
            )
            ax.vlines(size, low, high, alpha=0.35, linewidth=2.4, **look)
            ax.plot(size, middle, marker="o", label=style.label(str(method)), **DOT, **look)
    for ax, factor in ((left, 1.0), (right, 1e6 / size[:, None])):
        logarithmic(ax, data.seconds_low.values * factor, data.seconds_high.values * factor)
        sizes_axis(ax, size)
        ax.grid(axis="y")
    left.set_ylabel("CPU time of an analysis (s)")
    right.set_ylabel("CPU time for each component (µs)")
    plotting.letter([left, right])
    handles, names = left.get_legend_handles_labels()
    title = "median and range over repetitions"
    fig.legend(handles, names, loc="outside upper center", ncols=2, title=title, title_fontsize=7)
    return fig
