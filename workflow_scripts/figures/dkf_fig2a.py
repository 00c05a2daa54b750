"""Figure 2a: learning curve of the deep Kalman filter."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import curves

    history = io.read_methods(snakemake.input.history)["dkf"]
    data = curves.learning_data(history, "negative_elbo")
    io.write(data, snakemake.output.data, title="Figure 2a: learning curve")
    io.write_figure(curves.learning_figure(data), snakemake.output.pdf, snakemake.output.png)
