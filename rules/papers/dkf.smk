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
        truth="results/{scale}/dkf/attractor/truth_test.nc",
    output:
        pdf="results/{scale}/dkf/figures/fig1.pdf",
        png=report(
            "results/{scale}/dkf/figures/fig1.png",
            caption="../../docs/captions/dkf_fig1.rst",
            category="dkf",
            labels={"figure": "1"},
        ),
        data="results/{scale}/dkf/figures/fig1.nc",
    log:
        "results/{scale}/logs/figures/dkf_fig1.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig1.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figures/dkf_fig1.py"),
    script:
        "../../workflow_scripts/figures/dkf_fig1.py"


rule dkf_fig2a:
    input:
        history=model_files("dkf", "clean", "dkf", ".history"),
    output:
        pdf="results/{scale}/dkf/figures/fig2a.pdf",
        png=report(
            "results/{scale}/dkf/figures/fig2a.png",
            caption="../../docs/captions/dkf_fig2a.rst",
            category="dkf",
            labels={"figure": "2a"},
        ),
        data="results/{scale}/dkf/figures/fig2a.nc",
    log:
        "results/{scale}/logs/figures/dkf_fig2a.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig2a.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figures/dkf_fig2a.py"),
    script:
        "../../workflow_scripts/figures/dkf_fig2a.py"


rule dkf_fig2b:
    input:
        truth="results/{scale}/dkf/clean/truth_test.nc",
        observations="results/{scale}/dkf/clean/observations_test.nc",
        ekf="results/{scale}/dkf/clean/analyses/ekf/batch0.nc",
        particle="results/{scale}/dkf/clean/analyses/particle/batch0.nc",
        dkf="results/{scale}/dkf/clean/analyses/dkf/batch0.nc",
    output:
        pdf="results/{scale}/dkf/figures/fig2b.pdf",
        png=report(
            "results/{scale}/dkf/figures/fig2b.png",
            caption="../../docs/captions/dkf_fig2b.rst",
            category="dkf",
            labels={"figure": "2b"},
        ),
        data="results/{scale}/dkf/figures/fig2b.nc",
    log:
        "results/{scale}/logs/figures/dkf_fig2b.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig2b.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figures/dkf_fig2b.py"),
    script:
        "../../workflow_scripts/figures/dkf_fig2b.py"


rule dkf_fig4:
    input:
        truth="results/{scale}/dkf/states/truth_test.nc",
        langevin="results/{scale}/dkf/states/samples/langevin/batch0.nc",
    output:
        pdf="results/{scale}/dkf/figures/fig4.pdf",
        png=report(
            "results/{scale}/dkf/figures/fig4.png",
            caption="../../docs/captions/dkf_fig4.rst",
            category="dkf",
            labels={"figure": "4"},
        ),
        data="results/{scale}/dkf/figures/fig4.nc",
    log:
        "results/{scale}/logs/figures/dkf_fig4.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_fig4.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figures/dkf_fig4.py"),
    script:
        "../../workflow_scripts/figures/dkf_fig4.py"


rule dkf_figS1:
    input:
        analyses=scores_of("dkf", "analyses"),
        forecasts="results/{scale}/dkf/clean/scores/forecasts.nc",
        samples="results/{scale}/dkf/states/scores/samples.nc",
    output:
        pdf="results/{scale}/dkf/figures/figS1.pdf",
        png=report(
            "results/{scale}/dkf/figures/figS1.png",
            caption="../../docs/captions/dkf_figS1.rst",
            category="dkf",
            labels={"figure": "S1"},
        ),
        data="results/{scale}/dkf/figures/figS1.nc",
    log:
        "results/{scale}/logs/figures/dkf_figS1.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_figS1.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figures/dkf_figS1.py", labels="dkf.labels"),
    script:
        "../../workflow_scripts/figures/dkf_figS1.py"


rule dkf_tables:
    input:
        analyses=scores_of("dkf", "analyses"),
        clean="results/{scale}/dkf/clean/scores/analyses.nc",
        samples="results/{scale}/dkf/states/scores/samples.nc",
        timing="results/{scale}/dkf/clean/timing.nc",
    output:
        table1=report(
            expand(
                "results/{scale}/dkf/tables/table1.{kind}", kind=["md", "csv"], allow_missing=True
            ),
            caption="../../docs/captions/dkf_table1.rst",
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
        spec=spec("tables/dkf_tables.py", labels="dkf.labels"),
    script:
        "../../workflow_scripts/tables/dkf_tables.py"
