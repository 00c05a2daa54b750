"""Observe the truth of one case, and say what a filter knows when it starts."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import cases, io

    case, name = stage.config["case"], stage.wildcards["case"]
    test_truth = io.read(snakemake.input.test)
    train = cases.observations(case, io.read(snakemake.input.train), "train", stage.experiment)
    valid = cases.observations(case, io.read(snakemake.input.valid), "valid", stage.experiment)
    test = cases.observations(case, test_truth, "test", stage.experiment)
    prior = cases.prior(case, test_truth, stage.experiment)
    io.write(train, snakemake.output.train, title=f"training observations of {name}")
    io.write(valid, snakemake.output.valid, title=f"validation observations of {name}")
    io.write(test, snakemake.output.test, title=f"test observations of {name}", missing=["y"])
    io.write(prior, snakemake.output.prior, title=f"prior of the test trajectories of {name}")
