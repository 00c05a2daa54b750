"""Choose learning rates of filters that learn, by the loss on held-out observations."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    name = stage.wildcards["model"]
    rates = build.task(stage.spec["calls"])(
        stage.config,
        **io.read_inputs(snakemake.input),
        batch=stage.spec["batch"],
        experiment=f"{stage.experiment}/{name}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(
        rates,
        snakemake.output[0],
        title=f"learning rates of {name} on {stage.wildcards['case']}",
        missing=list(rates.variables),  # what runs are not varied in, and candidates that lost
    )
