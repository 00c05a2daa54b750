"""Figures and tables of "Auto-differentiable data assimilation"."""

ADDA = config["adda"]["roles"]
ADDA_FIGURES = [f"fig{number}" for number in range(1, 15)]
ADDA_TABLES = ["table1", "timing_table2", "table3"]

TARGETS["adda"] = [
    *expand(
        "results/{scale}/adda/figures/{name}.{kind}",
        name=ADDA_FIGURES,
        kind=["pdf", "png", "nc"],
        **SCALE,
    ),
    *expand(
        "results/{scale}/adda/tables/{name}.{kind}", name=ADDA_TABLES, kind=["md", "csv"], **SCALE
    ),
    *expand("results/{scale}/adda/scorecard.json", **SCALE),
]


rule adda:
    input:
        TARGETS["adda"],
    localrule: True


rule adda_sweeps:
    input:
        orbit=graph.scores_in("adda", ADDA["orbit"], "learning"),
        ring=graph.scores_in("adda", ADDA["ring"], "learning"),
        species=graph.scores_in("adda", ADDA["species"], "learning"),
        ring_sizes=graph.scores_in("adda", ADDA["ring_sizes"], "learning"),
        species_sizes=graph.scores_in("adda", ADDA["species_sizes"], "learning"),
    output:
        **figure_files("adda", 1, 4, 7, 9, 11),
    log:
        "results/{scale}/logs/figures/adda_sweeps.log",
    benchmark:
        "results/{scale}/benchmarks/figures/adda_sweeps.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.adda.figures:errors"),
    script:
        "../../workflow_scripts/figure.py"


rule adda_filtering:
    input:
        orbit=graph.scores_in("adda", ADDA["orbit"], "learning"),
        ring=graph.scores_in("adda", ADDA["ring"], "learning"),
        species=graph.scores_in("adda", ADDA["species_shown"], "learning"),
    output:
        **figure_files("adda", 2, 3, 5, 8, 13, 14),
    log:
        "results/{scale}/logs/figures/adda_filtering.log",
    benchmark:
        "results/{scale}/benchmarks/figures/adda_filtering.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.adda.figures:filters"),
    script:
        "../../workflow_scripts/figure.py"


rule adda_tuned:
    input:
        orbit=graph.scores_in("adda", ADDA["orbit"], "learning"),
        ring=graph.scores_in("adda", ADDA["ring"], "learning"),
        species=graph.scores_in("adda", ADDA["species"], "learning"),
        taper=graph.scores_in("adda", ADDA["taper"], "learning"),
    output:
        **figure_files("adda", 6, 10, 12),
    log:
        "results/{scale}/logs/figures/adda_tuned.log",
    benchmark:
        "results/{scale}/benchmarks/figures/adda_tuned.tsv"
    threads: 1
    resources:
        mem_mb=mem("figures"),
        runtime=runtime("figures"),
    params:
        spec=spec("figure.py", calls="papers.adda.figures:tuning"),
    script:
        "../../workflow_scripts/figure.py"


rule adda_tables:
    input:
        timing=f"results/{{scale}}/adda/{config['adda']['roles']['ring']}/timing.nc",
        ring=graph.scores_in("adda", ADDA["ring"], "learning"),
        species=graph.scores_in("adda", ADDA["species"], "learning"),
        ring_sizes=graph.scores_in("adda", ADDA["ring_sizes"], "learning"),
    output:
        table1=report(
            expand(
                "results/{scale}/adda/tables/table1.{kind}", kind=["md", "csv"], allow_missing=True
            ),
            caption="captions/table1.rst",
            category="adda",
            labels={"table": "1"},
        ),
        timing=report(
            expand(
                "results/{scale}/adda/tables/timing_table2.{kind}",
                kind=["md", "csv"],
                allow_missing=True,
            ),
            caption="captions/timing_table2.rst",
            category="adda",
            labels={"table": "2"},
        ),
        table3=report(
            expand(
                "results/{scale}/adda/tables/table3.{kind}", kind=["md", "csv"], allow_missing=True
            ),
            caption="captions/table3.rst",
            category="adda",
            labels={"table": "3"},
        ),
    log:
        "results/{scale}/logs/tables/adda.log",
    benchmark:
        "results/{scale}/benchmarks/tables/adda.tsv"
    threads: 1
    resources:
        mem_mb=mem("tables"),
        runtime=runtime("tables"),
    params:
        spec=spec("table.py", calls="papers.adda.tables:tables"),
    script:
        "../../workflow_scripts/table.py"
