"""Run one filter over the observations of one case, all seeds of a batch at once."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases import assimilation

    analyses = assimilation.analyses(
        stage.config["case"],
        stage.config["filter"] | stage.config["tuning"],
        io.read(snakemake.input.observations, needs={"y": ("seed", "time", "obs")}),
        io.read(snakemake.input.prior, needs={"mean": ("seed", "state")}),
        weights=io.read_if_given(snakemake.input.model),
        batch=stage.spec["batch"],
        experiment=f"{stage.experiment}/{stage.wildcards['filter']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(
        analyses,
        snakemake.output[0],
        title=f"{stage.wildcards['filter']} analyses of {stage.wildcards['case']}",
        missing=assimilation.DIVERGED,
    )
