"""Figures and tables of "Latent-EnSF"."""

BASIN = STUDIES.named("lensf", "shallow_water", "other_start", "dense")
VALIDATION = STUDIES.named("lensf", "mitigations")
RINGS = STUDIES.named("lensf", "lorenz96_1e3", "lorenz96_1e4", "lorenz96_1e6", "shocks")
LENSF_FIGURES = [
    *[f"fig{number}" for number in (1, 2, 4, 5, 6, 10, 13, 14)],
    "figS_examples",
    "figS_codes",
    "figS_members",
    "figS_latent_sizes",
    "figS_interval",
    "figS_tuning",
    "figS_remedies",
    "figS_calibration",
    "figS_training",
    "figS_grids",
    "figS_ring",
    "figS_weather",
    "figS_stations",
    "timing_figS_ring",
]
LENSF_TABLES = ["table_methods", "table_remedies", "timing_table1", "table_ring"]

TARGETS["lensf"] = [
    *expand(
        "results/{scale}/lensf/figures/{name}.{kind}",
        name=LENSF_FIGURES,
        kind=["pdf", "png", "nc"],
        **SCALE,
    ),
    *expand(
        "results/{scale}/lensf/tables/{name}.{kind}", name=LENSF_TABLES, kind=["md", "csv"], **SCALE
    ),
    *expand("results/{scale}/lensf/figures/animation.{kind}", kind=["gif", "nc"], **SCALE),
    *expand("results/{scale}/lensf/scorecard.json", **SCALE),
]


rule lensf:
    input:
        TARGETS["lensf"],
    localrule: True


rule lensf_maps:
    input:
        basin="results/{scale}/lensf/shallow_water/scores.nc",
        analyses=STUDIES.results("lensf", "shallow_water", "assimilate"),
        truth="results/{scale}/lensf/data/basin/truth_test.nc",
        observations=STUDIES.observed("lensf", "shallow_water"),
        weather="results/{scale}/lensf/era5/scores.nc",
        weather_analyses=STUDIES.results("lensf", "era5", "assimilate"),
        weather_truth="results/{scale}/lensf/data/weather/truth_test.nc",
        weather_observations=STUDIES.observed("lensf", "era5"),
    output:
        **figure_files("lensf", 1, 2, 4, 10, "figS_examples", "figS_codes", "figS_weather"),
        animation_gif="results/{scale}/lensf/figures/animation.gif",
        animation_data="results/{scale}/lensf/figures/animation.nc",
    log:
        "results/{scale}/logs/figures/lensf_maps.log",
    benchmark:
        "results/{scale}/benchmarks/figures/lensf_maps.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.lensf.figures:states", plot="lensf.plot"),
    script:
        "../../workflow_scripts/figure.py"


rule lensf_curves:
    input:
        basin=expand("results/{scale}/lensf/{study}/scores.nc", study=BASIN, **SCALE),
        validation=expand("results/{scale}/lensf/{study}/scores.nc", study=VALIDATION, **SCALE),
        tuned=expand("results/{scale}/lensf/shocks/scores.nc", **SCALE),
        rings=expand("results/{scale}/lensf/{study}/scores.nc", study=RINGS, **SCALE),
        timings=STUDIES.timings("lensf", *RINGS),
    output:
        **figure_files(
            "lensf",
            5,
            6,
            13,
            14,
            "figS_members",
            "figS_latent_sizes",
            "figS_interval",
            "figS_tuning",
            "figS_remedies",
            "figS_calibration",
            "figS_training",
            "figS_grids",
            "figS_ring",
            "timing_figS_ring",
        ),
    log:
        "results/{scale}/logs/figures/lensf_curves.log",
    benchmark:
        "results/{scale}/benchmarks/figures/lensf_curves.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.lensf.figures:errors", rings="lensf.rings"),
    script:
        "../../workflow_scripts/figure.py"


rule lensf_stations:
    input:
        fields=STUDIES.files_of("lensf", "stations", "stations"),
    output:
        **figure_files("lensf", "figS_stations"),
    log:
        "results/{scale}/logs/figures/lensf_stations.log",
    benchmark:
        "results/{scale}/benchmarks/figures/lensf_stations.tsv"
    threads: 1
    resources:
        mem_mb=mem("evaluate"),
        runtime=runtime("evaluate"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.lensf.stations.figure:figures",
            stations="lensf.cases.stations.stations",
        ),
    script:
        "../../workflow_scripts/figure.py"


rule lensf_tables:
    input:
        basin=expand("results/{scale}/lensf/{study}/scores.nc", study=BASIN, **SCALE),
        validation=expand("results/{scale}/lensf/{study}/scores.nc", study=VALIDATION, **SCALE),
        timing=STUDIES.timing("lensf", "shallow_water"),
        rings=expand("results/{scale}/lensf/{study}/scores.nc", study=RINGS, **SCALE),
    output:
        methods=report(
            expand(
                "results/{scale}/lensf/tables/table_methods.{kind}",
                kind=["md", "csv"],
                allow_missing=True,
            ),
            caption="captions/table_methods.rst",
            category="lensf",
            labels={"table": "methods"},
        ),
        remedies=report(
            expand(
                "results/{scale}/lensf/tables/table_remedies.{kind}",
                kind=["md", "csv"],
                allow_missing=True,
            ),
            caption="captions/table_remedies.rst",
            category="lensf",
            labels={"table": "remedies"},
        ),
        timing=report(
            expand(
                "results/{scale}/lensf/tables/timing_table1.{kind}",
                kind=["md", "csv"],
                allow_missing=True,
            ),
            caption="captions/timing_table1.rst",
            category="lensf",
            labels={"table": "1"},
        ),
        ring=report(
            expand(
                "results/{scale}/lensf/tables/table_ring.{kind}",
                kind=["md", "csv"],
                allow_missing=True,
            ),
            caption="captions/table_ring.rst",
            category="lensf",
            labels={"table": "ring"},
        ),
    log:
        "results/{scale}/logs/tables/lensf.log",
    benchmark:
        "results/{scale}/benchmarks/tables/lensf.tsv"
    threads: 1
    resources:
        mem_mb=mem("tables"),
        runtime=runtime("tables"),
    params:
        spec=spec(
            "table.py",
            calls="papers.lensf.tables:tables",
            basin=("lensf.cases.basin.assimilate", "discard"),
            rings="lensf.rings",
        ),
    script:
        "../../workflow_scripts/table.py"
