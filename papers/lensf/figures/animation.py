"""An animation of gridded states: the truth, an analysis, and its error, analysis by analysis."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from dalib import plotting
from papers.lensf.figures import maps

FRAMES = 60  # at most
PER_SECOND = 6


class Gif(PillowWriter):
    """A writer of GIF whatever the name of the file; all frames share one palette."""

    def __init__(self) -> None:
        super().__init__(fps=PER_SECOND)

    def finish(self) -> None:
        """Colours of all frames are those of the two scales, and greys."""
        palette = self._frames[0].quantize(256)
        palette.putpalette(colours())
        first, *others = (frame.quantize(palette=palette, dither=0) for frame in self._frames)
        look = {"append_images": others, "duration": 1000 // PER_SECOND, "loop": 0}
        first.save(self.outfile, format="GIF", save_all=True, **look)


class Animation(FuncAnimation):
    """An animation that is saved as such a GIF, equal data to equal bytes."""

    def save(self, path: str | Path, writer: PillowWriter | None = None, dpi: int = 100) -> None:
        super().save(path, writer or Gif(), dpi=dpi)


def colours() -> list[int]:
    """256 times red, green and blue, 0 to 255."""
    parts = {"gray": 36, maps.STATES: 110, maps.ERRORS: 110}
    shades = [colormaps[name](np.linspace(0, 1, count))[:, :3] for name, count in parts.items()]
    return np.round(255 * np.concatenate(shades)).astype(int).ravel().tolist()


def animation_data(scores: xr.Dataset) -> xr.Dataset:
    """truth, analysis and error (frame, y, x) of the last variable, with number and time of each.

    Analyses that are not there are left out, and of more than FRAMES every so many are shown.
    """
    name = str(scores.variable.values[-1])
    both = maps.on_map(scores[["film_truth", "film"]])
    there = both.film.notnull().any(("y", "x")).values
    numbers = np.flatnonzero(there)[:: max(1, -(-int(there.sum()) // FRAMES))]
    if not len(numbers):
        raise ValueError("the animation has no analysis with a finite value; expected one at least")
    both, time = both.isel(time=numbers), maps.clock(scores.time).isel(time=numbers)
    both = both.drop_vars([n for n in both.coords if n not in ("x", "y")]).rename(time="frame")
    unit = {"units": maps.unit_of(scores, name, scores.film), "symbol": maps.symbol(name)}
    return xr.Dataset(
        {
            "truth": both.film_truth.assign_attrs(unit, long_name="true field"),
            "analysis": both.film.assign_attrs(unit, long_name="mean of the analysis"),
            "error": (both.film - both.film_truth).assign_attrs(unit, long_name="error"),
        },
        {"shown_time": ("frame", numbers + 1), "at": ("frame", time.values, time.attrs)},
    )


@plotting.published
def animation_figure(data: xr.Dataset, frame: int = 0) -> Figure:
    """One frame: truth, analysis and error, on scales that hold for all."""
    return _drawn(data, frame)[0]


@plotting.published
def animation(data: xr.Dataset) -> Animation:
    """The animation, frame by frame; `.save(path)` writes it."""
    fig, images, heading = _drawn(data, 0)
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # all frames are laid out as the first

    def show(frame: int) -> list:
        for name, image in images.items():
            image.set_data(data[name][frame].values)
        heading.set_text(maps.title(data, frame))
        return [*images.values(), heading]

    return Animation(fig, show, data.sizes["frame"], cache_frame_data=False)


def _drawn(data: xr.Dataset, frame: int) -> tuple[Figure, dict, object]:
    fig = plotting.figure(plotting.PAGE, 3.1)
    axes = dict(zip(("truth", "analysis", "error"), fig.subplots(1, 3), strict=True))
    states = maps.about_zero(data.truth)
    errors = maps.about_zero(data.error, cmap=maps.ERRORS)
    images = {
        name: maps.field(ax, data[name][frame], **(errors if name == "error" else states))
        for name, ax in axes.items()
    }
    for name, ax in axes.items():
        maps.frame(ax, data.truth, left=name == "truth", bottom=True)
        ax.set_title({"truth": "true", "analysis": "assimilated"}.get(name, name))
    below = {"location": "bottom", "shrink": 0.75, "pad": 0.03}
    both, symbol = [axes["truth"], axes["analysis"]], maps.quantity(data.truth)
    end = maps.ends(states, data.truth, data.analysis)
    maps.bar(fig, images["truth"], both, symbol, extend=end, **below | {"aspect": 42})
    end = maps.ends(errors, data.error)
    text = f"error of {symbol}"
    maps.bar(fig, images["error"], axes["error"], text, extend=end, **below | {"aspect": 21})
    return fig, images, fig.suptitle(maps.title(data, frame), fontsize=9)
