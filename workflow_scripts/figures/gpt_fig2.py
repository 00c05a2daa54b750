"""Figure 2: a true trajectory of Lorenz-63 and one generated from its beginning."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import tokens

    column = stage.config["columns"][stage.config["shown"]["lorenz"]]
    data = tokens.trajectories_data(
        io.read(snakemake.input.truth),
        io.read(snakemake.input.tokens),
        io.read_methods(snakemake.input.forecasts)[column["generated"]],
        stage.config["settings"],
        length=500,  # ours: samples, of which the first are given
    )
    io.write(data, snakemake.output.data, title="Figure 2: true and generated trajectory")
    io.write_figure(tokens.trajectories_figure(data), snakemake.output.pdf, snakemake.output.png)
