"""Figures and tables of the benchmark of forecasters."""

TARGETS["benchmark"] = [
    *expand(
        "results/{scale}/benchmark/figures/{name}.{kind}",
        name=["fig1", "fig2"],
        kind=["pdf", "png", "nc"],
        **SCALE,
    ),
    *expand("results/{scale}/benchmark/tables/table1.{kind}", kind=["md", "csv"], **SCALE),
    *expand("results/{scale}/benchmark/scorecard.json", **SCALE),
]


rule benchmark:
    input:
        TARGETS["benchmark"],
    localrule: True


rule benchmark_figures:
    input:
        scores="results/{scale}/benchmark/noise/scores.nc",
        truth="results/{scale}/benchmark/data/lorenz63/truth_test.nc",
        forecasts=STUDIES.results("benchmark", "noise", "forecast"),
    output:
        **figure_files("benchmark", "fig1", "fig2"),
    log:
        "results/{scale}/logs/figures/benchmark.log",
    benchmark:
        "results/{scale}/benchmarks/figures/benchmark.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.benchmark.figures:figures",
            forecast="benchmark.cases.lorenz63.forecast",
            plot="benchmark.plot",
        ),
    script:
        "../../workflow_scripts/figure.py"


rule benchmark_tables:
    input:
        scores="results/{scale}/benchmark/noise/scores.nc",
    output:
        table1=report(
            expand(
                "results/{scale}/benchmark/tables/table1.{kind}",
                kind=["md", "csv"],
                allow_missing=True,
            ),
            caption="captions/table1.rst",
            category="benchmark",
            labels={"table": "1"},
        ),
    log:
        "results/{scale}/logs/tables/benchmark.log",
    benchmark:
        "results/{scale}/benchmarks/tables/benchmark.tsv"
    threads: 1
    resources:
        mem_mb=mem("tables"),
        runtime=runtime("tables"),
    params:
        spec=spec("table.py", calls="papers.benchmark.tables:tables", plot="benchmark.plot"),
    script:
        "../../workflow_scripts/table.py"
