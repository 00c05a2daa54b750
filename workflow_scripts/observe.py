"""Observe the truth of one case, and say what a filter knows when it starts."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases import observed

    case, name = stage.config["case"], stage.wildcards["case"]
    truth = io.read_inputs(snakemake.input)
    train, valid, test = (
        observed.observations(case, truth[split], split, stage.experiment, truth["train"])
        for split in ("train", "valid", "test")
    )
    prior = observed.prior(case, truth["test"], stage.experiment)
    io.write(train, snakemake.output.train, title=f"training observations of {name}")
    io.write(valid, snakemake.output.valid, title=f"validation observations of {name}")
    io.write(test, snakemake.output.test, title=f"test observations of {name}", missing=["y"])
    io.write(prior, snakemake.output.prior, title=f"prior of the test trajectories of {name}")
