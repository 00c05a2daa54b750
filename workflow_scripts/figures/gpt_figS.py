"""Figures S1 and S2 (ours): learning curves with their marks, and where the time is spent."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import attractors, losses

    given, made, columns = snakemake.input, snakemake.output, stage.config["columns"]
    data = losses.losses_data(
        io.read_methods(given.histories),
        io.read_scores(given.codecs),
        io.read_scores(given.forecasts),
        columns,
        stage.config["table"],
        stage.config,
    )
    io.write(
        data,
        made.losses_data,
        title="Figure S1: learning curves",
        missing=["training", "held_out", "tokens_seen", "unseen"],  # lengths and repeats differ
    )
    io.write_figure(losses.losses_figure(data), made.losses_pdf, made.losses_png)

    data = attractors.gallery_data(
        {
            "henon": io.read(given.henon_codec),
            "rossler": io.read(given.rossler_codec),
            "lorenz": io.read(given.lorenz_codec),
        },
        {
            "henon": io.read(given.henon_tokens),
            "rossler": io.read(given.rossler_tokens),
            "lorenz": io.read(given.lorenz_tokens),
        },
        {
            "henon": io.read_methods(given.henon),
            "rossler": io.read_methods(given.rossler),
            "lorenz": io.read_methods(given.lorenz),
        },
        columns,
        stage.config["shown"],
        planes={"henon": ("x", "y"), "rossler": ("x", "y"), "lorenz": ("x", "z")},
    )
    io.write(
        data,
        made.gallery_data,
        title="Figure S2: share of states in each cell",
        missing=["share"],  # a system may have fewer cells than another
    )
    io.write_figure(attractors.gallery_figure(data), made.gallery_pdf, made.gallery_png)
