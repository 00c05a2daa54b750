"""Say what filters know at time 0, for all studies of one case or as one study varies it."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import data, runs

    case = runs.case_at(stage.config["case"], stage.spec["values"])
    truth, training = io.read(snakemake.input.truth), io.read(snakemake.input.train)
    experiment = "/".join([stage.experiment, *filter(None, [stage.wildcards["of"]])])
    found = data.prior(case, truth, experiment, training)
    io.write(found, snakemake.output[0], title="prior")
