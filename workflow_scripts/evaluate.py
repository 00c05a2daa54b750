"""Score what all methods made of one product of one case."""

from dalib.workflow.stage import Stage

with Stage(snakemake) as stage:
    from dalib import cases, io

    product, case = stage.wildcards["product"], stage.wildcards["case"]
    inputs = io.read_inputs(snakemake.input)
    scores = cases.scored(product, stage.config, inputs["methods"], inputs)
    io.write(
        scores, snakemake.output[0], title=f"scores of {product} of {case}", missing=list(scores)
    )
