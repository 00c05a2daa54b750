"""Train one model of one case, all repeats (and sweep points) of a batch at once."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import arrays, build, io

    title = f"{stage.wildcards['model']} trained on {stage.wildcards['case']}"
    weights, history = build.task(stage.spec["calls"])(
        stage.config,
        **io.read_inputs(snakemake.input),
        batch=stage.spec["batch"],
        experiment=f"{stage.experiment}/{stage.wildcards['model']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(
        weights,
        snakemake.output.weights,
        title=f"weights of {title}",
        missing=arrays.of_runs(weights),
    )
    io.write(
        history,
        snakemake.output.history,
        title=f"history of {title}",
        missing=arrays.of_runs(history),
    )
