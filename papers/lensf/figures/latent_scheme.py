"""Filtering in the latent space of two encoders: the scheme, drawn from real data."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures import maps
from papers.lensf.figures.latents import METHOD, codec_of

CODES = "PiYG"  # colours of latents, which have no unit
CODE_RANGE = 2.0  # standard normal numbers lie mostly within
SHEET = (plotting.PAGE, 4.55)  # inches
MAP, LEFT, RIGHT, HIGH, LOW = 1.3, 0.55, 5.68, 2.75, 0.72  # of the maps, in inches
ENCODER, DECODER = "#e3eef7", "#fbe9dc"
ANALYSIS = "#eef3e6"
CELL = 0.152  # of a code, in inches


def scheme_data(scores: xr.Dataset) -> xr.Dataset:
    """forecast, observed, analysis and truth (y, x) of the first time shown, and their latents.

    Until the first analysis the forecast is the free run, which stands for it. code_forecast and
    code_analysis, of the run shown, are drawn where the scores hold them and are NaN otherwise;
    code_obs and code_state are of the true state and of its observation.
    """
    run = maps.shown_run(scores, METHOD)
    if run is None:
        there = ", ".join(map(str, scores.shown_run.values)) or "none"
        raise ValueError(f"the scheme shows a run of {METHOD}, found {there}; add it to shown.runs")
    free = maps.shown_run(scores, "free") or run
    name, codec = maps.surface(scores), codec_of(scores, run)
    every = maps.maps_of(scores, "truth_shown", "mean_shown", "observed_shown")
    one = every.isel(shown_time=0, drop=True)
    fields = {
        "forecast": (one.mean_shown.sel(shown_run=free, drop=True), "mean of the forecast"),
        "observed": (one.observed_shown.sel(shown_run=run, drop=True), "observation"),
        "analysis": (one.mean_shown.sel(shown_run=run, drop=True), "mean of the analysis"),
        "truth": (one.truth_shown, "true field"),
    }
    data = {n: maps.described(v, one, name, text) for n, (v, text) in fields.items()}
    number = int(every.shown_time[0])
    for code in ("code_forecast", "code_obs", "code_analysis", "code_state"):
        data[code] = codes_at(scores, code, codec, number)
    error = maps.relative_error(scores, [free, run]).isel(shown_time=0, drop=True)
    data["relative_rmse"] = error.rename(shown_run="field").assign_coords(
        field=["forecast", "analysis"]
    )
    size = ("latent", "members")
    sizes = {n: ((), int(scores[n].sel(run=run)), {"units": "1", "long_name": n}) for n in size}
    return xr.Dataset(data | sizes).assign_coords(every.isel(shown_time=[0])[["at"]].coords)


@plotting.published
def scheme_figure(data: xr.Dataset) -> Figure:
    """Forecast and observation into latents, one filter step there, and back to a field."""
    width, height = SHEET
    fig = plotting.figure(width, height)
    fig.set_layout_engine("none")  # the sheet is laid out in inches
    paper = fig.add_axes((0, 0, 1, 1))
    paper.set_axis_off()
    paper.set_xlim(0, width)
    paper.set_ylim(0, height)
    fields(fig, data)
    coding(paper, data)
    step(paper, data)
    next_forecast(paper)
    legends(fig, paper, data)
    return fig


def fields(fig: Figure, data: xr.Dataset) -> None:
    """The four maps, on one scale."""
    width, height = SHEET
    colours = scale(data)
    members, first = int(data.members), "forecast" if int(data.shown_time[0]) == 1 else "free run"
    errors = dict(zip(data.field.values.tolist(), data.relative_rmse.values, strict=True))
    corners = {
        "forecast": (LEFT, HIGH, f"{first} $x_f$, mean of {members}"),
        "observed": (LEFT, LOW, "sparse observation $y$"),
        "analysis": (RIGHT, HIGH, "analysis $x_a = D(z_a)$"),
        "truth": (RIGHT, LOW, "truth $x$ (unknown)"),
    }
    for name, (left, low, text) in corners.items():
        ax = fig.add_axes((left / width, low / height, MAP / width, MAP / height))
        if name == "observed":
            maps.coloured(ax, data[name], MAP, **colours)
        else:
            maps.field(ax, data[name], **colours)
        maps.frame(ax, data.truth, left=left == LEFT, bottom=low == LOW)
        ax.set_title(text, fontsize=7.5, pad=3)
        if name in errors:
            maps.number(ax, errors[name])


def scale(data: xr.Dataset) -> dict:
    return maps.about_zero(data.truth, data.forecast, clipped=0.0)


def coding(ax: Axes, data: xr.Dataset) -> None:
    """Encoders, decoder, and the latents between them and the filter step."""
    up, down = HIGH + MAP / 2, LOW + MAP / 2
    trapezium(ax, 2.25, up, "$E$", "state\nencoder", ENCODER)
    trapezium(ax, 2.25, down, r"$E_\mathrm{obs}$", "observation\nencoder", ENCODER)
    trapezium(ax, 5.15, up, "$D$", "decoder", DECODER, opening=True)
    trapezium(ax, 5.15, down, "$E$", "in training", ENCODER, opening=True)
    code(ax, 2.74, up, data.code_forecast, "$z_f = E(x_f)$")
    code(ax, 2.74, down, data.code_obs, r"$z_\mathrm{obs} = E_\mathrm{obs}(y)$")
    code(ax, 4.62, up, data.code_analysis, "$z_a$")
    code(ax, 4.62, down, data.code_state, "$z = E(x)$")
    for y in (up, down):
        arrow(ax, (LEFT + MAP + 0.05, y), (2.05, y))
        arrow(ax, (2.43, y), (2.64, y))
    arrow(ax, (4.74, up), (4.95, up))
    arrow(ax, (5.33, up), (RIGHT - 0.05, up))
    pale = {"color": "#999999", "linestyle": (0, (3, 2))}
    arrow(ax, (RIGHT - 0.05, down), (5.35, down), **pale)
    arrow(ax, (4.95, down), (4.74, down), **pale)
    arrow(ax, (2.87, down), (4.5, down), **pale | {"arrowstyle": "<|-|>"})
    soft = {"ha": "center", "color": "#555555", "fontsize": 7}
    ax.text(3.68, down + 0.06, "matched in training", va="bottom", **soft)
    formula = r"$\min \,\Vert E(x) - E_\mathrm{obs}(y)\Vert^2$"
    ax.text(3.68, down - 0.07, formula, va="top", **soft)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **more: str) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 8, "linewidth": 1.0, "color": "#444444"}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **look | more))


def trapezium(
    ax: Axes, x: float, y: float, name: str, role: str, colour: str, opening: bool = False
) -> None:
    """A network that narrows to the right, or opens."""
    half, wide, thin = 0.17, 0.52, 0.26
    left, right = (thin, wide) if opening else (wide, thin)
    corners = [(x - half, y - left), (x + half, y - right), (x + half, y + right)]
    corners.append((x - half, y + left))
    ax.add_patch(Polygon(corners, facecolor=colour, edgecolor="#4a4a4a", linewidth=0.8))
    ax.text(x, y, name, ha="center", va="center", fontsize=9)
    ax.text(x, y - wide - 0.05, role, ha="center", va="top", fontsize=6.5, color="#555555")


def code(ax: Axes, x: float, y: float, values: xr.DataArray, name: str) -> None:
    """Components as a column of cells, grey where they are not kept."""
    norm, colours = Normalize(-CODE_RANGE, CODE_RANGE), plotting.mpl.colormaps[CODES]
    count = values.sizes["code"]
    top = y + count * CELL / 2 + 0.05
    for i, value in enumerate(values.values):
        known = np.isfinite(value)
        colour = colours(norm(value)) if known else "#ececec"
        corner = (x - CELL / 2, top - (i + 1) * CELL)
        ax.add_patch(
            Rectangle(corner, CELL, CELL, facecolor=colour, edgecolor="#6a6a6a", linewidth=0.5)
        )
    for i in range(3):  # the components that are not shown
        ax.plot([x], [top - count * CELL - 0.06 - 0.055 * i], ".", color="#6a6a6a", markersize=1.8)
    ax.text(x, top + 0.05, name, ha="center", va="bottom", fontsize=7.5)


def step(ax: Axes, data: xr.Dataset) -> None:
    """The filter step between the latents."""
    left, right, low, high = 3.02, 4.34, HIGH - 0.2, HIGH + MAP + 0.02
    shape = "round,pad=0,rounding_size=0.08"
    look = {"facecolor": ANALYSIS, "edgecolor": style.colour(METHOD), "linewidth": 1.1}
    ax.add_patch(FancyBboxPatch((left, low), right - left, high - low, boxstyle=shape, **look))
    middle, up = (left + right) / 2, HIGH + MAP / 2
    lines = (
        (0.62, "EnSF in latent space", 7.5),
        (0.36, r"$s = -\dfrac{z - \alpha_\tau z_f}{\beta_\tau^2}$", 7.5),
        (-0.02, r"$\quad +\,(1-\tau)\,\dfrac{z_\mathrm{obs} - z}{\hat\sigma^2}$", 7.5),
        (-0.34, r"$\mathrm{d}z = [f z - g^2 s]\,\mathrm{d}\tau + g\,\mathrm{d}\bar w$", 6.9),
        (-0.58, r"$\tau = 1 \to 0:\;\; z \to z_a$", 7.5),
    )
    for height, text, size in lines:
        weight = "bold" if height > 0.5 else "normal"
        place = {"ha": "center", "va": "center", "fontsize": size, "fontweight": weight}
        ax.text(middle, up + height - 0.06, text, **place)
    arrow(ax, (2.85, up), (left - 0.03, up))
    arrow(ax, (right + 0.03, up), (4.52, up))
    bend = {"connectionstyle": "angle,angleA=0,angleB=90,rad=5"}
    arrow(ax, (2.86, LOW + MAP / 2 + 0.42), (3.3, low - 0.03), **bend)


def next_forecast(ax: Axes) -> None:
    """The way of the analysis to the next forecast."""
    y, start, end, low = SHEET[1] - 0.12, RIGHT + MAP / 2, LEFT + MAP / 2, HIGH + MAP + 0.2
    soft = {"color": "#777777", "linewidth": 0.9, "linestyle": (0, (3, 2))}
    ax.plot([start, start, end, end], [low, y, y, low + 0.06], **soft)
    ax.plot([end], [low + 0.04], marker="v", markersize=4, color="#777777", markeredgewidth=0)
    text = r"next forecast of every member: $x_f \leftarrow M(x_a)$"
    box = {"facecolor": "white", "linewidth": 0, "pad": 2}
    place = {"ha": "center", "va": "center", "fontsize": 7, "color": "#555555", "bbox": box}
    ax.text((start + end) / 2, y, text, **place)


def legends(fig: Figure, paper: Axes, data: xr.Dataset) -> None:
    """Colour bars of the field and of the latents."""
    width, height = SHEET
    colours = scale(data)
    parts = (
        (2.35, Normalize(colours["vmin"], colours["vmax"]), maps.STATES, maps.quantity(data.truth)),
        (4.02, Normalize(-CODE_RANGE, CODE_RANGE), CODES, code_label(data)),
    )
    for left, norm, cmap, text in parts:
        ax = fig.add_axes((left / width, 0.36 / height, 1.15 / width, 0.07 / height))
        mappable = plotting.mpl.cm.ScalarMappable(norm, cmap)
        kind = {"extend": "both"} if cmap == CODES else {}
        bar = fig.colorbar(mappable, cax=ax, orientation="horizontal", **kind)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=6, pad=1)
        bar.set_label(text, fontsize=7, labelpad=1)


def code_label(data: xr.Dataset) -> str:
    count, latent = data.sizes["code"], int(data.latent)
    return f"latents, {count} of {latent}" if latent else "latents"


def codes_at(scores: xr.Dataset, name: str, codec: str | None, number: int) -> xr.DataArray:
    """(code,) of the first seed at one analysis; NaN where there are none."""
    attrs = {"units": "1", "long_name": name.replace("_", " ")}
    if codec is None or name not in scores:
        count = scores.sizes.get("code", 8)
        return xr.DataArray(np.full(count, np.nan), dims="code", attrs=attrs)
    values = scores[name].isel(seed=0, time=number - 1, drop=True)
    values = values.sel(codec=codec, drop=True)
    return xr.DataArray(values.values, dims="code", attrs=attrs)
