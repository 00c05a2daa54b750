"""Score what all methods made of one product of one case."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    product, case = stage.wildcards["product"], stage.wildcards["case"]
    scores = build.task(stage.spec["calls"])(stage.config, io.read_inputs(snakemake.input))
    io.write(
        scores,
        snakemake.output[0],
        title=f"scores of {product} of {case}",
        missing=list(scores.variables),
    )
