"""Fit a codec of gridded states, for all methods and studies that use it."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import parts, runs

    made = parts.codec(
        stage.config["codec"] | stage.spec["learned"],
        runs.case_at(stage.config["case"], stage.spec["values"]),
        io.read(snakemake.input.train),
        io.read(snakemake.input.valid),
        f"{stage.experiment}/{stage.wildcards['codec']}",
        stage.device,
        stage.checkpoint,
    )
    io.write(made, snakemake.output[0], title="fitted codec", missing=list(made.variables))
