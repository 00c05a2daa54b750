"""Draw states from a trained score with one sampler."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    drawn = build.task(stage.spec["calls"])(
        stage.config["case"],
        stage.config["sampler"],
        io.read(snakemake.input.model),
        experiment=f"{stage.experiment}/{stage.wildcards['sampler']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(
        drawn,
        snakemake.output[0],
        title=f"{stage.wildcards['sampler']} samples of {stage.wildcards['case']}",
    )
