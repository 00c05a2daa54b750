"""Simulate the truth of one case: its training, validation and test trajectories."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import cases, io

    case, name = stage.config["case"], stage.wildcards["case"]
    train = cases.truth(case, "train", stage.experiment)
    valid = cases.truth(case, "valid", stage.experiment)
    test = cases.truth(case, "test", stage.experiment)
    io.write(train, snakemake.output.train, title=f"training trajectories of {name}")
    io.write(valid, snakemake.output.valid, title=f"validation trajectories of {name}")
    io.write(test, snakemake.output.test, title=f"test trajectories of {name}")
