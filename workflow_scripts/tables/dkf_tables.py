"""Table 1 with the numbers behind its marks, CPU times apart; and the RMSE of all filters."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.tables import methods as tables
    from dalib.tables import text

    methods = {"Kalman filter": "ekf", "DKF": "dkf", "diffusion": "langevin"}
    clean, samples = io.read(snakemake.input.clean), io.read(snakemake.input.samples)
    model = clean.sel({"model": "dkf"})

    filters = tables.filters(io.read_scores(snakemake.input.analyses), stage.config["labels"])
    properties = [
        *tables.generalisation(
            {
                "Kalman filter": None,
                "DKF": tables.ratio(model.prediction_rmse_held_out, model.prediction_rmse_last),
                "diffusion": tables.ratio(
                    samples.w1.sel({"method": "langevin", "point": 0}),
                    samples.w1_training.sel({"method": "langevin"}),
                ),
            },
            published={"Kalman filter": "✗", "DKF": "✓", "diffusion": "✓"},
            tolerance=0.2,
        ),
        *tables.physics_informed(
            {"Kalman filter": True, "DKF": False, "diffusion": False},
            published={"Kalman filter": "✓", "DKF": "✗", "diffusion": "✗"},
        ),
    ]
    speed = tables.speed(
        io.read(snakemake.input.timing),
        methods,
        published={"Kalman filter": "✓", "DKF": "✓", "diffusion": "✗"},
        limit=1e-3,
    )
    properties = [*properties, *tables.ideal(properties, published="✓")]
    speed = [*speed, *tables.ideal(speed, published="✓")]
    closing = "Predictive speed is a measured time: it stands in timing_table1."
    io.write_text(snakemake.output.table1[0], tables.page(properties, closing))
    io.write_text(snakemake.output.table1[1], text.csv(properties))
    io.write_text(snakemake.output.filters[0], text.markdown(filters))
    io.write_text(snakemake.output.filters[1], text.csv(filters))
    io.write_text(snakemake.output.timing[0], tables.page(speed))
    io.write_text(snakemake.output.timing[1], text.csv(speed))
