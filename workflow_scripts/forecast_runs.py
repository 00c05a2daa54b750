"""Forecast with one method from stretches of observations, in some runs of a study."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import forecast
    from dalib.experiments.spec import over

    found = forecast.forecasts(
        stage.spec["role"],
        over(stage.config.get("shared", {}), stage.config["method"]),
        stage.config["case"],
        stage.spec["runs"],
        io.read_all(snakemake.input.context),
        io.read_all(snakemake.input.get("fits", [])),
        stage.experiment,
        stage.device,
        stage.checkpoint,
    )
    io.write(found, snakemake.output[0], title="forecasts", missing=list(found.data_vars))
