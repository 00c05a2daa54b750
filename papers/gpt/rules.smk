"""Figures and tables of "Deep representation learning for dynamical systems modeling"."""

GPT_FIGURES = ["fig1", "fig2", "fig3", "figS1", "figS2"]
GPT_TABLES = ["table1", "table_dynamics"]

TARGETS["gpt"] = [
    *expand(
        "results/{scale}/gpt/figures/{name}.{kind}",
        name=GPT_FIGURES,
        kind=["pdf", "png", "nc"],
        **SCALE,
    ),
    *expand(
        "results/{scale}/gpt/tables/{name}.{kind}", name=GPT_TABLES, kind=["md", "csv"], **SCALE
    ),
    *expand("results/{scale}/gpt/tables/story.md", **SCALE),
    *expand("results/{scale}/gpt/scorecard.json", **SCALE),
]


rule gpt:
    input:
        TARGETS["gpt"],
    localrule: True


rule gpt_figures:
    input:
        scores=STUDIES.scores("gpt"),
        henon_truth="results/{scale}/gpt/data/henon/truth_test.nc",
        henon=STUDIES.results("gpt", "henon_tokens", "forecast"),
        rossler_truth="results/{scale}/gpt/data/rossler/truth_test.nc",
        rossler=STUDIES.results("gpt", "rossler_tokens", "forecast"),
        lorenz_truth="results/{scale}/gpt/data/lorenz/truth_test.nc",
        lorenz=STUDIES.results("gpt", "lorenz_tokens", "forecast"),
    output:
        **figure_files("gpt", *GPT_FIGURES),
    log:
        "results/{scale}/logs/figures/gpt.log",
    benchmark:
        "results/{scale}/benchmarks/figures/gpt.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.gpt.figures:figures",
            plot="gpt.plot",
            lorenz="gpt.cases.lorenz.forecast",
            rossler="gpt.cases.rossler.forecast",
            gpt=("gpt.forecasters.gpt.forecaster", "batch", "context"),
        ),
    script:
        "../../workflow_scripts/figure.py"


rule gpt_tables:
    input:
        scores=STUDIES.scores("gpt"),
        template="papers/gpt/story.md",
    output:
        table1=report(
            expand(
                "results/{scale}/gpt/tables/table1.{kind}", kind=["md", "csv"], allow_missing=True
            ),
            caption="captions/table1.rst",
            category="gpt",
            labels={"table": "1"},
        ),
        dynamics=multiext("results/{scale}/gpt/tables/table_dynamics", ".md", ".csv"),
        story=report(
            "results/{scale}/gpt/tables/story.md",
            caption="captions/story.rst",
            category="gpt",
            labels={"table": "story"},
        ),
    log:
        "results/{scale}/logs/tables/gpt.log",
    benchmark:
        "results/{scale}/benchmarks/tables/gpt.tsv"
    threads: 1
    resources:
        mem_mb=mem("tables"),
        runtime=runtime("tables"),
    params:
        spec=spec("table.py", calls="papers.gpt.tables:tables", plot="gpt.plot"),
    script:
        "../../workflow_scripts/table.py"
