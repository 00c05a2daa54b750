"""Figures and tables of "Deep Kalman filtering and generative diffusion models"."""

DKF = "results/{scale}/dkf/"
DKF_FIGURES = ["fig1", "fig2a", "fig2b", "fig4", "figS1"]
DKF_TABLES = ["table1", "table_filters", "timing_table1"]

TARGETS["dkf"] = [
    *expand(DKF + "figures/{name}.{kind}", name=DKF_FIGURES, kind=["pdf", "png", "nc"], **SCALE),
    *expand(DKF + "tables/{name}.{kind}", name=DKF_TABLES, kind=["md", "csv"], **SCALE),
    *expand(DKF + "scorecard.json", **SCALE),
]


rule dkf:
    localrule: True
    input:
        TARGETS["dkf"],


rule dkf_fig1:
    input:
        truth=DKF + "attractor/truth_test.nc",
    output:
        pdf=DKF + "figures/fig1.pdf",
        png=report(
            DKF + "figures/fig1.png",
            caption="../../docs/captions/dkf_fig1.rst",
            category="dkf",
            labels={"figure": "1"},
        ),
        data=DKF + "figures/fig1.nc",
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
        pdf=DKF + "figures/fig2a.pdf",
        png=report(
            DKF + "figures/fig2a.png",
            caption="../../docs/captions/dkf_fig2a.rst",
            category="dkf",
            labels={"figure": "2a"},
        ),
        data=DKF + "figures/fig2a.nc",
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
        truth=DKF + "clean/truth_test.nc",
        observations=DKF + "clean/observations_test.nc",
        ekf=DKF + "clean/analyses/ekf/batch0.nc",
        particle=DKF + "clean/analyses/particle/batch0.nc",
        dkf=DKF + "clean/analyses/dkf/batch0.nc",
    output:
        pdf=DKF + "figures/fig2b.pdf",
        png=report(
            DKF + "figures/fig2b.png",
            caption="../../docs/captions/dkf_fig2b.rst",
            category="dkf",
            labels={"figure": "2b"},
        ),
        data=DKF + "figures/fig2b.nc",
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
        truth=DKF + "states/truth_test.nc",
        langevin=DKF + "states/samples/langevin/batch0.nc",
    output:
        pdf=DKF + "figures/fig4.pdf",
        png=report(
            DKF + "figures/fig4.png",
            caption="../../docs/captions/dkf_fig4.rst",
            category="dkf",
            labels={"figure": "4"},
        ),
        data=DKF + "figures/fig4.nc",
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
        forecasts=DKF + "clean/scores/forecasts.nc",
        samples=DKF + "states/scores/samples.nc",
    output:
        pdf=DKF + "figures/figS1.pdf",
        png=report(
            DKF + "figures/figS1.png",
            caption="../../docs/captions/dkf_figS1.rst",
            category="dkf",
            labels={"figure": "S1"},
        ),
        data=DKF + "figures/figS1.nc",
    log:
        "results/{scale}/logs/figures/dkf_figS1.log",
    benchmark:
        "results/{scale}/benchmarks/figures/dkf_figS1.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figures/dkf_figS1.py"),
    script:
        "../../workflow_scripts/figures/dkf_figS1.py"


rule dkf_tables:
    input:
        analyses=scores_of("dkf", "analyses"),
        clean=DKF + "clean/scores/analyses.nc",
        samples=DKF + "states/scores/samples.nc",
        timing=DKF + "clean/timing.nc",
    output:
        table1=report(
            expand(DKF + "tables/table1.{kind}", kind=["md", "csv"], allow_missing=True),
            caption="../../docs/captions/dkf_table1.rst",
            category="dkf",
            labels={"table": "1"},
        ),
        filters=multiext(DKF + "tables/table_filters", ".md", ".csv"),
        timing=multiext(DKF + "tables/timing_table1", ".md", ".csv"),
    log:
        "results/{scale}/logs/tables/dkf.log",
    benchmark:
        "results/{scale}/benchmarks/tables/dkf.tsv"
    threads: 1
    resources:
        mem_mb=mem("tables"),
        runtime=runtime("tables"),
    params:
        spec=spec("tables/dkf_tables.py"),
    script:
        "../../workflow_scripts/tables/dkf_tables.py"
