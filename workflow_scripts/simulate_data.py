"""Simulate the truth of one case, for all studies of it or as one study varies it."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import data, runs

    case = runs.case_at(stage.config["case"], stage.spec["values"])
    found = data.truths(case, stage.experiment)
    io.write(found["train"], snakemake.output.train, title="training trajectories")
    io.write(found["valid"], snakemake.output.valid, title="validation trajectories")
    io.write(found["test"], snakemake.output.test, title="test trajectories")
