"""Errors of all runs, times of an analysis as in Table 1, and rings of many sizes."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.tables import fields, text

    given, made = snakemake.input, snakemake.output
    basin = io.read(given.basin)
    methods = fields.methods(basin, stage.config["fields"]["discard"])
    remedies = fields.remedies(basin, io.read(given.validation))
    timing = fields.timing(io.read(given.timing))
    rings = fields.rings(io.read_scores(given.rings), stage.config["rings"])

    io.write_text(made.methods[0], fields.page(methods, fields.ON_METHODS))
    io.write_text(made.methods[1], text.csv(methods))
    io.write_text(made.remedies[0], fields.page(remedies, fields.ON_REMEDIES))
    io.write_text(made.remedies[1], text.csv(remedies))
    io.write_text(made.timing[0], fields.page(timing, fields.ON_TIMING))
    io.write_text(made.timing[1], text.csv(timing))
    io.write_text(made.ring[0], fields.page(rings, fields.ON_RING))
    io.write_text(made.ring[1], text.csv(rings))
