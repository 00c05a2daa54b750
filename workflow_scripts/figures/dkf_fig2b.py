"""Figure 2b: truth, observations and three filters on one test trajectory, then prediction."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.metrics import pointwise
    from dalib.plots import series

    estimates = {
        "ekf": io.read(snakemake.input.ekf),
        "particle": io.read(snakemake.input.particle),
        "dkf": io.read(snakemake.input.dkf),
    }
    data = series.filters_data(
        io.read(snakemake.input.truth),
        io.read(snakemake.input.observations),
        estimates,
        length=10.0,  # ours: time units, the last 2.5 without observations
    )
    data["error"] = pointwise.error_norm(data.estimate, data.truth)
    io.write(
        data,
        snakemake.output.data,
        title="Figure 2b: filters on one trajectory",
        missing=["observations"],
    )
    io.write_figure(series.filters_figure(data), snakemake.output.pdf, snakemake.output.png)
