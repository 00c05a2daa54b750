"""Ours: filters of rings of many sizes, their errors and the time they take."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.plots import ring

    given, made = snakemake.input, snakemake.output

    data = ring.ring_data(io.read_scores(given.rings), stage.config["rings"])
    io.write(
        data,
        made.figS_ring_data,
        title="Rings: error, spread and coverage",
        missing=list(data),  # runs differ in length, and not all have published values
    )
    io.write_figure(ring.ring_figure(data), made.figS_ring_pdf, made.figS_ring_png)

    data = ring.timing_data(list(map(io.read, given.timings)))
    io.write(data, made.timing_figS_ring_data, title="Rings: time", missing=list(data))
    io.write_figure(ring.timing_figure(data), made.timing_figS_ring_pdf, made.timing_figS_ring_png)
