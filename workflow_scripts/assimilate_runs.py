"""Tell states from the observations of the test part with one method, in some runs of a study."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import assimilate
    from dalib.experiments.spec import over

    inputs = io.read_lists(snakemake.input)
    found = assimilate.analyses(
        stage.spec["role"],
        over(stage.config.get("shared", {}), stage.config.get("method", {})),
        stage.config["case"],
        stage.spec["runs"],
        inputs.pop("observations"),
        inputs.pop("prior", []),
        inputs.pop("fits", []),
        stage.experiment,
        stage.device,
        stage.checkpoint,
        **stage.spec.get("gridded", {}),
        **inputs,
    )
    io.write(found, snakemake.output[0], title="analyses", missing=list(found.variables))
