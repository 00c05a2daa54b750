"""Latents of states beside those of their sparse observations: how well two encoders match."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dalib import plotting
from papers.lensf import style
from papers.lensf.figures import maps
from papers.lensf.figures.fields import heading
from papers.lensf.figures.selection import ONLY

METHOD = "latent_ensf"  # whose codec is shown
STATE, OBSERVATION = r"$E(x)$", r"$E_\mathrm{obs}(y)$"


def codec_of(scores: xr.Dataset, run: str | None) -> str | None:
    """The codec with which a run was made, where its latents are there."""
    if run is None or "code_obs" not in scores:
        return None
    name = str(scores["model"].sel(run=run).item())
    return name if name in scores.codec.values else None


def latents_data(scores: xr.Dataset, shown: int = 3) -> xr.Dataset:
    """code_state and code_obs (codec, time, code) of the first seed, with and without matching.

    The codec of the run shown, and one that differs from it in the matching term alone, where
    there is one. `shown_code` numbers the components of each that vary most; `mismatch` is
    ||code_obs - code_state|| / ||code_state|| over times and components drawn.
    """
    names = matched_and_not(scores)
    both = scores[["code_state", "code_obs"]].sel(codec=names).isel(seed=0, drop=True)
    both = both.transpose("codec", "time", "code")
    both = both.drop_vars([n for n in both.coords if n not in ("codec", "time", "code")])
    order = np.argsort(-both.code_state.std("time").values, axis=-1, kind="stable")
    apart = ((both.code_obs - both.code_state) ** 2).sum(("time", "code"))
    mismatch = np.sqrt(apart / (both.code_state**2).sum(("time", "code")))
    attrs = {"units": "1", "long_name": "encoder discrepancy of the first seed"}
    return both.assign_coords(time=maps.clock(scores.time)).assign(
        shown_code=(
            ("codec", "shown"),
            order[:, :shown],
            {"units": "1", "long_name": "component that is drawn against time"},
        ),
        mismatch=mismatch.assign_attrs(attrs),
        matched=scores.codec_matched.sel(codec=names)
        .reset_coords(drop=True)
        .assign_attrs(units="1", long_name="1 with the matching term in training"),
    )


def matched_and_not(scores: xr.Dataset) -> list[str]:
    """The codec of the run shown (else the first matched), and its like without matching."""
    matched = scores.codec_matched.values.astype(bool)
    names = scores.codec.values
    own = codec_of(scores, maps.shown_run(scores, METHOD))
    own = own or str((names[matched] if matched.any() else names)[0])
    alike = ~matched & (names != own)
    for name in {"codec_every", "codec_noise", "codec_latent"} & set(scores.variables):
        alike &= scores[name].values == scores[name].sel(codec=own).item()
    return [own, *names[alike][:1].tolist()]


@plotting.published
def latents_figure(data: xr.Dataset) -> Figure:
    """A row for each codec: components against time, and all of them against each other."""
    rows, columns = data.sizes["codec"], data.sizes["shown"]
    fig = plotting.figure(plotting.PAGE, 0.55 + 1.6 * rows)
    grid = fig.add_gridspec(rows, columns + 1, width_ratios=[1.25] * columns + [1.15])
    reach = 1.05 * float(max(abs(data.code_state).max(), abs(data.code_obs).max()))
    for i in range(rows):
        axes = [fig.add_subplot(grid[i, j]) for j in range(columns + 1)]
        one = data.isel(codec=i)
        in_time(axes[:-1], one, lowest=i == rows - 1)
        against(axes[-1], one, reach, lowest=i == rows - 1)
        with_term = bool(one.matched)
        text = f"{'with' if with_term else 'without'} the\nmatching term\n\nlatent"
        axes[0].set_ylabel(text)
    entries, _ = axes[0].get_legend_handles_labels()
    if rows == 1:
        entries.append(heading(f"(without the matching term: {ONLY})"))
    fig.legend(handles=entries, loc="outside upper center", ncols=len(entries), handlelength=2.4)
    return fig


def in_time(axes: Sequence[Axes], data: xr.Dataset, *, lowest: bool) -> None:
    """Latents of the state and of the observation against time."""
    time = data.time.values
    for ax, number in zip(axes, data.shown_code.values, strict=True):
        state, seen = (data[name].sel(code=number).values for name in ("code_state", "code_obs"))
        ax.plot(time, state, color=plotting.BLACK, label=f"of the state, {STATE}")
        look = {"color": style.colour(METHOD), "linestyle": (0, (3, 1.2))}
        ax.plot(time, seen, **look, label=f"of its observation, {OBSERVATION}")
        ax.set_title(f"$z_{{{int(number) + 1}}}$", pad=3)
        ax.margins(x=0.02)
        ax.locator_params(nbins=4)
        ax.grid(axis="y")
        if lowest:
            ax.set_xlabel(plotting.quantity(data.time, "time"))
        else:
            ax.tick_params(labelbottom=False)


def against(ax: Axes, data: xr.Dataset, reach: float, *, lowest: bool) -> None:
    """All latents drawn, of all times: those of the observation against those of the state."""
    ax.axline((0, 0), slope=1, color=plotting.GREY, linewidth=0.7)
    pairs = (data[name].values.ravel() for name in ("code_state", "code_obs"))
    ax.plot(*pairs, **maps.DOTS, markersize=1.7, alpha=0.5, color=style.colour(METHOD))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_title(f"discrepancy {float(data.mismatch):.2g}", pad=3)
    ax.locator_params(nbins=4)
    ax.set_ylabel(OBSERVATION)
    if lowest:
        ax.set_xlabel(STATE)
    else:
        ax.tick_params(labelbottom=False)
