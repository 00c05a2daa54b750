"""Fit one method to what it needs, in some runs of a study."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import fit
    from dalib.experiments.spec import over

    found = fit.fits(
        stage.spec["role"],
        over(stage.config.get("shared", {}), stage.config["method"]),
        stage.config.get("case", {}),
        stage.spec["runs"],
        io.read_all(snakemake.input.train),
        io.read_all(snakemake.input.valid),
        stage.experiment,
        stage.device,
        stage.checkpoint,
    )
    io.write(found, snakemake.output[0], title="fitted methods", missing=list(found.variables))
