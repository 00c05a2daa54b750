"""Figures 5, 6, 13, 14, and ours: errors of filters of fields against time and what is varied."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import calibration, field_sweeps, fields, grids, remedies, ring

    scores, made = io.read(snakemake.input.basin), snakemake.output
    lost = ["median", "low", "high"]  # of runs that were lost
    means = ["mean_median", "mean_low", "mean_high"]

    data = fields.sparsity_data(scores)
    io.write(data, made.fig5_data, title="Figure 5: error by sparsity", missing=lost)
    io.write_figure(fields.sparsity_figure(data), made.fig5_pdf, made.fig5_png)

    data = fields.methods_data(scores, noise=0.0)
    io.write(data, made.fig13_data, title="Figure 13: methods, no noise", missing=lost)
    io.write_figure(fields.methods_figure(data), made.fig13_pdf, made.fig13_png)

    data = fields.methods_data(scores, noise=0.1)
    io.write(data, made.fig6_data, title="Figure 6: methods, noise 10 %", missing=lost)
    io.write_figure(fields.methods_figure(data), made.fig6_pdf, made.fig6_png)

    data = fields.methods_data(scores, noise=0.2)
    io.write(data, made.fig14_data, title="Figure 14: methods, noise 20 %", missing=lost)
    io.write_figure(fields.methods_figure(data), made.fig14_pdf, made.fig14_png)

    data = fields.members_data(scores)
    io.write(data, made.figS_members_data, title="EnSF by members", missing=[*lost, *means])
    io.write_figure(fields.members_figure(data), made.figS_members_pdf, made.figS_members_png)

    data = field_sweeps.latent_sizes_data(scores)
    io.write(data, made.figS_latent_sizes_data, title="Error by size of the codes", missing=means)
    io.write_figure(
        field_sweeps.latent_sizes_figure(data),
        made.figS_latent_sizes_pdf,
        made.figS_latent_sizes_png,
    )

    data = field_sweeps.interval_data(scores)
    io.write(data, made.figS_interval_data, title="Error by interval of analyses", missing=means)
    io.write_figure(
        field_sweeps.interval_figure(data), made.figS_interval_pdf, made.figS_interval_png
    )

    data = field_sweeps.tuning_data(scores)
    io.write(
        data,
        made.figS_tuning_data,
        title="Error by settings of the score filter",
        missing=[*means, "place", "likelihood_std"],  # of what is there for comparison
    )
    io.write_figure(field_sweeps.tuning_figure(data), made.figS_tuning_pdf, made.figS_tuning_png)

    data = remedies.remedies_data(scores, io.read(snakemake.input.validation))
    io.write(
        data,
        made.figS_remedies_data,
        title="Changes of Latent-EnSF",
        missing=remedies.MISSING,
    )
    io.write_figure(remedies.remedies_figure(data), made.figS_remedies_pdf, made.figS_remedies_png)

    data = calibration.calibration_data(scores)
    io.write(data, made.figS_calibration_data, title="Ranks, spread and error", missing=list(data))
    io.write_figure(
        calibration.calibration_figure(data), made.figS_calibration_pdf, made.figS_calibration_png
    )

    data = calibration.training_data(scores)
    io.write(data, made.figS_training_data, title="Training of the codecs", missing=list(data))
    io.write_figure(
        calibration.training_figure(data), made.figS_training_pdf, made.figS_training_png
    )

    data = grids.grids_data(io.read_scores(snakemake.input.tuned))
    io.write(data, made.figS_grids_data, title="Settings that were tried", missing=list(data))
    io.write_figure(grids.grids_figure(data), made.figS_grids_pdf, made.figS_grids_png)

    data = ring.ring_data(io.read_scores(snakemake.input.rings), stage.config["rings"])
    io.write(
        data,
        made.figS_ring_data,
        title="Rings: error, spread and coverage",
        missing=list(data),  # runs differ in length, and not all have published values
    )
    io.write_figure(ring.ring_figure(data), made.figS_ring_pdf, made.figS_ring_png)

    data = ring.timing_data(list(map(io.read, snakemake.input.timings)))
    io.write(data, made.timing_figS_ring_data, title="Rings: time", missing=list(data))
    io.write_figure(ring.timing_figure(data), made.timing_figS_ring_pdf, made.timing_figS_ring_png)
