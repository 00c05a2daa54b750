"""Measure what a predicted state costs, method by method, with the machine to itself."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io, timing

    inputs = io.read_inputs(snakemake.input)
    io.write(timing.measured(stage.config, inputs), snakemake.output[0], title="CPU times")
