"""Figures 2, 3, 5, 8, 13 and 14: what learned filters make of one test trajectory."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import filtering

    given, made = snakemake.input, snakemake.output
    missing = ["observations"]
    orbit = io.read(given.orbit)

    data = filtering.shown_data(orbit)
    io.write(data, made.fig2_data, title="Figure 2: filtering in planes", missing=missing)
    io.write_figure(filtering.planes_figure(data), made.fig2_pdf, made.fig2_png)
    io.write(data, made.fig13_data, title="Figure 13: filtering in other planes", missing=missing)
    io.write_figure(
        filtering.planes_figure(data, filtering.OTHER_PLANES), made.fig13_pdf, made.fig13_png
    )

    data = filtering.likelihood_data(orbit)
    lost = [*data]  # where a trajectory starts anew there is no likelihood
    io.write(
        data,
        made.fig3_data,
        title="Figure 3: log-likelihood against the Kalman filter",
        missing=lost,
    )
    io.write_figure(filtering.likelihood_figure(data), made.fig3_pdf, made.fig3_png)
    io.write(data, made.fig14_data, title="Figure 14: terms of the log-likelihood", missing=lost)
    io.write_figure(filtering.terms_figure(data), made.fig14_pdf, made.fig14_png)

    data = filtering.maps_data(io.read(given.ring))
    io.write(data, made.fig5_data, title="Figure 5: filtering Lorenz-96", missing=missing)
    io.write_figure(filtering.maps_figure(data), made.fig5_pdf, made.fig5_png)

    data = filtering.abundances_data(io.read(given.species))
    io.write(data, made.fig8_data, title="Figure 8: filtering Lotka-Volterra", missing=missing)
    io.write_figure(filtering.abundances_figure(data), made.fig8_pdf, made.fig8_png)
