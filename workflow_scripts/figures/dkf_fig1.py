"""Figure 1: a trajectory of Lorenz-63 in space."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import phase

    data = phase.trajectory_data(io.read(snakemake.input.truth))
    io.write(data, snakemake.output.data, title="Figure 1: trajectory of Lorenz-63")
    io.write_figure(phase.trajectory_figure(data), snakemake.output.pdf, snakemake.output.png)
