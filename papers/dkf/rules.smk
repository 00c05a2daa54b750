"""Figures and tables of "Deep Kalman filtering and generative diffusion models"."""

DKF_FIGURES = ["fig1", "fig2a", "fig2b", "fig4", "figS1"]
DKF_TABLES = ["table1", "table_filters", "timing_table1"]

TARGETS["dkf"] = [
    *expand(
        "results/{scale}/dkf/figures/{name}.{kind}",
        name=DKF_FIGURES,
        kind=["pdf", "png", "nc"],
        **SCALE,
    ),
    *expand(
        "results/{scale}/dkf/tables/{name}.{kind}", name=DKF_TABLES, kind=["md", "csv"], **SCALE
    ),
    *expand("results/{scale}/dkf/scorecard.json", **SCALE),
]


rule dkf:
    input:
        TARGETS["dkf"],
    localrule: True


rule dkf_fig1:
    input:
        truth="results/{scale}/dkf/data/attractor/truth_test.nc",
    output:
        **figure_files("dkf", "fig1"),
    log:
        "results/{scale}/logs/figures/dkf_fig1.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig1.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.dkf.figures:fig1"),
    script:
        "../../workflow_scripts/figure.py"


rule dkf_fig2a:
    input:
        scores="results/{scale}/dkf/filters_clean/scores.nc",
    output:
        **figure_files("dkf", "fig2a"),
    log:
        "results/{scale}/logs/figures/dkf_fig2a.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig2a.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.dkf.figures:fig2a"),
    script:
        "../../workflow_scripts/figure.py"


rule dkf_fig2b:
    input:
        truth="results/{scale}/dkf/data/clean/truth_test.nc",
        observations="results/{scale}/dkf/data/clean/observations_test.nc",
        ekf=STUDIES.results_of("dkf", "filters_clean", "ekf")[0],
        particle=STUDIES.results_of("dkf", "filters_clean", "particle")[0],
        dkf=STUDIES.results_of("dkf", "filters_clean", "dkf")[0],
    output:
        **figure_files("dkf", "fig2b"),
    log:
        "results/{scale}/logs/figures/dkf_fig2b.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig2b.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.dkf.figures:fig2b"),
    script:
        "../../workflow_scripts/figure.py"


rule dkf_fig4:
    input:
        truth="results/{scale}/dkf/data/states/truth_test.nc",
        langevin=STUDIES.results_of("dkf", "samples", "langevin")[0],
    output:
        **figure_files("dkf", "fig4"),
    log:
        "results/{scale}/logs/figures/dkf_fig4.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig4.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.dkf.figures:fig4"),
    script:
        "../../workflow_scripts/figure.py"


rule dkf_figS1:
    input:
        analyses=STUDIES.scores("dkf", "assimilate"),
        forecasts="results/{scale}/dkf/forecasts/scores.nc",
        samples="results/{scale}/dkf/samples/scores.nc",
    output:
        **figure_files("dkf", "figS1"),
    log:
        "results/{scale}/logs/figures/dkf_figS1.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_figS1.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.dkf.figures:figS1", plot="dkf.plot"),
    script:
        "../../workflow_scripts/figure.py"


rule dkf_tables:
    input:
        analyses=STUDIES.scores("dkf", "assimilate"),
        clean="results/{scale}/dkf/filters_clean/scores.nc",
        samples="results/{scale}/dkf/samples/scores.nc",
        timing="results/{scale}/dkf/samples/times.nc",
    output:
        table1=report(
            expand(
                "results/{scale}/dkf/tables/table1.{kind}", kind=["md", "csv"], allow_missing=True
            ),
            caption="captions/table1.rst",
            category="dkf",
            labels={"table": "1"},
        ),
        filters=multiext("results/{scale}/dkf/tables/table_filters", ".md", ".csv"),
        timing=multiext("results/{scale}/dkf/tables/timing_table1", ".md", ".csv"),
    log:
        "results/{scale}/logs/tables/dkf.log",
    benchmark:
        "results/{scale}/benchmarks/tables/dkf.tsv"
    threads: 1
    resources:
        mem_mb=mem("tables"),
        runtime=runtime("tables"),
    params:
        spec=spec("table.py", calls="papers.dkf.tables:tables", plot="dkf.plot"),
    script:
        "../../workflow_scripts/table.py"
