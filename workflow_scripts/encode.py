"""Fit a codec to the training part of the truth, and encode all parts with it."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io

    title = f"{stage.wildcards['codec']} of {stage.wildcards['case']}"
    codec, encoded = build.task(stage.spec["calls"])(
        stage.config["codec"], io.read_inputs(snakemake.input)
    )
    io.write(codec, snakemake.output.codec, title=f"codec {title}")
    io.write(encoded["train"], snakemake.output.train, title=f"training tokens, {title}")
    io.write(encoded["valid"], snakemake.output.valid, title=f"validation tokens, {title}")
    io.write(encoded["test"], snakemake.output.test, title=f"test tokens, {title}")
