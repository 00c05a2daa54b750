"""Train one model of one case, all repeats (and sweep points) of a batch at once."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    title = f"{stage.wildcards['model']} trained on {stage.wildcards['case']}"
    weights, history = build.task(stage.spec["calls"])(
        stage.config,
        io.read(snakemake.input.training),
        io.read(snakemake.input.held_out),
        batch=stage.spec["batch"],
        experiment=f"{stage.experiment}/{stage.wildcards['model']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    for found, what, path in (
        (weights, "weights", snakemake.output.weights),
        (history, "history", snakemake.output.history),
    ):
        # runs learn different things
        runs = [name for name in found.variables if "run" in found[name].dims]
        io.write(found, path, title=f"{what} of {title}", missing=runs)
