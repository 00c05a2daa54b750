"""Table 1: choices of the methods; Table 2: their costs; Table 3: what each is good for."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import io
    from dalib.tables import filters, text

    given, made = snakemake.input, snakemake.output
    choices = filters.choices()
    costs = filters.costs(io.read(given.timing))
    guidelines = filters.impossible(
        filters.guidelines(
            io.read(given.ring), io.read(given.species), io.read_scores(given.ring_sizes).values()
        ),
        "observations change",
        "var3d_k",
        "needs observations that stay the same",
    )
    io.write_text(made.table1[0], filters.page(choices, filters.ON_CHOICES))
    io.write_text(made.table1[1], text.csv(choices))
    io.write_text(made.table3[0], filters.page(guidelines, filters.ON_GUIDELINES))
    io.write_text(made.table3[1], text.csv(guidelines))
    io.write_text(made.timing[0], filters.page(costs, filters.ON_COSTS))
    io.write_text(made.timing[1], text.csv(costs))
