"""Figures 1, 4, 7, 9 and 11: errors of learned models against what is varied."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import sweeps

    given, made = snakemake.input, snakemake.output
    orbit, ring, species = io.read(given.orbit), io.read(given.ring), io.read(given.species)
    missing = ["median", "low", "high", "lost", "place"]  # sweeps differ, and runs may be lost

    data = sweeps.sweep_data(sweeps.orbit_panels(orbit), band=(0.25, 0.75))  # stated
    io.write(data, made.fig1_data, title="Figure 1: error of the orbital rate", missing=missing)
    io.write_figure(sweeps.sweeps_figure(data, 2, 2.4), made.fig1_pdf, made.fig1_png)

    sizes = io.read_scores(given.ring_sizes).values()
    data = sweeps.sweep_data(sweeps.ring_panels(ring, sizes))
    io.write(data, made.fig4_data, title="Figure 4: forecast error, Lorenz-96", missing=missing)
    io.write_figure(sweeps.sweeps_figure(data), made.fig4_pdf, made.fig4_png)

    sizes = io.read_scores(given.species_sizes).values()
    data = sweeps.sweep_data(sweeps.species_panels(species, sizes))
    io.write(data, made.fig7_data, title="Figure 7: errors, Lotka-Volterra", missing=missing)
    io.write_figure(sweeps.sweeps_figure(data), made.fig7_pdf, made.fig7_png)

    data = sweeps.rank_data(ring)
    io.write(
        data,
        made.fig9_data,
        title="Figure 9: covariance of low rank",
        missing=["median", "low", "high", "start_median", "start_low", "start_high"],
    )
    io.write_figure(sweeps.rank_figure(data), made.fig9_pdf, made.fig9_png)

    data = sweeps.sweep_data(sweeps.member_panels(orbit, ring, species))
    io.write(data, made.fig11_data, title="Figure 11: number of members", missing=missing)
    io.write_figure(sweeps.sweeps_figure(data, 2), made.fig11_pdf, made.fig11_png)
