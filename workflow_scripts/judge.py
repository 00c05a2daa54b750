"""Judge the claims of a paper by its scores."""

from pipeline.stage import Stage

with Stage(snakemake) as stage:
    from dalib import build, io
    from pipeline import claims
    from pipeline.claims import inputs

    rows = claims.judge(
        stage.wildcards["paper"],
        io.read_yaml(snakemake.input.claims),
        inputs.with_roles(io.read_scores(snakemake.input.scores), stage.config.get("roles", {})),
        stage.wildcards["scale"],
        build.measure,
    )
    io.write_json(snakemake.output[0], rows)
