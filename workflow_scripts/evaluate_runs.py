"""Score every run of a study by every metric that it names."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import evaluate

    found = evaluate.scores(
        stage.config["case"],
        stage.spec["metrics"],
        stage.spec["runs"],
        io.read_all(snakemake.input.forecasts),
        io.read_all(snakemake.input.truth),
        io.read_all(snakemake.input.training),
    )
    every = list(found.variables)
    io.write(found, snakemake.output[0], title="scores", missing=every, infinite=every)
