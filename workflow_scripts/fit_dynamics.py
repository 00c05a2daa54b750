"""Fit the network that forecasts the gridded states of a case."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import parts

    made = parts.dynamics(
        stage.config["dynamics"],
        io.read(snakemake.input.train),
        io.read(snakemake.input.valid),
        f"{stage.experiment}/{stage.config['dynamics']['kind']}",
        stage.device,
        stage.checkpoint,
    )
    io.write(made, snakemake.output[0], title="fitted forecast", missing=list(made.variables))
