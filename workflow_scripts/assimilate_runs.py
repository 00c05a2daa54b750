"""Tell states from the observations of the test part with one method, in some runs of a study."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import assimilate
    from dalib.experiments.gridded import PARTS
    from dalib.experiments.spec import over

    found = assimilate.analyses(
        stage.spec["role"],
        over(stage.config.get("shared", {}), stage.config["method"]),
        stage.config["case"],
        stage.spec["runs"],
        io.read_all(snakemake.input.observations),
        io.read_all(snakemake.input.get("prior", [])),
        io.read_all(snakemake.input.get("fits", [])),
        stage.experiment,
        stage.device,
        stage.checkpoint,
        **{name: stage.spec[name] for name in ("sampled", "tune") if name in stage.spec},
        **{name: io.read_all(paths) for name, paths in snakemake.input.items() if name in PARTS},
    )
    io.write(found, snakemake.output[0], title="analyses", missing=list(found.data_vars))
