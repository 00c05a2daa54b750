"""Table 1 with what the paper prints beside ours, a table on the dynamics, and their story."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.tables import columns, text, tokens

    names, files = stage.config["table"], snakemake.output
    table = columns.columns(stage.config["columns"], names, io.read_scores(snakemake.input.scores))
    told = columns.values(table, names, tokens.ALL)
    story = text.filled(io.read_text(snakemake.input.template), told)

    io.write_text(files.table1[0], columns.page(table, tokens.DISTANCES, tokens.ON_DISTANCES))
    io.write_text(files.table1[1], text.csv(columns.rows(table, tokens.DISTANCES)))
    io.write_text(files.dynamics[0], columns.page(table, tokens.DYNAMICS, tokens.ON_DYNAMICS))
    io.write_text(files.dynamics[1], text.csv(columns.rows(table, tokens.DYNAMICS)))
    io.write_text(files.story, story)
