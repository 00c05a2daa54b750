"""Make the tables of one rule: the function that it names reads the inputs and gives texts."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    make = build.task(stage.spec["calls"])
    io.write_tables(make(snakemake.input, stage.config), snakemake.output)
