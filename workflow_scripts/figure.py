"""Draw the figures of one rule: the function that it names reads the inputs and draws."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    draw = build.task(stage.spec["calls"])
    io.write_figures(draw(snakemake.input, stage.config), snakemake.output)
