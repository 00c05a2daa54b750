"""The figures of the paper: each function reads what its rule gives and draws."""

from collections.abc import Iterator, Mapping
from typing import Any

from dalib import io
from dalib.plotting import Drawn
from papers.adda.figures import filtering, sweeps, tuned


def errors(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Figures 1, 4, 7, 9 and 11: errors of learned models against what is varied."""
    orbit, ring, species = io.read(given.orbit), io.read(given.ring), io.read(given.species)
    missing = ["median", "low", "high", "lost", "place"]  # sweeps differ, and runs may be lost

    data = sweeps.sweep_data(sweeps.orbit_panels(orbit), band=(0.25, 0.75))  # stated
    figure = sweeps.sweeps_figure(data, 2, 2.4)
    yield Drawn("fig1", data, figure, "Figure 1: error of the orbital rate", missing)

    data = sweeps.sweep_data(
        sweeps.ring_panels(ring, io.read_scores(given.ring_sizes).values()),
    )
    figure = sweeps.sweeps_figure(data)
    yield Drawn("fig4", data, figure, "Figure 4: forecast error, Lorenz-96", missing)

    sizes = io.read_scores(given.species_sizes).values()
    data = sweeps.sweep_data(sweeps.species_panels(species, sizes))
    figure = sweeps.sweeps_figure(data)
    yield Drawn("fig7", data, figure, "Figure 7: errors, Lotka-Volterra", missing)

    data = sweeps.rank_data(ring)
    lost = ["median", "low", "high", "start_median", "start_low", "start_high"]
    figure = sweeps.rank_figure(data)
    yield Drawn("fig9", data, figure, "Figure 9: covariance of low rank", lost)

    data = sweeps.sweep_data(sweeps.member_panels(orbit, ring, species))
    figure = sweeps.sweeps_figure(data, 2)
    yield Drawn("fig11", data, figure, "Figure 11: number of members", missing)


def filters(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Figures 2, 3, 5, 8, 13 and 14: what learned filters make of one test trajectory."""
    orbit, missing = io.read(given.orbit), ["observations"]

    data = filtering.shown_data(orbit)
    figure = filtering.planes_figure(data)
    yield Drawn("fig2", data, figure, "Figure 2: filtering in planes", missing)
    figure = filtering.planes_figure(data, filtering.OTHER_PLANES)
    yield Drawn("fig13", data, figure, "Figure 13: filtering in other planes", missing)

    data = filtering.likelihood_data(orbit)
    lost = [*data]  # where a trajectory starts anew there is no likelihood
    figure = filtering.likelihood_figure(data)
    yield Drawn("fig3", data, figure, "Figure 3: log-likelihood against the Kalman filter", lost)
    figure = filtering.terms_figure(data)
    yield Drawn("fig14", data, figure, "Figure 14: terms of the log-likelihood", lost)

    data = filtering.maps_data(io.read(given.ring))
    figure = filtering.maps_figure(data)
    yield Drawn("fig5", data, figure, "Figure 5: filtering Lorenz-96", missing)

    data = filtering.abundances_data(io.read(given.species))
    figure = filtering.abundances_figure(data)
    yield Drawn("fig8", data, figure, "Figure 8: filtering Lotka-Volterra", missing)


def tuning(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Figures 6, 10 and 12: interactions, and learned tuning beside scans over it."""
    data = tuned.interactions_data(io.read(given.species))
    figure = tuned.interactions_figure(data)
    yield Drawn("fig6", data, figure, "Figure 6: interactions of 16 species")

    data = tuned.path_data(io.read(given.taper))
    figure = tuned.path_figure(data)
    yield Drawn("fig10", data, figure, "Figure 10: inflation and radius", ["rmse_grid"])

    data = tuned.scans_data(
        {
            "Lorenz-96": io.read(given.ring),
            "Lotka–Volterra": io.read(given.species),
            "Clohessy–Wiltshire": io.read(given.orbit),
        }
    )
    figure = tuned.scans_figure(data)
    yield Drawn("fig12", data, figure, "Figure 12: inflation and weight", [*data])
