"""Figure 4: Langevin samples converging to the attractor."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import samples

    data = samples.levels_data(io.read(snakemake.input.langevin), io.read(snakemake.input.truth))
    io.write(data, snakemake.output.data, title="Figure 4: samples at falling noise levels")
    io.write_figure(samples.levels_figure(data), snakemake.output.pdf, snakemake.output.png)
