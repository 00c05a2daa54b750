"""Simulate the truth of one case: its training, validation and test trajectories."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases.truth import truths

    name = stage.wildcards["case"]
    found = truths(stage.config["case"], stage.experiment)
    io.write(found["train"], snakemake.output.train, title=f"training trajectories of {name}")
    io.write(found["valid"], snakemake.output.valid, title=f"validation trajectories of {name}")
    io.write(found["test"], snakemake.output.test, title=f"test trajectories of {name}")
