"""What learned filters make of one test trajectory: states, errors, log-likelihoods."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from dalib import plotting
from papers.adda import style

NAMES = {  # what readers call components of the orbit
    "x": "$x_1$",
    "y": "$x_2$",
    "z": "$x_3$",
    "vx": "$v_1$",
    "vy": "$v_2$",
    "vz": "$v_3$",
}
PLANES = (("x", "z"), ("vx", "vz"))
OTHER_PLANES = (("y", "z"), ("vy", "vz"))
TRUTH = {"color": plotting.BLACK, "linewidth": 0.8, "linestyle": (0, (4, 1.5))}
PALE = {"color": plotting.BLACK, "linewidth": 2.2, "alpha": 0.3}
DOT = {"linestyle": "none", "marker": "o", "markeredgewidth": 0}
SEEN = DOT | {"color": "#b0b0b0", "markersize": 1.6}
ANALYSED = DOT | {"markersize": 1.5}
FAR = 5.0  # nats from which on a logarithmic axis is needed
WIDE = 2.5  # how many ranges of the truth a panel shows at most


def shown_data(shown: xr.Dataset) -> xr.Dataset:
    """truth and observations (time, state) and analysis (method, time, state) of one trajectory.

    Args:
        shown: truth x (time, state), y (time, obs) whose obs are names of components, NaN where
            not observed, and analysis (method, time, state); a method with NaN alone is left out.
    """
    names = [m for m in style.LEARNED if m in shown.method]
    shown = shown[["x", "y", "analysis"]].sel({"method": names})
    seen = shown.y.rename(obs="state").reindex(state=shown.state.values)
    there = np.isfinite(shown.analysis).any(("time", "state")).values
    return xr.Dataset(
        {
            "truth": shown.x.transpose("time", "state"),
            "observations": seen.transpose("time", "state"),
            "analysis": shown.analysis.isel(method=there).transpose("method", "time", "state"),
        }
    )


# -- planes ----------------------------------------------------------------------------------------


@plotting.published
def planes_figure(
    data: xr.Dataset, planes: Sequence[tuple[str, str]] = PLANES, names: dict = NAMES
) -> Figure:
    """A row for each plane of two components, a column for each method."""
    methods = data.method.values
    fig = plotting.figure(plotting.PAGE, 0.35 + 1.75 * len(planes))
    axes = fig.subplots(len(planes), len(methods), sharex="row", sharey="row", squeeze=False)
    for row, (right, up) in zip(axes, planes, strict=True):
        limits = [room(data, name) for name in (right, up)]
        for ax, method in zip(row, methods, strict=True):
            plane(ax, data.sel({"method": method}), right, up)
            ax.set_xlim(*limits[0])
            ax.set_ylim(*limits[1])
            outside(ax, data.analysis.sel({"method": method}), (right, up), limits)
            ax.set_xlabel(names.get(right, right), labelpad=1)
            ax.locator_params(nbins=4)
            ax.ticklabel_format(scilimits=(-2, 4), useMathText=True)
        row[0].set_ylabel(names.get(up, up))
    for ax, method in zip(axes[0], methods, strict=True):
        ax.set_title(style.learned(method))
    fig.align_ylabels(axes[:, 0])
    fig.legend(handles=marks(), loc="outside upper center", ncols=3)
    return fig


def plane(ax: Axes, data: xr.Dataset, right: str, up: str) -> None:
    """Observations and analyses of one method as dots, one for each time; the truth as a line.

    No line joins the analyses: those of a velocity that is not estimated jump from time to time,
    and chords would fill the panel.
    """
    values = {
        name: [data[name].sel(state=component).values for component in (right, up)]
        for name in ("observations", "truth", "analysis")
    }
    ax.plot(*values["observations"], **SEEN)
    ax.plot(*values["analysis"], **ANALYSED, color=style.colour(str(data.method.values)))
    ax.plot(*values["truth"], **TRUTH)


def room(data: xr.Dataset, name: str) -> tuple[float, float]:
    """Limits that show the truth, the observations, and of analyses what is not far away."""
    return near(*(data[n].sel(state=name) for n in ("truth", "observations", "analysis")))


def near(truth: xr.DataArray, *others: xr.DataArray) -> tuple[float, float]:
    """Limits that show the truth, and of the others what is not far away."""
    low, high = float(truth.min()), float(truth.max())
    far = (WIDE - 1) / 2 * ((high - low) or 1.0)
    together = np.concatenate([values.values.ravel() for values in (truth, *others)])
    together = together[(together >= low - far) & (together <= high + far)]
    margin = 0.05 * np.ptp(together) or 0.05 * far
    return float(together.min() - margin), float(together.max() + margin)


def outside(ax: Axes, analysis: xr.DataArray, names: tuple, limits: list) -> None:
    """Say which share of the times the panel does not show, where there is such."""
    inside = np.ones(analysis.sizes["time"], bool)
    for name, (low, high) in zip(names, limits, strict=True):
        values = analysis.sel(state=name).values
        inside &= (values >= low) & (values <= high)
    share = 1 - inside.mean()
    if share >= 0.005:
        text = f"{share:.0%} outside"
        place = {"transform": ax.transAxes, "ha": "right", "va": "top"}
        box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
        ax.text(0.99, 0.99, text, fontsize=6.5, bbox=box, **place)


def marks() -> list[Line2D]:
    """The legend of observations, truth and analysis, whose colour is the method's."""
    return [
        Line2D([], [], label="observations", **SEEN | {"markersize": 4}),
        Line2D([], [], label="truth", **TRUTH),
        Line2D(
            [],
            [],
            label="analysis (colour of the method)",
            color=plotting.BLUE,
            **ANALYSED | {"markersize": 4},
        ),
    ]


# -- heat maps -------------------------------------------------------------------------------------


def maps_data(shown: xr.Dataset, components: int = 50) -> xr.Dataset:
    """truth and observations (time, state), error (method, time, state), rmse (method).

    Args:
        shown: as for `shown_data`, with shown_rmse (method) of it.
        components: how many are shown, the first ones.
    """
    data = shown_data(shown).isel(state=slice(components))
    error = abs(data.analysis - data.truth)
    error.attrs = {
        "units": data.truth.attrs["units"],
        "long_name": "absolute error of the analysis",
    }
    rmse = shown.shown_rmse.sel({"method": data.method.values})
    return data.drop_vars("analysis").assign(error=error, rmse=rmse)


@plotting.published
def maps_figure(data: xr.Dataset) -> Figure:
    """Observations and truth on the left, errors of the methods beside, on one scale."""
    methods = data.method.values
    columns = -(-len(methods) // 2)
    fig = plotting.figure(plotting.PAGE, 3.9)
    axes = fig.subplots(2, 1 + columns, sharex=True, sharey=True, squeeze=False)
    scale = float(abs(data.truth).max())
    states = {"vmin": -scale, "vmax": scale, "cmap": "RdBu_r"}
    for ax, name in zip(axes[:, 0], ("observations", "truth"), strict=True):
        image = heat(ax, data[name], **states)
        ax.set_title(name)
        ax.set_ylabel("component")
    bar(fig, image, axes[:, 0], "state")
    errors = {"vmin": 0.0, "vmax": float(data.error.quantile(0.995)), "cmap": "magma_r"}
    others = axes[:, 1:].ravel()
    for ax, method in zip(others, methods, strict=False):
        one = data.sel({"method": method})
        image = heat(ax, one.error, **errors)
        ax.set_title(f"{style.learned(method)}, RMSE {float(one.rmse):#.2g}")
    for ax in others[len(methods) :]:
        ax.remove()
    bar(fig, image, list(others[: len(methods)]), "absolute error of the analysis", extend="max")
    for column in axes.T:  # the lowest panel that is left says what the axis is
        lowest = [ax for ax in column if ax.figure is not None][-1]
        lowest.set_xlabel(plotting.quantity(data.time, "time"))
        lowest.tick_params(labelbottom=True)
    return fig


def heat(ax: Axes, values: xr.DataArray, **colours):
    """values (time, state) with time to the right; what is missing is grey."""
    time, count = values.time.values, values.sizes["state"]
    step = (time[-1] - time[0]) / max(1, len(time) - 1)
    ax.set_facecolor("#d9d9d9")
    ax.spines[:].set_visible(False)
    return ax.imshow(
        values.transpose("state", "time").values,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(time[0] - step / 2, time[-1] + step / 2, 0.5, count + 0.5),
        **colours,
    )


def bar(fig: Figure, image, axes, label: str, **kind) -> None:
    """A colour bar below the panels it belongs to."""
    drawn = fig.colorbar(image, ax=axes, location="bottom", shrink=0.7, aspect=30, pad=0.02, **kind)
    drawn.set_label(label)
    drawn.outline.set_visible(False)


# -- abundances ------------------------------------------------------------------------------------


def abundances_data(shown: xr.Dataset, species: int = 10, times: int = 200) -> xr.Dataset:
    """The last `times` of `species` components evenly spread over all; error (method, time) of all.

    error is root mean square over the whole state, at all times.
    """
    data = shown_data(shown)
    error = np.sqrt(((data.analysis - data.truth) ** 2).mean("state"))
    error.attrs = {"units": data.truth.attrs["units"], "long_name": "RMSE over all species"}
    count = data.sizes["state"]
    kept = np.unique(np.linspace(0, count - 1, min(species, count)).round().astype(int))
    late = data.isel(state=kept, time=slice(-times, None)).rename(time="late")
    return late.assign(error=error, number=("state", kept + 1, _text("number of the species")))


@plotting.published
def abundances_figure(data: xr.Dataset) -> Figure:
    """A panel for each species; below, errors over all species in the whole time."""
    count = data.sizes["state"]
    rows = -(-count // 2)
    fig = plotting.figure(plotting.PAGE, 1.7 + 0.82 * rows)
    grid = fig.add_gridspec(rows + 1, 2, height_ratios=[*rows * [1], 1.7])
    axes = [fig.add_subplot(grid[i // 2, i % 2]) for i in range(count)]
    for i, ax in enumerate(axes):
        species(ax, data.isel(state=i))
        last = i + 2 >= count
        ax.set_xlabel(plotting.quantity(data.late, "time") if last else "")
        ax.tick_params(labelbottom=last)
        ax.set_ylabel("abundance" if i == (count - 1) // 4 * 2 else "")
    below = fig.add_subplot(grid[rows, :])
    errors(below, data)
    fig.align_ylabels([*axes[::2], below])
    lines = [
        Line2D([], [], label="observations", **SEEN | {"markersize": 4}),
        Line2D([], [], label="truth", **PALE),
        *(
            Line2D([], [], color=style.colour(m), label=style.learned(m))
            for m in data.method.values
        ),
    ]
    fig.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return fig


def errors(ax: Axes, data: xr.Dataset) -> None:
    """error (method, time) of all species on a logarithmic axis."""
    for method in data.method.values:
        one = data.error.sel({"method": method})
        ax.plot(data.time, one, color=style.colour(method), linewidth=0.9)
    ax.set_yscale("log")
    plotting.plain(ax.yaxis, *ax.get_ylim())
    ax.set_xlim(float(data.time[0]), float(data.time[-1]))
    ax.set_ylabel("RMSE of all")
    ax.set_xlabel(plotting.quantity(data.time, "time"))
    ax.grid(axis="y")


def species(ax: Axes, data: xr.Dataset) -> None:
    """observations, truth and analysis (method, late) of one species."""
    ax.plot(data.late, data.observations, **SEEN | {"markersize": 1.8})
    ax.plot(data.late, data.truth, **PALE)
    for method in data.method.values:
        estimate = data.analysis.sel({"method": method})
        ax.plot(data.late, estimate, color=style.colour(method), linewidth=0.8)
    shown = [data[name].values.ravel() for name in ("truth", "observations", "analysis")]
    shown = np.concatenate(shown)
    low, high = (float(end(shown[np.isfinite(shown)])) for end in (np.min, np.max))
    room = 0.05 * (high - low) or 0.5
    ax.set_ylim(low - room, high + room + 0.25 * (high - low))  # for the text
    ax.set_xlim(float(data.late[0]), float(data.late[-1]))
    ax.locator_params(axis="y", nbins=3)
    box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
    text = f"species {int(data.number)}"
    ax.text(0.01, 0.95, text, transform=ax.transAxes, fontsize=6.5, va="top", bbox=box)


def _text(long_name: str) -> dict[str, str]:
    return {"units": "1", "long_name": long_name}


# -- log-likelihoods -------------------------------------------------------------------------------


def likelihood_data(scores: xr.Dataset) -> xr.Dataset:
    """log_likelihood, half_log_det and half_misfit (method, time), each with its sign.

        l = - 1/2 log det S - 1/2 |e|^2_S

    Args:
        scores: log_det and misfit (method, time) of methods with a likelihood, and of `kalman`.
    """
    without = ("var3d_k",)  # its gain comes from no covariance
    names = [m for m in ("kalman", *style.LEARNED) if m in scores.log_det.method]
    names = [m for m in names if m not in without]
    both = scores[["log_det", "misfit"]].sel({"method": names})
    there = np.isfinite(both.log_det).any("time") & np.isfinite(both.misfit).any("time")
    both = both.isel(method=there.values)
    parts = {
        "log_likelihood": (-0.5 * (both.log_det + both.misfit), "log-likelihood of a time"),
        "half_log_det": (-0.5 * both.log_det, "its part from the determinant"),
        "half_misfit": (-0.5 * both.misfit, "its part from the innovation"),
    }
    return xr.Dataset({n: v.assign_attrs(_text(text)) for n, (v, text) in parts.items()})


@plotting.published
def likelihood_figure(data: xr.Dataset) -> Figure:
    """The log-likelihood of each method with that of the Kalman filter; below, its difference."""
    methods = [m for m in data.method.values if m != "kalman"]
    fig = plotting.figure(plotting.PAGE, 3.4)
    columns = [[m] for m in methods]
    axes = against(fig, [data.log_likelihood] * len(methods), columns)
    named(axes[0], [style.learned(m) for m in methods])
    axes[0, 0].set_ylabel(r"log-likelihood, $\ell_t$")
    axes[1, 0].set_ylabel(r"less that of the" "\n" "Kalman filter")
    likelihood_legend(fig, methods)
    return fig


@plotting.published
def terms_figure(data: xr.Dataset) -> Figure:
    """The part of the determinant for all, and that of the innovations method by method."""
    methods = [m for m in data.method.values if m != "kalman"]
    fig = plotting.figure(plotting.PAGE, 3.4)
    terms = [data.half_log_det, *[data.half_misfit] * len(methods)]
    axes = against(fig, terms, [methods, *([m] for m in methods)])
    axes[0, 0].set_ylabel(r"$-\log\,\det\,S_t\,/\,2$")
    axes[0, 1].set_ylabel(r"$-|e_t|^2_S\,/\,2$")
    axes[1, 0].set_ylabel(r"less that of the" "\n" "Kalman filter")
    named(axes[0], ["all methods", *(style.learned(m) for m in methods)])
    plotting.letter(axes[0])
    likelihood_legend(fig, methods)
    return fig


def named(axes: Sequence[Axes], names: Sequence[str]) -> None:
    """A name above each panel."""
    for ax, name in zip(axes, names, strict=True):
        ax.set_title(name)


def against(
    fig: Figure, terms: Sequence[xr.DataArray], columns: Sequence[Sequence[str]]
) -> np.ndarray:
    """Axes (2, column): terms (method, time) of some methods with the Kalman filter, differences.

    Neighbours that show the same term share its range.
    """
    axes = fig.subplots(2, len(columns), sharex=True, squeeze=False)
    for i, (term, methods) in enumerate(zip(terms, columns, strict=True)):
        (above, below), reference = axes[:, i], term.sel({"method": "kalman"})
        above.plot(term.time, reference, color="#a0a0a0", linewidth=0.9)
        for method in methods:
            one = term.sel({"method": method})
            look = {"color": style.colour(method), "linewidth": 0.55}
            above.plot(term.time, one, **look)
            below.plot(term.time, one - reference, **look)
        below.axhline(0, color="#a0a0a0", linewidth=0.9)
        apart = term.drop_sel({"method": "kalman"}) - reference
        for ax, values in ((above, term), (below, apart)):
            by_size(ax, values)
        below.set_xlabel(plotting.quantity(term.time, "time"))
        repeated = i > 0 and term is terms[i - 1]
        for ax in (above, below):
            ax.tick_params(labelleft=not repeated)
            ax.locator_params(axis="x", nbins=4)
    axes[0, 0].set_xlim(float(term.time[0]), float(term.time[-1]))
    fig.align_ylabels(axes[:, 0])
    return axes


def by_size(ax: Axes, values: xr.DataArray) -> None:
    """An axis that holds all values: linear within ±1 nat, logarithmic beyond where they go far.

    So that a filter which is off by thousands and one which is off by a tenth are both seen.
    """
    found = values.values[np.isfinite(values.values)]
    low, high = float(found.min()), float(found.max())
    if max(abs(low), abs(high)) <= FAR:
        room = 0.05 * (high - low) or 0.5
        ax.set_ylim(low - room, high + room)
        return
    ax.set_yscale("symlog", linthresh=1.0, linscale=1.0)
    ax.set_ylim(min(1.5 * low, -1.0), max(1.5 * high, 1.0))
    ax.yaxis.set_minor_locator(NullLocator())


def likelihood_legend(fig: Figure, methods: Sequence[str]) -> None:
    lines = [
        *(Line2D([], [], color=style.colour(m), label=style.learned(m)) for m in methods),
        Line2D([], [], color="#a0a0a0", label=style.label("kalman")),
    ]
    fig.legend(handles=lines, loc="outside upper center", ncols=len(lines))
