"""Figure S1 (ours): scores of filters, forecasts and samplers at a glance."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import scores

    cases = {
        "base": "step 0.05, error 1\nmodel noise",
        "error2": "step 0.05, error 2\nmodel noise",
        "x_only": "x observed only\nmodel noise",
        "sparse": "step 0.1, error 2\nmodel noise",
        "clean": "step 0.05, error 1\nno model noise",
    }
    data = scores.overview_data(
        io.read_scores(snakemake.input.analyses),
        io.read(snakemake.input.forecasts),
        io.read(snakemake.input.samples),
        cases,
    )
    io.write(data, snakemake.output.data, title="Figure S1: scores", missing=["rmse", "obs_rmse"])
    io.write_figure(scores.overview_figure(data), snakemake.output.pdf, snakemake.output.png)
