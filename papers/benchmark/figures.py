"""Figures of the benchmark: forecasts of one start with skill of all, and error against lead."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib import io, plotting

NOISE = "observations_obs_std_relative"
COLOURS = {
    "persistence": "#9a9a9a",
    "climatology": "#c9a227",
    "analogue": "#8c564b",
    "nvar": "#1f77b4",
    "esn": "#2a9d55",
    "lstm": "#d1495b",
    "equations": "#000000",
}
SHOWN = 8.0  # Lyapunov times of a strip


def figures(inputs: Any, config: Mapping[str, Any]) -> Iterator[plotting.Drawn]:
    scores, labels = io.read(inputs.scores), config["plot"]["labels"]
    strips = strips_data(
        io.read_all(inputs.forecasts), io.read(inputs.truth), scores, config["forecast"]["context"]
    )
    yield plotting.Drawn(
        "fig1", strips, strips_figure(strips, labels), "forecasts of one start, and skill", ["x"]
    )
    errors = error_data(scores)
    yield plotting.Drawn("fig2", errors, error_figure(errors, labels), "error against lead time")


# -- data ----------------------------------------------------------------------------------------


def strips_data(
    forecasts: list[xr.Dataset], truth: xr.Dataset, scores: xr.Dataset, context: int
) -> xr.Dataset:
    """x (method, lead) of the first replicate at the base point from the first start, the truth
    there, and vpt_low, vpt, vpt_high (method, noise), quartiles over starts and replicates.
    """
    base = scores[NOISE].values[scores.is_base.values.nonzero()[0][0]]
    names = list(dict.fromkeys(scores.method.values.tolist()))
    strips = [strip for file in forecasts for strip in _strips(file, base)]
    unit = float(scores.lyapunov[0])
    lead = strips[0].lead.values
    true = truth.x.isel(seed=0, state=0).values[context + 1 : context + 1 + len(lead)]
    quantiles = {
        name: xr.concat([_quantile(scores, m, q) for m in names], "method")
        for name, q in (("vpt_low", 0.25), ("vpt", 0.5), ("vpt_high", 0.75))
    }
    text = {"units": "1", "long_name": "first component of the state"}
    return xr.Dataset(
        {
            "x": (("method", "lead"), np.stack([strip.values for strip in strips]), text),
            "truth": ("lead", true, text),
            **quantiles,
        },
        {
            "method": names,
            "lead": ("lead", lead * unit, {"units": "1", "long_name": "Lyapunov times"}),
        },
    )


def _strips(file: xr.Dataset, base: float) -> Iterator[xr.DataArray]:
    chosen = (file[NOISE] == base) & (file.replicate == 0)
    for i in chosen.values.nonzero()[0]:
        yield file.forecast.isel(run=i, member=0, case=0, state=0)


def _quantile(scores: xr.Dataset, method: str, q: float) -> xr.DataArray:
    """(noise) of VPT."""
    own = scores.vpt.isel(run=(scores.method == method).values.nonzero()[0])
    noises = sorted(set(own[NOISE].values.tolist()))
    values = [np.quantile(own.values[own[NOISE].values == noise], q) for noise in noises]
    attrs = {"units": "1", "long_name": f"{q:g} quantile of the valid prediction time"}
    share = {"units": "1", "long_name": "observation error as a share of the standard deviation"}
    return xr.DataArray(values, {"noise": ("noise", noises, share)}, ("noise",), attrs=attrs)


def error_data(scores: xr.Dataset) -> xr.Dataset:
    """error (method, noise, lead): the median NRMSE over starts and replicates."""
    names = list(dict.fromkeys(scores.method.values.tolist()))
    noises = sorted(set(scores[NOISE].values.tolist()))
    of = [
        [
            np.median(
                scores.nrmse.values[(scores.method == name) & (scores[NOISE] == noise)], (0, 1)
            )
            for noise in noises
        ]
        for name in names
    ]
    attrs = {"units": "1", "long_name": "median NRMSE"}
    share = {"units": "1", "long_name": "observation error as a share of the standard deviation"}
    lead = scores.lead.values * float(scores.lyapunov[0])
    return xr.Dataset(
        {"error": (("method", "noise", "lead"), np.array(of), attrs)},
        {
            "method": names,
            "noise": ("noise", noises, share),
            "lead": ("lead", lead, {"units": "1", "long_name": "Lyapunov times"}),
        },
    )


# -- drawing -------------------------------------------------------------------------------------


@plotting.published
def strips_figure(data: xr.Dataset, labels: Mapping[str, str]) -> Figure:
    """A strip for each method above the bars of all."""
    count = data.sizes["method"]
    fig = plotting.figure(plotting.PAGE, 0.42 * count + 2.3)
    grid = fig.add_gridspec(count + 1, 1, height_ratios=[*[1.0] * count, 4.2])
    shown = data.isel(lead=(data.lead <= SHOWN).values)
    above = None
    for i, name in enumerate(data.method.values.tolist()):
        above = fig.add_subplot(grid[i], sharex=above)
        _strip(above, shown.sel({"method": name}), labels.get(name, name), COLOURS.get(name, "C7"))
        above.tick_params(labelbottom=i == count - 1)
    above.set_xlabel("Lyapunov times after the start")
    _bars(fig.add_subplot(grid[-1]), data, labels)
    return fig


def _strip(ax: Axes, data: xr.Dataset, label: str, colour: str) -> None:
    ax.plot(data.lead, data.truth, color="#b5b5b5", linewidth=2.2)
    ax.plot(data.lead, data.x, color=colour, linewidth=1.0)
    low, high = float(data.truth.min()), float(data.truth.max())
    ax.set_yticks([])
    ax.set_xlim(0, float(data.lead.max()))
    ax.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
    crossed = float(data.vpt.isel(noise=0))
    if crossed < SHOWN:
        ax.axvline(crossed, color="#444444", linewidth=0.7, linestyle=(0, (2, 2)))
    ax.set_ylabel(label, rotation=0, ha="right", va="center")


def _bars(ax: Axes, data: xr.Dataset, labels: Mapping[str, str]) -> None:
    """VPT of every method, a bar for each level of noise, lighter with more of it."""
    names, noises = data.method.values.tolist(), data.noise.values.tolist()
    width, top = 0.8 / len(noises), _top(data)
    for i, noise in enumerate(noises):
        own = data.sel(noise=noise)
        place = np.arange(len(names)) + (i - (len(noises) - 1) / 2) * width
        low, high = own.vpt - own.vpt_low, own.vpt_high - own.vpt
        bars = ax.bar(place, own.vpt, width * 0.92, yerr=np.stack([low, high]), ecolor="#444444")
        for bar, name in zip(bars, names, strict=True):
            bar.set_color(COLOURS.get(name, "C7"))
            bar.set(alpha=1 - 0.35 * i, linewidth=0)
        for x, height in zip(place, own.vpt.values, strict=True):
            if height > top:
                ax.text(x + width, 0.97 * top, f"{height:.3g}, the horizon", va="top")
    ax.set_ylim(0, top)
    ax.set_xticks(range(len(names)), [labels.get(name, name) for name in names])
    ax.set_ylabel("valid prediction time\n(Lyapunov times)")
    text = ", ".join(f"{100 * noise:g} %" for noise in noises)
    ax.set_title(f"bars from left to right: observation error {text}", loc="left")
    ax.grid(axis="y")


def _top(data: xr.Dataset) -> float:
    """Where the axis of the bars ends: above the quartiles of all that err before the horizon."""
    high = data.vpt_high.where(data.vpt < 0.99 * float(data.lead.max()))
    return 1.1 * float(high.max()) if high.notnull().any() else 1.1 * float(data.vpt_high.max())


@plotting.published
def error_figure(data: xr.Dataset, labels: Mapping[str, str]) -> Figure:
    """Median error against lead time, a panel for each level of noise."""
    count = data.sizes["noise"]
    fig = plotting.figure(plotting.PAGE, 2.6)
    axes = fig.subplots(1, count, sharey=True, squeeze=False)[0]
    for ax, noise in zip(axes, data.noise.values.tolist(), strict=True):
        for name in data.method.values.tolist():
            error = data.error.sel({"method": name, "noise": noise})
            colour = COLOURS.get(name, "C7")
            ax.plot(data.lead, error.clip(min=1e-3), color=colour, label=labels.get(name, name))
        ax.axhline(0.4, color="#444444", linewidth=0.7, linestyle=(0, (2, 2)))
        ax.set(yscale="log", ylim=(1e-3, 3), xlabel="Lyapunov times")
        ax.set_title(f"observation error {100 * noise:g} %")
        ax.set_xlim(0, float(data.lead.max()))
        ax.grid(axis="y")
    axes[0].set_ylabel("median NRMSE")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    return fig
