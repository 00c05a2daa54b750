"""The figures of the paper: each function reads what its rule gives and draws."""

from collections.abc import Iterator, Mapping
from typing import Any

from dalib import io
from dalib.plotting import Drawn
from papers.lensf.figures import (
    animation,
    calibration,
    field_sweeps,
    fields,
    grids,
    latent_scheme,
    latents,
    maps,
    mitigations,
    ring,
    weather,
)
from papers.lensf.view import read, views, with_maps


def states(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Figures 1, 2, 4 and 10, examples, latents, weather and the animation."""
    scores = with_maps(
        read(given.basin),
        given.analyses,
        io.read(given.truth),
        io.read_all(given.observations),
        config["plot"]["shown"],
    )

    data = latent_scheme.scheme_data(scores)
    figure = latent_scheme.scheme_figure(data)
    yield Drawn("fig1", data, figure, "Figure 1: filtering in latent space", [*data.data_vars])

    data = maps.score_data(scores)
    figure = maps.score_figure(data)
    title = "Figure 2: state, sparse observation, and gradient of the log likelihood"
    yield Drawn("fig2", data, figure, title, ["observed"])

    data = maps.sparsity_data(scores)
    figure, missing = maps.sparsity_figure(data), ["mean", "observed", "relative_rmse"]
    yield Drawn("fig4", data, figure, "Figure 4: EnSF and sparse observations", missing)

    data = maps.examples_data(scores)
    figure = maps.examples_figure(data)
    yield Drawn("figS_examples", data, figure, "True and perturbed states", [*data.data_vars])

    data = latents.latents_data(scores)
    figure = latents.latents_figure(data)
    yield Drawn("figS_codes", data, figure, "Latents of states and of their observations")

    data = animation.animation_data(scores)
    moving, title = animation.animation(data), "Animation: truth, analysis, error"
    yield Drawn("animation", data, moving, title, ["analysis", "error"])

    scores = with_maps(
        read(given.weather),
        given.weather_analyses,
        io.read(given.weather_truth),
        io.read_all(given.weather_observations),
        config["plot"]["weather"],
    )

    data = weather.maps_data(scores)
    figure = weather.maps_figure(data)
    yield Drawn("fig10", data, figure, "Figure 10: weather at the last day", [*data.data_vars])

    data = weather.error_data(scores)
    figure, missing = weather.error_figure(data), ["median", "low", "high"]
    yield Drawn("figS_weather", data, figure, "Error of Z500 in time", missing)


def errors(given: Any, config: Mapping) -> Iterator[Drawn]:
    """Figures 5, 6, 13, 14, and ours: errors of filters against time and what is varied."""
    scores, validation = read(*given.basin), read(*given.validation or given.basin[:1])
    lost = ["median", "low", "high"]  # of runs that diverged
    means = ["mean_median", "mean_low", "mean_high"]

    data = fields.sparsity_data(scores)
    yield Drawn("fig5", data, fields.sparsity_figure(data), "Figure 5: error by sparsity", lost)

    for name, noise, said in (
        ("fig13", 0.0, "Figure 13: methods, no noise"),
        ("fig6", 0.1, "Figure 6: methods, noise 10 %"),
        ("fig14", 0.2, "Figure 14: methods, noise 20 %"),
    ):
        data = fields.methods_data(scores, noise=noise)
        yield Drawn(name, data, fields.methods_figure(data), said, lost)

    data = fields.members_data(scores)
    figure = fields.members_figure(data)
    yield Drawn("figS_members", data, figure, "EnSF by members", [*lost, *means])

    data = field_sweeps.latent_sizes_data(scores)
    figure = field_sweeps.latent_sizes_figure(data)
    yield Drawn("figS_latent_sizes", data, figure, "Error by number of latents", means)

    data = field_sweeps.interval_data(scores)
    figure = field_sweeps.interval_figure(data)
    yield Drawn("figS_interval", data, figure, "Error by interval of analyses", means)

    data = field_sweeps.tuning_data(scores)
    figure = field_sweeps.tuning_figure(data)
    missing = [*means, "place", "likelihood_std"]  # of what is there for comparison
    yield Drawn("figS_tuning", data, figure, "Error by settings of the score filter", missing)

    data = mitigations.mitigations_data(scores, validation)
    figure = mitigations.mitigations_figure(data)
    yield Drawn(
        "figS_remedies",
        data,
        figure,
        "Mitigations of the late error of Latent-EnSF",
        mitigations.MISSING,
    )

    data = calibration.calibration_data(scores)
    figure = calibration.calibration_figure(data)
    yield Drawn("figS_calibration", data, figure, "Ranks, spread and error", list(data))

    data = calibration.training_data(scores)
    figure = calibration.training_figure(data)
    yield Drawn("figS_training", data, figure, "Training of the codecs", list(data))

    data = grids.grids_data({"basin": scores} | views(given.tuned))
    yield Drawn(
        "figS_grids", data, grids.grids_figure(data), "Settings that were tried", list(data)
    )

    data = ring.ring_data(views(given.rings), config["rings"])
    figure = ring.ring_figure(data)
    missing = list(data)  # runs differ in length, and not all have published values
    yield Drawn("figS_ring", data, figure, "Lorenz-96: error, spread and coverage", missing)

    data = ring.timing_data(list(map(io.read, given.timings)))
    figure = ring.timing_figure(data)
    yield Drawn("timing_figS_ring", data, figure, "Lorenz-96: time", list(data))
