"""The figures of the paper: each function reads what its rule gives and draws."""

from collections.abc import Iterator, Mapping
from typing import Any

from dalib import io
from dalib.plotting import Drawn
from papers.gpt.figures import attractors, losses, scheme, tokens
from papers.gpt.runs import Cells, base_cells

SYSTEMS = ("henon", "rossler", "lorenz")


def figures(given: Any, config: Mapping) -> Iterator[Drawn]:
    """From a trajectory to tokens and back; a trajectory and one generated from its beginning; how
    fast trajectories part from the true; ours: learning curves, and where the time is spent.
    """
    scores = io.read_scores(given.scores)
    truth = {name: io.read(given[f"{name}_truth"]) for name in SYSTEMS}
    forecasts = {name: io.read_all(given[name]) for name in SYSTEMS}
    of_lorenz = scores["lorenz_tokens"]
    lorenz = truth["lorenz"], Cells.of(of_lorenz, base_cells(of_lorenz)), forecasts["lorenz"]
    data = scheme.scheme_data(*lorenz, config["lorenz"])
    title = "Figure 1: from a trajectory to tokens and back"
    yield Drawn("fig1", data, scheme.scheme_figure(data), title)
    length = 500  # ours: samples, of which the first are given
    data = tokens.trajectories_data(*lorenz, config["lorenz"], length=length)
    figure = tokens.trajectories_figure(data)
    yield Drawn("fig2", data, figure, "Figure 2: true and generated trajectory")
    data = tokens.distances_data(scores["rossler_tokens"], config["rossler"]["context"])
    yield Drawn(
        "fig3",
        data,
        tokens.distances_figure(data),
        "Figure 3: mean distance between trajectories",
        missing=["difference"],  # the simulation is not repeated as the training is
    )
    data = losses.losses_data(
        scores, config["plot"]["columns"], config["plot"]["table"], config["gpt"]
    )
    yield Drawn(
        "figS1",
        data,
        losses.losses_figure(data),
        "Figure S1: learning curves",
        missing=["training", "validation", "tokens_seen", "unseen"],  # lengths and repeats differ
    )
    data = attractors.gallery_data(
        truth,
        {name: scores[f"{name}_tokens"] for name in SYSTEMS},
        forecasts,
        {
            column["study"].removesuffix("_tokens"): column["label"]
            for column in config["plot"]["columns"].values()
        },
        planes={"henon": ("x", "y"), "rossler": ("x", "y"), "lorenz": ("x", "z")},
    )
    yield Drawn(
        "figS2",
        data,
        attractors.gallery_figure(data),
        "Figure S2: share of states in each cell",
        missing=["share"],  # a system may have fewer cells than another
    )
