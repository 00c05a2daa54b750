"""The truth of one case out of a reanalysis: its training, validation and test fields."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.cases.weather import truths

    parts, name = truths(stage.config["case"]["era5"]), stage.wildcards["case"]
    io.write(parts["train"], snakemake.output.train, title=f"training fields of {name}")
    io.write(parts["valid"], snakemake.output.valid, title=f"validation fields of {name}")
    io.write(parts["test"], snakemake.output.test, title=f"test fields of {name}")
