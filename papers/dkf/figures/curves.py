"""Curves with their spread: learning, and error against lead time."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib import plotting
from papers.dkf import style


def learning_curve(ax: Axes, data: xr.Dataset) -> None:
    """training and held_out (repeat, check) against the training step."""
    plotting.band(ax, data.step, data.training, "repeat", plotting.BLACK, "training")
    plotting.band(
        ax,
        data.step,
        data.held_out,
        "repeat",
        plotting.GREEN,
        "validation",
        linestyle=(0, (3, 1.5)),
    )
    ax.margins(x=0.01)


@plotting.published
def learning_figure(data: xr.Dataset) -> Figure:
    """Learning curve, with the level part of it enlarged."""
    fig = plotting.figure(plotting.COLUMN, 2.6)
    ax = fig.add_subplot()
    learning_curve(ax, data)
    ax.set_xlabel("training step")
    ax.set_ylabel("−ELBO per time step (nats)")
    ax.grid(axis="y")
    if data.sizes["check"] > 10:  # long enough to have levelled
        learning_inset(ax.inset_axes((0.4, 0.36, 0.56, 0.5)), data)
    repeats = data.sizes["repeat"]
    note = f"median and range of {repeats} trainings" if repeats > 1 else "one training"
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title=note, title_fontsize=7)
    return fig


def learning_inset(ax: Axes, data: xr.Dataset) -> None:
    """The last two thirds of the curve, where it levels."""
    learning_curve(ax, data.isel(check=slice(data.sizes["check"] // 3, None)))
    ax.tick_params(labelsize=6)
    ax.grid(axis="y")
    ax.set_title("last two thirds", fontsize=7, pad=3)


def learning_data(scores: xr.Dataset, quantity: str = "negative_elbo") -> xr.Dataset:
    """training and held_out (repeat, check) of one method, with the step of each check."""
    own = scores.rename(replicate="repeat")
    return xr.Dataset(
        {
            "training": own[f"train_{quantity}"],
            "held_out": own[f"valid_{quantity}"],
            "step": ("check", own.check.values, {"units": "1", "long_name": "training step"}),
        }
    ).drop_vars(["check", "method"], errors="ignore")


def lead_curve(ax: Axes, score: xr.DataArray, by: str = "method", **line) -> None:
    """A score (by, [repeat,] lead) against lead time, every method in its colour."""
    for method in score[by].values:
        one = score.sel({by: method})
        one = one if "repeat" in one.dims else one.expand_dims("repeat")
        plotting.band(
            ax, score.lead, one, "repeat", style.colour(method), style.label(method), **line
        )
    ax.set_xlabel(plotting.quantity(score.lead, "lead time (model units)"))
    ax.set_ylabel(plotting.quantity(score, "median error of the forecast"))
    ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.grid(axis="y")
