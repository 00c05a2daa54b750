"""Figure 3: how fast generated and simulated trajectories of Rössler part from the true."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import tokens

    data = tokens.distances_data(
        io.read(snakemake.input.forecasts),
        io.read(snakemake.input.codecs),
        io.read(snakemake.input.codec),
        stage.config["columns"][stage.config["shown"]["rossler"]],
        stage.config["settings"]["context"],
    )
    io.write(
        data,
        snakemake.output.data,
        title="Figure 3: mean distance between trajectories",
        missing=["difference"],  # the simulation is not repeated as the training is
    )
    io.write_figure(tokens.distances_figure(data), snakemake.output.pdf, snakemake.output.png)
