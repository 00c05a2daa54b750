"""Forecast from stretches of what was observed of one case, and run free."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    forecasts = build.task(stage.spec["calls"])(
        stage.config["case"],
        stage.config["forecaster"],
        io.read_inputs(snakemake.input),
        experiment=f"{stage.experiment}/{stage.wildcards['forecaster']}",
        device=stage.device,
        checkpoint=stage.checkpoint,
    )
    io.write(
        forecasts,
        snakemake.output[0],
        title=f"{stage.wildcards['forecaster']} forecasts of {stage.wildcards['case']}",
        missing=["free_run", "free_run_noiseless"],
    )
