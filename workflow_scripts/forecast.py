"""Forecast from stretches of the observations of one case, and run free."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import cases, io

    forecasts = cases.forecasts(
        stage.config["case"],
        stage.config["forecaster"],
        io.read(snakemake.input.observations, needs={"y": ("seed", "time", "obs")}),
        io.read(snakemake.input.model),
        experiment=f"{stage.experiment}/{stage.wildcards['forecaster']}",
        device=stage.device,
    )
    io.write(
        forecasts,
        snakemake.output[0],
        title=f"{stage.wildcards['forecaster']} forecasts of {stage.wildcards['case']}",
        missing=["free_run", "free_run_noiseless"],
    )
