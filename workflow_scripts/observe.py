"""Observe the truth of one case, and say what a filter knows when it starts."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases.observed import observed

    name, made = stage.wildcards["case"], snakemake.output
    parts = observed(stage.config["case"], io.read_inputs(snakemake.input), stage.experiment)
    io.write(parts["train"], made.train, title=f"training observations of {name}")
    io.write(parts["valid"], made.valid, title=f"validation observations of {name}")
    io.write(parts["test"], made.test, title=f"test observations of {name}", missing=["y"])
    io.write(parts["prior"], made.prior, title=f"prior of the test trajectories of {name}")
