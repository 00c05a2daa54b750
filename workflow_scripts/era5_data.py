"""Cut the truth of one case out of a reanalysis, or of the stand-in."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases import weather
    from dalib.experiments import runs

    case = runs.case_at(stage.config["case"], stage.spec["values"])
    found = weather.truths(case["era5"])
    io.write(found["train"], snakemake.output.train, title="training series")
    io.write(found["valid"], snakemake.output.valid, title="validation series")
    io.write(found["test"], snakemake.output.test, title="test windows")
