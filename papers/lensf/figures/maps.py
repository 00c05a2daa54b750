"""Maps of fields: truth, analyses, errors, and what sparse sensors see of them.

Scores of fields hold maps of the first seed at a few times (`truth_shown`, `mean_shown`,
`observed_shown`). A figure's own data are maps (..., y, x) in km or degrees, whose `shown_time` is
the number of the analysis, with its `hours` (or `days`) beside it.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import Locator, MaxNLocator, MultipleLocator

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures.selection import alike, where

STATES, ERRORS, ABOVE = "RdBu_r", "PuOr_r", "viridis"  # about zero, about zero, other
MISSING = "#d9d9d9"
SYMBOLS = {"eta": r"$\eta$", "u": "$u$", "v": "$v$"}
SECONDS = {
    **dict.fromkeys(("s", "second", "seconds"), 1.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
CLIPPED = 0.005  # share of the values of a figure that its colour scale leaves beyond its ends
ARROWS, SLOW = 12, 0.07  # arrows along each side of a map; share of a long one not drawn
DOTS = {"linestyle": "none", "marker": "o", "markeredgewidth": 0}


# -- what is shown ---------------------------------------------------------------------------------


def on_map(values: xr.Dataset | xr.DataArray) -> xr.Dataset | xr.DataArray:
    """Dimensions x and y last, as (..., y, x), both ascending and in km where they are in m.

    A latitude goes upward, also where it comes first and is called x.
    """
    if values.x.attrs["units"] == "degrees_north":
        values = values.rename(x="y", y="x")
    for name in ("x", "y"):
        if values[name].attrs["units"] == "m":
            attrs = {"units": "km", "long_name": values[name].attrs["long_name"]}
            values = values.assign_coords({name: (name, values[name].values / 1000, attrs)})
    return values.sortby(["y", "x"]).transpose(..., "y", "x")


def analyses(scores: xr.Dataset) -> np.ndarray:
    """Numbers of the analyses shown, from 1: those of `shown_time`, or of the times it names."""
    shown = scores.shown_time.values
    if shown.dtype.kind in "iu":
        return shown
    return 1 + abs(scores.time.values[None] - shown[:, None]).argmin(1)


def clock(time: xr.DataArray, unit: str = "h") -> xr.DataArray:
    """Times in hours ("h") or days ("d"); in steps or in units not known here as they are."""
    units = time.attrs["units"]
    if units not in SECONDS:
        return time
    attrs = {"units": unit, "long_name": "time"}
    return time.copy(data=time.values * (SECONDS[units] / SECONDS[unit])).assign_attrs(attrs)


def maps_of(scores: xr.Dataset, *names: str, unit: str = "h") -> xr.Dataset:
    """These variables of the scores as maps, labelled by the number of the analysis.

    Args:
        unit: of the time beside it.
    """
    numbers = analyses(scores)
    at = clock(scores.time, unit).values[numbers - 1]
    time = ("shown_time", at, clock(scores.time, unit).attrs)
    kept = {"shown_time", "shown_run", "variable", "unit", "x", "y"}
    maps = on_map(scores[list(names)])
    maps = maps.drop_vars([name for name in maps.coords if name not in kept])
    return maps.assign_coords(shown_time=numbers, at=time)


def described(values: xr.DataArray, scores: xr.Dataset, name: str, long_name: str) -> xr.DataArray:
    """The map of one variable, without the coordinate that named it, with its unit."""
    units = unit_of(scores, name, values)
    values = values.sel(variable=name).drop_vars(["variable", "unit"], errors="ignore")
    return values.assign_attrs(units=units, long_name=long_name, symbol=symbol(name))


def unit_of(scores: xr.Dataset, name: str, values: xr.DataArray) -> str:
    """The unit of a variable: in the coordinate `unit` where there is one, else of its values."""
    known = "unit" in scores.coords
    return str(scores.unit.sel(variable=name).item()) if known else values.attrs["units"]


def symbol(name: str) -> str:
    return SYMBOLS.get(name, name)


def surface(scores: xr.Dataset) -> str:
    """The variable of which there is one map: the surface where there is one, else the last."""
    names = scores.variable.values.tolist()
    return "eta" if "eta" in names else names[-1]


def usual_run(scores: xr.Dataset, method: str) -> str | None:
    """The run of a method at the base point, else its first; None where it has none."""
    there = where(scores, method=method).run.values.tolist()
    return next(iter(alike(scores, method).run.values.tolist() + there), None)


def shown_run(scores: xr.Dataset, method: str) -> str | None:
    """The run of a method whose maps are there: the usual one, else the first; or None."""
    shown = where(scores, method=method).run.values
    there = [run for run in scores.shown_run.values.tolist() if run in shown]
    usual = usual_run(scores, method)
    return usual if usual in there else next(iter(there), None)


def relative_error(scores: xr.Dataset, runs: Sequence[str]) -> xr.DataArray:
    """relative_rmse (shown_run, shown_time) of the first seed, whose maps are shown."""
    numbers = analyses(scores)
    error = scores.relative_rmse.sel(run=list(runs)).isel(seed=0, time=numbers - 1)
    return xr.DataArray(
        error.transpose("run", "time").values,
        dims=("shown_run", "shown_time"),
        coords={"shown_run": list(runs), "shown_time": numbers},
        attrs={"units": "1", "long_name": "relative RMSE of the analysis, first seed"},
    )


# -- drawing maps ----------------------------------------------------------------------------------


def about_zero(*maps: xr.DataArray, cmap: str = STATES, clipped: float = CLIPPED) -> dict:
    """Colours symmetric about zero, beyond which lies a share `clipped` of the finite values."""
    values = np.concatenate([abs(m.values[np.isfinite(m.values)]).ravel() for m in maps])
    top = float(np.quantile(values, 1 - clipped)) if values.size else 0.0
    return {"vmin": -top or -1.0, "vmax": top or 1.0, "cmap": cmap}


def above(*maps: xr.DataArray) -> dict:
    """Colours of values that have no zero among them."""
    values = np.concatenate([m.values[np.isfinite(m.values)].ravel() for m in maps])
    low, high = np.quantile(values, (CLIPPED, 1 - CLIPPED)) if values.size else (0.0, 1.0)
    return {"vmin": float(low), "vmax": float(high), "cmap": ABOVE}


def field(ax: Axes, values: xr.DataArray, **colours) -> AxesImage:
    """A map (y, x), each point a cell; what is not finite is grey."""
    ax.set_facecolor(MISSING)
    ax.spines[:].set_visible(False)
    values = values.transpose("y", "x")
    return ax.imshow(
        np.where(np.isfinite(values.values), values.values, np.nan),
        origin="lower",
        aspect="equal",
        interpolation="nearest",
        extent=extent(values),
        **colours,
    )


def extent(values: xr.DataArray) -> tuple[float, float, float, float]:
    """Outer edges of the cells of a map, each half a distance from its outermost points."""
    edges = []
    for name in ("x", "y"):
        points = values[name].values
        half = (points[-1] - points[0]) / max(1, len(points) - 1) / 2 or 0.5
        edges += [points[0] - half, points[-1] + half]
    return tuple(edges)


def sensors(observed: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and value of the points of a map that are not NaN."""
    rows, columns = np.nonzero(observed.notnull().transpose("y", "x").values)
    values = observed.transpose("y", "x").values[rows, columns]
    return observed.x.values[columns], observed.y.values[rows], values


def dots(ax: Axes, observed: xr.DataArray, width: float) -> None:
    """Sensors as dots on a map `width` inches wide; none where every point is one."""
    x, y, _ = sensors(observed)
    if 0 < len(x) < observed.sizes["x"] * observed.sizes["y"]:
        size = min(1.5, 0.3 * spacing(x, width))
        ax.plot(x, y, **DOTS, color=plotting.BLACK, markersize=size)


def coloured(ax: Axes, observed: xr.DataArray, width: float, **colours):
    """Sensors as squares in the colours of their values, all other points grey."""
    field(ax, observed * np.nan, **colours)
    x, y, values = sensors(observed)
    side = min(6.5, 0.62 * spacing(x, width))
    edge = {"edgecolors": "#777777", "linewidths": 0.25 if side > 3 else 0}
    return ax.scatter(x, y, c=values, s=side**2, marker="s", **edge, **colours)


def spacing(x: np.ndarray, width: float) -> float:
    """Distance of neighbouring sensors on a map `width` inches wide, in points."""
    return 72 * width / max(1, len(np.unique(x)))


def frame(ax: Axes, values: xr.DataArray, *, left: bool, bottom: bool, above: str = "") -> None:
    """Numbers and names along x and y where they are asked for, with `above` before that of y."""
    for name, side, there in (("x", "bottom", bottom), ("y", "left", left)):
        axis = getattr(ax, f"{name}axis")
        axis.set_major_locator(ticks(values[name]))
        ax.tick_params(axis=name, **{side: there, f"label{side}": there})
        text = place(values[name]) if there else ""
        axis.set_label_text(f"{above}\n{text}" if name == "y" and above else text)
    if bottom:
        inward(ax)


def inward(ax: Axes) -> None:
    """Numbers at the ends of the axis of x stay within their panel, clear of the next one's."""
    low, high = sorted(ax.get_xlim())
    marks = ax.xaxis.get_major_locator().tick_values(low, high)
    there = [float(tick) for tick in marks if low <= tick <= high]
    ax.set_xticks(there)
    for label, tick in zip(ax.get_xticklabels(), there, strict=True):
        edge = 0.06 * (high - low)
        if tick - low < edge or high - tick < edge:
            left = (tick - low < edge) != ax.xaxis_inverted()
            label.set_horizontalalignment("left" if left else "right")


def ticks(along: xr.DataArray) -> Locator:
    if along.attrs["units"].startswith("degree"):
        return MultipleLocator(90 if np.ptp(along.values) > 200 else 45)
    return MaxNLocator(3, steps=[1, 2, 4, 5, 10])


def place(along: xr.DataArray) -> str:
    """`x (km)`, or where it is one, `longitude (°E)`."""
    units = along.attrs["units"]
    if units.startswith("degree"):
        return {"x": "longitude (°E)", "y": "latitude (°N)"}[along.name]
    return f"${along.name}$" if units == "1" else f"${along.name}$ ({units})"


def quantity(values: xr.DataArray) -> str:
    """`eta (m)`."""
    name = values.attrs["symbol"]
    return name if values.attrs["units"] == "1" else f"{name} ({written(values.attrs['units'])})"


def written(units: str) -> str:
    """Units as they are read."""
    return units.replace("m2 s-2", "m²/s²").replace("m s-1", "m/s")


def bar(fig: Figure, image, axes, label: str, **kind) -> None:
    """A colour bar beside the panels it belongs to; pointed ends say that some lie beyond."""
    drawn = fig.colorbar(image, ax=axes, **{"pad": 0.015, "aspect": 28, **kind})
    drawn.set_label(label)
    drawn.outline.set_visible(False)
    drawn.ax.tick_params(labelsize=6.5)
    if drawn.orientation == "horizontal" and kind.get("aspect", 28) < 28:
        drawn.locator = MaxNLocator(4)  # of a short bar: numbers side by side
        drawn.update_ticks()


def ends(colours: dict, *maps: xr.DataArray) -> str:
    """Which ends of a colour bar values lie beyond."""
    low = any(bool((m < colours["vmin"]).any()) for m in maps)
    high = any(bool((m > colours["vmax"]).any()) for m in maps)
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[low, high]


def title(data: xr.Dataset, index: int) -> str:
    """`analysis 5 (1.2 h)` of one of the times shown; without a clock its number alone."""
    at, units = data["at"].values[index], data["at"].attrs["units"]
    when = {"h": f" ({short(at)} h)", "d": f" (day {at:.3g})"}.get(units, "")
    return f"analysis {int(data.shown_time[index])}{when}"


def short(value: float) -> str:
    """Two digits after the point, one from 1 on."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def sparsity(every: int) -> str:
    """`100x`: so many points for each sensor."""
    return f"{int(every) ** 2}x"


# -- figure 2: what the likelihood tells of --------------------------------------------------------


def score_data(scores: xr.Dataset) -> xr.Dataset:
    """truth, observed (NaN off sensors) and score (y, x) of the surface, and where score is zero.

    truth and observed are those of the first time shown; `zero_share` is the share of points at
    which the gradient of the log likelihood of the first observation is exactly zero.
    """
    name, run = surface(scores), shown_run(scores, "ensf") or scores.shown_run.values[0]
    maps = maps_of(scores, "truth_shown", "observed_shown", "likelihood_score").isel(shown_time=[0])
    observed = maps.observed_shown.sel(shown_run=run, drop=True).isel(shown_time=0, drop=True)
    truth = maps.truth_shown.isel(shown_time=0, drop=True)
    score = described(maps.likelihood_score, maps, name, "gradient of the log likelihood")
    score.attrs["units"] = maps.likelihood_score.attrs["units"]
    share = float((score == 0).mean())
    return xr.Dataset(
        {
            "truth": described(truth, maps, name, "true field"),
            "observed": described(observed, maps, name, "observation"),
            "score": score,
            "zero_share": ((), share, {"units": "1", "long_name": "share of zeros in score"}),
        }
    ).assign_coords(shown_time=maps.shown_time, at=maps["at"])


@plotting.published
def score_figure(data: xr.Dataset) -> Figure:
    """The surface, what sensors see of it, and where that pulls an analysis."""
    fig, width = plotting.figure(plotting.PAGE, 3.0), 2.05
    axes = fig.subplots(1, 3)
    states = about_zero(data.truth, clipped=0.0)
    end = ends(states, data.truth, data.observed)
    image = field(axes[0], data.truth, **states)
    coloured(axes[1], data.observed, width, **states)
    pulled = data.score.where(data.score != 0)
    errors = about_zero(pulled, cmap=ERRORS, clipped=0.0)
    pull = coloured(axes[2], pulled, width, **errors)
    name = data.truth.attrs["symbol"]
    count, points = int(data.observed.notnull().sum()), data.observed.size
    texts = (
        f"true {name}, {title(data, 0)}",
        f"observed, {count} of {points} points",
        f"score, exactly 0 at {percent(data.zero_share)}",
    )
    for i, (ax, text) in enumerate(zip(axes, texts, strict=True)):
        frame(ax, data.truth, left=i == 0, bottom=True)
        ax.set_title(f"({'abc'[i]}) {text}")
    below = {"location": "bottom", "shrink": 0.75, "pad": 0.03}
    bar(fig, image, list(axes[:2]), quantity(data.truth), extend=end, **below | {"aspect": 42})
    unit = data.score.attrs["units"]
    label = r"$\nabla \log p(y\,|\,x)$" + ("" if unit == "1" else f" ({unit})")
    bar(fig, pull, axes[2], label, extend=ends(errors, data.score), **below | {"aspect": 21})
    return fig


def percent(share: xr.DataArray) -> str:
    """Rounded so that no less than all is ever called 100 %."""
    value = 100 * float(share)
    return f"{np.floor(10 * value) / 10:.3g} %"


# -- figure 4: analyses by sparsity ----------------------------------------------------------------


def sparsity_data(scores: xr.Dataset, method: str = "ensf") -> xr.Dataset:
    """truth (shown_time, y, x), mean and observed (shown_run, ...) by increasing sparsity.

    The runs of the method shown that differ from its base in sparsity alone, with their `every`
    and relative_rmse (shown_run, shown_time).
    """
    own = alike(scores, method, "every", strict=True)
    kept = own["run"].isin(scores.shown_run.values).values
    own = own.isel(run=kept)
    runs, name = own.run.values.tolist(), surface(scores)
    maps = maps_of(scores, "truth_shown", "mean_shown", "observed_shown").sel(shown_run=runs)
    return xr.Dataset(
        {
            "truth": described(maps.truth_shown, maps, name, "true field"),
            "mean": described(maps.mean_shown, maps, name, "mean of the analysis"),
            "observed": described(maps.observed_shown, maps, name, "observation"),
            "relative_rmse": relative_error(scores, runs),
        },
        {"every": ("shown_run", own["every"].values), "method": method},
    )


@plotting.published
def sparsity_figure(data: xr.Dataset) -> Figure:
    """A row for the truth and for each sparsity, a column for each time."""
    rows, columns = 1 + data.sizes["shown_run"], data.sizes["shown_time"]
    fig, axes, width = sheet(rows, columns)
    colours = about_zero(data.truth)
    method = style.label(str(data["method"].values))
    for j in range(columns):
        image = field(axes[0, j], data.truth[j], **colours)
        axes[0, j].set_title(title(data, j), fontsize=7)
        for i in range(1, rows):
            field(axes[i, j], data["mean"][i - 1, j], **colours)
            dots(axes[i, j], data.observed[i - 1, j], width)
            number(axes[i, j], data.relative_rmse[i - 1, j])
    names = ["truth", *(f"{method}, {sparsity(k)}" for k in data["every"].values)]
    outer(axes, data.truth, names)
    label = quantity(data.truth)
    end = ends(colours, data.truth, data["mean"])
    bar(fig, image, axes, label, extend=end, shrink=min(1.0, 2.5 / rows), aspect=24)
    return fig


def sheet(rows: int, columns: int) -> tuple[Figure, np.ndarray, float]:
    """A figure with rows and columns of square maps, and the width of one in inches."""
    width = min(1.75, (plotting.PAGE - 1.55) / columns)
    fig = plotting.figure(width * columns + 1.55, (width + 0.05) * rows + 0.6)
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.005, hspace=0.005)
    return fig, fig.subplots(rows, columns, squeeze=False), width


def outer(axes: np.ndarray, values: xr.DataArray, names: Sequence[str]) -> None:
    """Numbers along the left and the lower maps, with the name of each row."""
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            name = names[i] if j == 0 else ""
            frame(ax, values, left=j == 0, bottom=i == len(axes) - 1, above=name)


def number(ax: Axes, value: xr.DataArray) -> None:
    """A number in the upper right corner of a map."""
    box = {"facecolor": "white", "alpha": 0.95, "linewidth": 0, "pad": 1.2}
    corner = {"transform": ax.transAxes, "ha": "right", "va": "top"}
    text = f"{float(value):.2f}" if value >= 0.1 else f"{float(value):.2g}"
    ax.text(0.97, 0.97, text, fontsize=6.5, bbox=box, **corner)


# -- examples of states ----------------------------------------------------------------------------


def examples_data(scores: xr.Dataset) -> xr.Dataset:
    """surface, east and north (source, shown_time, y, x): of the truth and of the free run.

    east and north are the components of the current; a free run that is not there is left out.
    """
    run, name = shown_run(scores, "free"), surface(scores)
    maps = maps_of(scores, "truth_shown", "mean_shown")
    sources = {"truth": maps.truth_shown}
    if run is not None:
        sources["free"] = maps.mean_shown.sel(shown_run=run, drop=True)
    both = xr.concat(list(sources.values()), xr.IndexVariable("source", list(sources)))
    both = both.assign_attrs(maps.truth_shown.attrs)
    data = {"surface": described(both, maps, name, "state")}
    if {"u", "v"} <= set(maps.variable.values):
        data["east"] = described(both, maps, "u", "eastward current")
        data["north"] = described(both, maps, "v", "northward current")
    return xr.Dataset(data)


@plotting.published
def examples_figure(data: xr.Dataset) -> Figure:
    """True states above, those of the free run below, with arrows of the current."""
    rows, columns = data.sizes["source"], data.sizes["shown_time"]
    fig, axes, _ = sheet(rows, columns)
    colours = about_zero(data.surface.sel(source="truth"))
    for j in range(columns):
        axes[0, j].set_title(title(data, j), fontsize=7)
        for i in range(rows):
            image = field(axes[i, j], data.surface[i, j], **colours)
    if "east" in data:
        currents(axes, data)
    names = ["truth", "perturbed"][:rows]
    outer(axes, data.surface, names)
    end = ends(colours, data.surface)
    bar(fig, image, axes, quantity(data.surface), extend=end, aspect=20, shrink=0.8)
    return fig


def currents(axes: np.ndarray, data: xr.Dataset) -> None:
    """Arrows at every so many points, all on one scale, with a key; none where hardly any flow."""
    every = max(1, -(-data.sizes["x"] // ARROWS))
    thin = data.isel(x=slice(every // 2, None, every), y=slice(every // 2, None, every))
    speed = np.hypot(thin.east, thin.north)
    finite = speed.values[np.isfinite(speed.values)]
    long = float(np.quantile(finite, 0.98)) if finite.any() else 1.0
    apart = float(thin.x[1] - thin.x[0]) if thin.sizes["x"] > 1 else 1.0
    look = {"units": "xy", "angles": "xy", "width": 0.085 * apart, "color": "#1a1a1a"}
    thin = thin.where(speed >= SLOW * long)
    for i, j in np.ndindex(axes.shape):
        one = thin.isel(source=i, shown_time=j)
        flow = (one[name].transpose("y", "x").values for name in ("east", "north"))
        arrows = axes[i, j].quiver(thin.x, thin.y, *flow, scale=long / (1.4 * apart), **look)
    key = float(f"{long:.0e}")
    text = f"{key:g} {data.east.attrs['units']}"
    anchor = {"coordinates": "figure", "labelpos": "E", "labelsep": 0.05}
    axes[-1, -1].quiverkey(arrows, 0.9, 0.05, key, text, fontproperties={"size": 7}, **anchor)
