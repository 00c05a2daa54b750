rule judge:
    input:
        unpack(graph.inputs("judge")),
    output:
        "results/{scale}/{paper}/scorecard.json",
    log:
        "results/{scale}/logs/judge/{paper}.log",
    benchmark:
        "results/{scale}/benchmarks/judge/{paper}.tsv"
    threads: 1
    resources:
        mem_mb=mem("judge"),
        runtime=runtime("judge"),
    params:
        spec=graph.spec("judge"),
    script:
        "../../workflow_scripts/judge.py"
