"""Figures and tables of "Deep representation learning for dynamical systems modeling"."""

from papers.gpt.wiring import codec_shown, forecasts_shown, histories, sizes_of_updates

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


rule gpt_fig1:
    input:
        truth="results/{scale}/gpt/lorenz/truth_test.nc",
        codec=codec_shown(graph, "lorenz"),
        tokens=codec_shown(graph, "lorenz", ".tokens_test"),
        forecasts=forecasts_shown(graph, "lorenz", "generated"),
    output:
        **figure_files("gpt", "fig1"),
    log:
        "results/{scale}/logs/figures/gpt_fig1.log",
    benchmark:
        "results/{scale}/benchmarks/figures/gpt_fig1.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.gpt.figures:fig1",
            columns="gpt.columns",
            shown="gpt.shown",
        ),
    script:
        "../../workflow_scripts/figure.py"


rule gpt_fig2:
    input:
        truth="results/{scale}/gpt/lorenz/truth_test.nc",
        tokens=codec_shown(graph, "lorenz", ".tokens_test"),
        forecasts=forecasts_shown(graph, "lorenz", "generated"),
    output:
        **figure_files("gpt", "fig2"),
    log:
        "results/{scale}/logs/figures/gpt_fig2.log",
    benchmark:
        "results/{scale}/benchmarks/figures/gpt_fig2.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.gpt.figures:fig2",
            columns="gpt.columns",
            shown="gpt.shown",
            settings=("gpt.cases.lorenz.forecasts", "context", "free_run"),
        ),
    script:
        "../../workflow_scripts/figure.py"


rule gpt_fig3:
    input:
        codecs="results/{scale}/gpt/rossler/scores/codecs.nc",
        codec=codec_shown(graph, "rossler"),
        forecasts="results/{scale}/gpt/rossler/scores/forecasts.nc",
    output:
        **figure_files("gpt", "fig3"),
    log:
        "results/{scale}/logs/figures/gpt_fig3.log",
    benchmark:
        "results/{scale}/benchmarks/figures/gpt_fig3.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.gpt.figures:fig3",
            columns="gpt.columns",
            shown="gpt.shown",
            settings=("gpt.cases.rossler.forecasts", "context"),
        ),
    script:
        "../../workflow_scripts/figure.py"


rule gpt_figS:
    input:
        histories=histories(graph),
        codecs=graph.scores_of("gpt", "codecs"),
        forecasts=graph.scores_of("gpt", "forecasts"),
        henon_codec=codec_shown(graph, "henon"),
        henon_tokens=codec_shown(graph, "henon", ".tokens_test"),
        henon=forecasts_shown(graph, "henon", "generated", "chain"),
        rossler_codec=codec_shown(graph, "rossler"),
        rossler_tokens=codec_shown(graph, "rossler", ".tokens_test"),
        rossler=forecasts_shown(graph, "rossler", "generated", "chain"),
        lorenz_codec=codec_shown(graph, "lorenz"),
        lorenz_tokens=codec_shown(graph, "lorenz", ".tokens_test"),
        lorenz=forecasts_shown(graph, "lorenz", "generated", "chain"),
    output:
        **figure_files("gpt", "figS1", "figS2"),
    log:
        "results/{scale}/logs/figures/gpt_figS.log",
    benchmark:
        "results/{scale}/benchmarks/figures/gpt_figS.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec(
            "figure.py",
            calls="papers.gpt.figures:figS",
            columns="gpt.columns",
            table="gpt.table",
            shown="gpt.shown",
            **sizes_of_updates(graph),
        ),
    script:
        "../../workflow_scripts/figure.py"


rule gpt_tables:
    input:
        scores=graph.scores_of("gpt", "codecs") + graph.scores_of("gpt", "forecasts"),
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
        spec=spec(
            "table.py", calls="papers.gpt.tables:tables", columns="gpt.columns", table="gpt.table"
        ),
    script:
        "../../workflow_scripts/table.py"
