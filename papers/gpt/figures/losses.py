"""How well the next token is predicted: learning curves beside what the loss cannot pass."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from dalib import plotting
from papers.gpt import style
from papers.gpt.runs import select

MARK = {"linewidth": 0.9, "zorder": 1}
LONG_NAMES = {
    "training": "loss on watched training windows, in nats",
    "validation": "loss on validation windows, in nats",
    "tokens_seen": "training tokens seen",
    "order1": "conditional entropy given one token, in nats",
    "order2": "conditional entropy given two tokens, in nats",
    "floor": "largest Lyapunov exponent times the sampling interval, in nats",
    "unseen": "share of generated transitions that training never shows",
}


@plotting.published
def losses_figure(data: xr.Dataset) -> Figure:
    """A learning curve for each model, and the transitions that training never shows."""
    panels = data.sizes["model"] + 1
    rows = -(-panels // 3)
    fig = plotting.figure(plotting.PAGE, 0.35 + 2.05 * rows)
    axes = fig.subplots(rows, 3, squeeze=False).ravel()
    for ax in axes[panels:]:
        ax.remove()
    for ax, model in zip(axes, data.model.values, strict=False):
        learning(ax, data.sel(model=model))
    for ax in axes[: panels - 1 : 3]:
        ax.set_ylabel("loss of the next token (nats)")
    unseen(axes[panels - 1], data)
    plotting.letter(axes[:panels])
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=len(names))
    return fig


def learning(ax: Axes, data: xr.Dataset) -> None:
    """training and validation (repeat, check) of one model, with its references."""
    seen = data.tokens_seen.dropna("check")
    own = data.isel(check=slice(seen.sizes["check"]))
    millions = seen / 10.0 ** _power(float(seen.max()))
    marks = {
        "Markov chain, order 1": (data.order1, style.colour("markov"), "--"),
        "order 2": (data.order2, style.colour("markov"), ":"),
        "entropy rate": (data.floor, plotting.BLACK, "-."),
    }
    for label, (value, colour, dashes) in marks.items():
        ax.axhline(float(value), color=colour, linestyle=dashes, label=label, **MARK)
    for name, said, colour, dashes in (
        ("training", "training", plotting.GREY, "-"),
        ("validation", "validation", style.colour("gpt"), (0, (3, 1.2))),
    ):
        lines = own[name].dropna("repeat", how="all")
        plotting.band(ax, millions, lines, "repeat", colour, f"GPT-2, {said}", linestyle=dashes)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.margins(x=0)
    ax.set_xlabel(f"training tokens seen ({_unit(float(seen.max()))})")
    ax.set_title(str(data.label.values), fontsize=8)
    ax.grid(axis="y")


def _power(largest: float) -> int:
    return 6 if largest >= 1e6 else 3


def _unit(largest: float) -> str:
    return {6: "millions", 3: "thousands"}[_power(largest)]


def unseen(ax: Axes, data: xr.Dataset) -> None:
    """unseen (model, repeat) in percent, with its median, a place for each model."""
    for i, model in enumerate(data.model.values):
        share = 100 * data.unseen.sel(model=model).dropna("repeat")
        dots = {"linestyle": "none", "marker": "o", "markersize": 4, "markeredgewidth": 0}
        ax.plot(np.full(share.size, i), share, color=style.colour("gpt"), **dots)
        if share.size:
            ax.annotate(
                f"{float(share.median()):.2g}",
                (i, float(share.max())),
                xytext=(0, 3),
                textcoords="offset points",
                fontsize=7,
                ha="center",
            )
    ax.set_xticks(range(data.sizes["model"]), [t.replace(", ", "\n") for t in data.label.values])
    ax.set_xlim(-0.6, data.sizes["model"] - 0.4)
    ax.margins(y=0.18)
    ax.set_ylim(bottom=0)
    ax.tick_params(axis="x", length=0, labelsize=6.5)
    ax.set_ylabel("unseen transitions, $T = 1$ (%)")
    ax.grid(axis="y")


def losses_data(
    scores: Mapping[str, xr.Dataset],
    columns: Mapping[str, Mapping],
    names: Sequence[str],
    network: Mapping,
) -> xr.Dataset:
    """training, validation (model, repeat, check) and tokens_seen (model, check), with references.

    order1, order2, floor (model) are entropies of the next token; unseen (model, repeat) is the
    share of generated transitions that training never shows, at T = 1. Columns whose model was not
    trained are left out; NaN is what a shorter training lacks.

    Args:
        scores: by study.
        columns: of the table, each with `label`, `study` and `cells`.
        names: of the columns, in their order.
        network: with `batch` and `context`, whose product is the tokens of an update.
    """
    update, found, shown = network["batch"] * network["context"], [], {}
    for name in names:
        column = columns[name]
        own = scores.get(column["study"])
        own = None if own is None else select(own, "gpt", column["cells"], 1.0)
        if own is None:
            continue
        shown[name] = column["label"]
        one = own.isel(run=0)
        entropy = one.entropy.drop_vars([n for n in one.entropy.coords if n != "order"])
        curves = own[["training_loss", "validation_loss"]].dropna("check", how="all")
        seen = update * curves.check.values.astype(float)
        training, validation = (_repeats(curves[n]) for n in ("training_loss", "validation_loss"))
        found.append(
            xr.Dataset(
                {
                    "training": training,
                    "validation": validation,
                    "tokens_seen": ("check", seen),
                    "order1": entropy.sel(order=1, drop=True),
                    "order2": entropy.sel(order=2, drop=True),
                    "floor": float(one.entropy_rate),
                    "unseen": _repeats(own.unseen_bigram_share),
                }
            ).assign_coords(check=np.arange(len(seen)))
        )
    models = xr.DataArray(list(shown), dims="model", name="model")
    data = xr.concat(found, models, join="outer", combine_attrs="override")
    for name, long_name in LONG_NAMES.items():
        data[name].attrs = {"units": "1", "long_name": long_name}
    return data.assign_coords(label=("model", list(shown.values())))


def _repeats(values: xr.DataArray) -> xr.DataArray:
    """(run, ...) -> (repeat, ...), numbered and without other labels."""
    plain = values.drop_vars([name for name in values.coords if name not in values.dims])
    return plain.rename(run="repeat").assign_coords(repeat=np.arange(values.sizes["run"]))
