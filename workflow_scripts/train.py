"""Train one model of one case, all repeats (and sweep points) of a batch at once."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    title = f"{stage.wildcards['model']} trained on {stage.wildcards['case']}"
    weights, history = build.task(stage.spec["calls"])(
        stage.config["model"],
        io.read(snakemake.input.training),
        io.read(snakemake.input.held_out),
        batch=stage.spec["batch"],
        experiment=f"{stage.experiment}/{stage.wildcards['model']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(weights, snakemake.output.weights, title=f"weights of {title}")
    io.write(history, snakemake.output.history, title=f"history of {title}")
