"""Run filters over the observations of one case, all seeds of a batch at once."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    analyses = build.task(stage.spec["calls"])(
        stage.config,
        io.read_inputs(snakemake.input),
        batch=stage.spec["batch"],
        experiment=f"{stage.experiment}/{stage.wildcards['filter']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(
        analyses,
        snakemake.output[0],
        title=f"{stage.wildcards['filter']} analyses of {stage.wildcards['case']}",
        missing=list(analyses.variables),  # NaN from where a seed diverged
    )
