"""The figures of the poster: each function reads what its rule gives and draws."""

from collections.abc import Iterator, Mapping
from typing import Any

from dalib import io
from dalib.metrics import pointwise
from dalib.plotting import Drawn
from dalib.scores import by_method
from papers.dkf.figures import curves, phase, samples, scores, series


def fig1(given: Any, config: Mapping) -> Iterator[Drawn]:
    """A trajectory of Lorenz-63 in space."""
    data = phase.trajectory_data(io.read(given.truth))
    figure = phase.trajectory_figure(data)
    yield Drawn("fig1", data, figure, "Figure 1: trajectory of Lorenz-63")


def fig2a(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Learning curve of the deep Kalman filter."""
    scores = by_method(io.read(given.scores)).sel({"method": "dkf"})
    data = curves.learning_data(scores, "negative_elbo")
    yield Drawn("fig2a", data, curves.learning_figure(data), "Figure 2a: learning curve")


def fig2b(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Truth, observations and three filters on one test trajectory, then prediction."""
    names = ("ekf", "particle", "dkf")
    estimates = {name: io.read(given[name]).isel(run=0) for name in names}
    data = series.filters_data(
        io.read(given.truth),
        io.read(given.observations),
        estimates,
        length=10.0,  # ours: time units, the last 2.5 without observations
    )
    data["error"] = pointwise.error_norm(data.estimate, data.truth)
    figure, title = series.filters_figure(data), "Figure 2b: filters on one trajectory"
    yield Drawn("fig2b", data, figure, title, missing=["observations"])


def fig4(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Langevin samples converging to the attractor."""
    first = io.read(given.langevin).isel(run=0)  # at the base
    data = samples.levels_data(first, io.read(given.truth))
    figure = samples.levels_figure(data)
    yield Drawn("fig4", data, figure, "Figure 4: samples at falling noise levels")


def figS1(given: Any, config: Mapping) -> Iterator[Drawn]:  # noqa: N802
    """Ours: scores of filters, forecasts and samplers at a glance."""
    data = scores.overview_data(
        io.read_scores(given.analyses),
        io.read(given.forecasts),
        io.read(given.samples),
        config["plot"]["labels"],
    )
    figure = scores.overview_figure(data)
    yield Drawn("figS1", data, figure, "Figure S1: scores", missing=["rmse", "obs_rmse"])
