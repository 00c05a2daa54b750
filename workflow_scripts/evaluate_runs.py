"""Score every run of a study by every metric that it names."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import evaluate

    inputs = io.read_lists(snakemake.input)
    found = evaluate.scores(
        stage.spec["task"],
        stage.config,
        stage.spec["metrics"],
        stage.spec["runs"],
        inputs.pop("results"),
        evaluate.Given(**inputs),
        role=stage.spec["role"],
        experiment=stage.experiment,
    )
    every = list(found.variables)
    io.write(found, snakemake.output[0], title="scores", missing=every, infinite=every)
