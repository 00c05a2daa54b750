"""Figures 6, 10 and 12: interactions, and learned tuning beside scans over it."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import tuned

    given, made = snakemake.input, snakemake.output

    data = tuned.interactions_data(io.read(given.species))
    io.write(data, made.fig6_data, title="Figure 6: interactions of 16 species")
    io.write_figure(tuned.interactions_figure(data), made.fig6_pdf, made.fig6_png)

    data = tuned.path_data(io.read(given.taper))
    io.write(data, made.fig10_data, title="Figure 10: inflation and radius", missing=["rmse_grid"])
    io.write_figure(tuned.path_figure(data), made.fig10_pdf, made.fig10_png)

    data = tuned.scans_data(
        {
            "Lorenz-96": io.read(given.ring),
            "Lotka–Volterra": io.read(given.species),
            "Clohessy–Wiltshire": io.read(given.orbit),
        }
    )
    io.write(data, made.fig12_data, title="Figure 12: inflation and weight", missing=[*data])
    io.write_figure(tuned.scans_figure(data), made.fig12_pdf, made.fig12_png)
