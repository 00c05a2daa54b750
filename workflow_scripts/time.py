"""Measure what methods cost, one after the other, with the machine to itself."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    times = build.task(stage.spec["calls"])(stage.config, io.read_inputs(snakemake.input))
    io.write(times, snakemake.output[0], title="CPU times")
