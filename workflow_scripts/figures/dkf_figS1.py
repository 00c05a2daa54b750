"""Figure S1 (ours): scores of filters, forecasts and samplers at a glance."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import scores

    data = scores.overview_data(
        io.read_scores(snakemake.input.analyses),
        io.read(snakemake.input.forecasts),
        io.read(snakemake.input.samples),
        stage.config["labels"],
    )
    io.write(data, snakemake.output.data, title="Figure S1: scores", missing=["rmse", "obs_rmse"])
    io.write_figure(scores.overview_figure(data), snakemake.output.pdf, snakemake.output.png)
