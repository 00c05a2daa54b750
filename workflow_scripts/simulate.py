"""Simulate the truth of one case: its training, validation and test trajectories."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases.truth import truth

    case, name = stage.config["case"], stage.wildcards["case"]
    train = truth(case, "train", stage.experiment)
    valid = truth(case, "valid", stage.experiment)
    test = truth(case, "test", stage.experiment)
    io.write(train, snakemake.output.train, title=f"training trajectories of {name}")
    io.write(valid, snakemake.output.valid, title=f"validation trajectories of {name}")
    io.write(test, snakemake.output.test, title=f"test trajectories of {name}")
