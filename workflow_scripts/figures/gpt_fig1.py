"""Figure 1: from a trajectory to tokens, to the next token, and back."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import scheme

    column = stage.config["columns"][stage.config["shown"]["lorenz"]]
    data = scheme.scheme_data(
        io.read(snakemake.input.truth),
        io.read(snakemake.input.codec),
        io.read(snakemake.input.tokens),
        io.read_methods(snakemake.input.forecasts)[column["generated"]],
    )
    io.write(data, snakemake.output.data, title="Figure 1: from a trajectory to tokens and back")
    io.write_figure(scheme.scheme_figure(data), snakemake.output.pdf, snakemake.output.png)
