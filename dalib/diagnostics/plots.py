"""One plot for each diagnostic, of what its function gave."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dalib.plotting import (
    BLACK,
    BLUE,
    COLUMN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    figure,
    published,
    quantity,
)

HEIGHT = 2.6  # inches


def _axes(ax: Axes | None) -> Axes:
    return figure(COLUMN, HEIGHT).add_subplot() if ax is None else ax


def _one(found: xr.Dataset, *dims: str) -> xr.Dataset:
    """Refuse other dimensions than a panel shows."""
    others = [str(name) for name in found.dims if name not in dims]
    if others:
        raise ValueError(
            f"a panel shows the dimensions {dims}, found {others} too; choose one with "
            f"found.isel({others[0]}=0), or average before"
        )
    return found


@published
def plot_innovation_statistics(found: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Of each observation: mean with two standard errors, beside actual and expected spread."""
    axis = next(iter(found["mean"].dims))
    found, ax = _one(found, axis), _axes(ax)
    x = np.arange(found.sizes[axis])
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.bar(
        x,
        2 * found.expected_std,
        bottom=-found.expected_std,
        width=0.7,
        color=SKY,
        alpha=0.4,
        label="± expected standard deviation",
    )
    ax.errorbar(
        x,
        found["mean"],
        found["std"],
        fmt="none",
        ecolor=BLACK,
        elinewidth=0.8,
        capsize=2,
        label="± standard deviation",
    )
    ax.errorbar(
        x,
        found["mean"],
        2 * found.mean_error,
        fmt="o",
        color=VERMILION,
        markersize=3,
        elinewidth=2.0,
        label="mean, two standard errors",
    )
    _observations(ax, found, axis)
    if len(x) <= 12:
        names = found[axis].values if axis in found.coords else x
        pairs = zip(names, found.chi_square.values, strict=True)
        ax.set_xticks(x, [f"{name}\n{value:.2f}" for name, value in pairs])
        ax.set_xlabel("below each observation: mean $d^2/S$")
    ax.set_ylabel(quantity(found["mean"], "innovation"))
    _above(ax)
    return ax.figure


@published
def plot_desroziers(found: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Standard deviations of the errors of observations, forecasts and analyses."""
    axis = next(iter(found.obs_std.dims))
    ax = _axes(ax)
    x = np.arange(found.sizes[axis])
    looks = {"obs": (VERMILION, "o"), "forecast": (BLUE, "s"), "analysis": (ORANGE, "^")}
    for name, (colour, marker) in looks.items():
        label = {"obs": "observation"}.get(name, name)
        ax.plot(x, found[f"{name}_std"], marker, color=colour, markersize=4, label=label)
    _observations(ax, found, axis)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(quantity(found.obs_std, "standard deviation of errors"))
    _above(ax, ncols=3)
    return ax.figure


@published
def plot_spread_skill(found: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Error of the mean against spread, by classes of spread; on the diagonal if calibrated."""
    found, ax = _one(found, "bin"), _axes(ax)
    end = 1.08 * float(max(found.binned_spread.max(), found.binned_error.max()))
    ax.plot([0, end], [0, end], color=GREY, linewidth=0.6)
    ax.plot(
        found.binned_spread,
        found.binned_error,
        "o-",
        color=BLUE,
        markersize=3,
        label="classes of spread",
    )
    ax.plot(
        found.spread,
        found.error,
        "D",
        color=VERMILION,
        markersize=5,
        label=f"all, ratio {float(found.ratio):.2f}",
    )
    ax.set(
        xlim=(0, end),
        ylim=(0, end),
        xlabel=quantity(found.spread, "spread"),
        ylabel=quantity(found.error),
    )
    ax.legend(loc="upper left")
    return ax.figure


@published
def plot_rank_histogram(found: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Counts of ranks, and where 95 % of each would lie for a calibrated ensemble."""
    found, ax = _one(found, "rank"), _axes(ax)
    ranks, expected = found["rank"].values, float(found.expected)
    ax.bar(ranks, found.counts, width=0.9, color=SKY)
    around = 1.96 * np.sqrt(expected * (1 - 1 / len(ranks)))
    ax.axhspan(expected - around, expected + around, color=GREY, alpha=0.3, linewidth=0)
    ax.axhline(expected, color=BLACK, linewidth=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="members below the truth", ylabel="cases")
    ax.set_title(f"χ² = {float(found.chi_square):.1f}, p = {float(found.p_value):.2g}", loc="left")
    return ax.figure


@published
def plot_reliability(found: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Frequency against probability, larger where there are more cases."""
    found, ax = _one(found, "probability"), _axes(ax)
    p, size = found.probability, found.cases / found.cases.max()
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    climate = float((found.frequency * found.cases).sum() / found.cases.sum())
    ax.axhline(climate, color=GREY, linewidth=0.6, linestyle=":")
    ax.plot(p, found.frequency, color=BLUE, linewidth=0.8)
    ax.scatter(p, found.frequency, 4 + 40 * size, color=BLUE, zorder=3)
    ax.set(
        xlabel="share of members above the threshold",
        ylabel="frequency of truths above it",
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
    )
    parts = ("reliability", "resolution", "uncertainty")
    words = ", ".join(f"{name} {float(found[name]):.3f}" for name in parts)
    ax.set_title(words, loc="left", fontsize=6.5)
    return ax.figure


@published
def plot_crps_decomposition(found: xr.Dataset, ax: Axes | None = None) -> Figure:
    """CRPS of each group as a bar of its reliability and potential parts, with the uncertainty."""
    dims = list(found.crps.dims)
    found = found if dims else found.expand_dims("all")
    axis = dims[0] if dims else "all"
    found, ax = _one(found, axis), _axes(ax)
    x = np.arange(found.sizes[axis])
    ax.bar(x, found.potential, width=0.6, color=SKY, label="potential")
    ax.bar(
        x,
        found.reliability,
        width=0.6,
        bottom=found.potential,
        color=VERMILION,
        label="reliability",
    )
    ax.plot(x, found.uncertainty, "_", color=BLACK, markersize=18, label="uncertainty")
    _observations(ax, found, axis)
    if not dims:
        ax.set_xlim(-1.5, 1.5)
        ax.set_xticks([])
    ax.set_ylabel(quantity(found.crps))
    _above(ax, ncols=3)
    return ax.figure


@published
def plot_scores(found: xr.DataArray, dim: str = "time", ax: Axes | None = None) -> Figure:
    """A score along time, such as `energy_score` or `log_score`, with its mean."""
    others = [name for name in found.dims if name != dim]
    ax, series = _axes(ax), found.mean(others)
    ax.plot(found[dim].values, series, color=BLUE, linewidth=0.8)
    ax.axhline(float(series.mean()), color=VERMILION, linewidth=0.8)
    ax.set_title(f"mean {float(series.mean()):.3g}", loc="left")
    ax.set_ylabel(quantity(found))
    _times(ax, found[dim])
    return ax.figure


@published
def plot_error_autocorrelation(found: xr.DataArray, ax: Axes | None = None) -> Figure:
    """Autocorrelation against lag, the mean over what else there is, each of it in grey."""
    ax = _axes(ax)
    rows = found.transpose("lag", ...).values.reshape(found.sizes["lag"], -1)
    ax.axhline(0, color=GREY, linewidth=0.6)
    if rows.shape[1] > 1:
        ax.plot(found["lag"], rows[:, :50], color=GREY, linewidth=0.4, alpha=0.5)
    ax.plot(found["lag"], rows.mean(1), color=BLUE)
    ax.set(
        xlabel="lag (steps)", ylabel="autocorrelation of errors", xlim=(0, found.sizes["lag"] - 1)
    )
    return ax.figure


@published
def plot_mean_with_error(
    series: xr.DataArray, found: xr.Dataset, dim: str = "time", ax: Axes | None = None
) -> Figure:
    """A series and its mean, with two standard errors."""
    ax = _axes(ax)
    mean, error = float(found["mean"]), float(found["error"])
    ax.plot(series[dim].values, series, color=BLUE, linewidth=0.6)
    ax.axhspan(mean - 2 * error, mean + 2 * error, color=VERMILION, alpha=0.25, linewidth=0)
    ax.axhline(mean, color=VERMILION)
    size = float(found.effective_sample_size)
    ax.set_title(f"{mean:.3g} ± {error:.1g} from {size:.0f} independent values", loc="left")
    ax.set_ylabel(quantity(series))
    _times(ax, series[dim])
    return ax.figure


def _times(ax: Axes, time: xr.DataArray) -> None:
    if time.dtype.kind == "M":
        ax.tick_params("x", labelrotation=20)
    else:
        ax.set_xlabel(str(time.attrs.get("long_name", time.name)))


def _observations(ax: Axes, found: xr.Dataset, axis: Any) -> None:
    """Names of what stands along an axis, where they are few."""
    count = found.sizes[axis]
    if axis in found.coords and count <= 12:
        ax.set_xticks(np.arange(count), [str(name) for name in found[axis].values])
    else:
        ax.set_xlabel(str(axis))


def _above(ax: Axes, ncols: int = 1) -> None:
    """Legend above the panel."""
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.02), ncols=ncols, borderaxespad=0.0)
