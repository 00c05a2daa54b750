"""The figures of the paper: each function reads what its rule gives and draws."""

from collections.abc import Iterator, Mapping
from typing import Any

from dalib import io
from dalib.plotting import Drawn
from papers.gpt.figures import attractors, losses, scheme, tokens

SYSTEMS = ("henon", "rossler", "lorenz")


def fig1(given: Any, config: Mapping) -> Iterator[Drawn]:
    """From a trajectory to tokens, to the next token, and back."""
    column = config["columns"][config["shown"]["lorenz"]]
    data = scheme.scheme_data(
        io.read(given.truth),
        io.read(given.codec),
        io.read(given.tokens),
        io.read_methods(given.forecasts)[column["generated"]],
    )
    title = "Figure 1: from a trajectory to tokens and back"
    yield Drawn("fig1", data, scheme.scheme_figure(data), title)


def fig2(given: Any, config: Mapping) -> Iterator[Drawn]:
    """A true trajectory of Lorenz-63 and one generated from its beginning."""
    column = config["columns"][config["shown"]["lorenz"]]
    data = tokens.trajectories_data(
        io.read(given.truth),
        io.read(given.tokens),
        io.read_methods(given.forecasts)[column["generated"]],
        config["settings"],
        length=500,  # ours: samples, of which the first are given
    )
    figure = tokens.trajectories_figure(data)
    yield Drawn("fig2", data, figure, "Figure 2: true and generated trajectory")


def fig3(given: Any, config: Mapping) -> Iterator[Drawn]:
    """How fast generated and simulated trajectories of Rössler part from the true."""
    data = tokens.distances_data(
        io.read(given.forecasts),
        io.read(given.codecs),
        io.read(given.codec),
        config["columns"][config["shown"]["rossler"]],
        config["settings"]["context"],
    )
    yield Drawn(
        "fig3",
        data,
        tokens.distances_figure(data),
        "Figure 3: mean distance between trajectories",
        missing=["difference"],  # the simulation is not repeated as the training is
    )


def figS(given: Any, config: Mapping) -> Iterator[Drawn]:  # noqa: N802
    """Ours: learning curves with their marks, and where the time is spent."""
    columns = config["columns"]
    data = losses.losses_data(
        io.read_methods(given.histories),
        io.read_scores(given.codecs),
        io.read_scores(given.forecasts),
        columns,
        config["table"],
        config,
    )
    yield Drawn(
        "figS1",
        data,
        losses.losses_figure(data),
        "Figure S1: learning curves",
        missing=["training", "held_out", "tokens_seen", "unseen"],  # lengths and repeats differ
    )
    data = attractors.gallery_data(
        {name: io.read(given[f"{name}_codec"]) for name in SYSTEMS},
        {name: io.read(given[f"{name}_tokens"]) for name in SYSTEMS},
        {name: io.read_methods(given[name]) for name in SYSTEMS},
        columns,
        config["shown"],
        planes={"henon": ("x", "y"), "rossler": ("x", "y"), "lorenz": ("x", "z")},
    )
    yield Drawn(
        "figS2",
        data,
        attractors.gallery_figure(data),
        "Figure S2: share of states in each cell",
        missing=["share"],  # a system may have fewer cells than another
    )
