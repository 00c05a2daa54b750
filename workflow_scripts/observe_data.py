"""Observe the truth of one case, for all studies of it or as one study varies it."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import data, runs

    case = runs.case_at(stage.config["case"], stage.spec["values"])
    found = data.observations(case, io.read_inputs(snakemake.input), stage.experiment)
    io.write(found["train"], snakemake.output.train, title="training observations", missing=["y"])
    io.write(found["valid"], snakemake.output.valid, title="validation observations", missing=["y"])
    io.write(found["test"], snakemake.output.test, title="test observations", missing=["y"])
