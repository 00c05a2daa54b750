"""Measure what the methods of some studies cost, in turn, with the machine to itself."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.experiments import time

    inputs = io.read_lists(snakemake.input)
    found = time.measured(stage.spec["timing"], stage.spec["timed"], stage.config, inputs)
    io.write(found, snakemake.output[0], title="CPU times")
