rule evaluate:
    input:
        unpack(graph.inputs("evaluate")),
    output:
        "results/{scale}/{paper}/{case}/scores/{product}.nc",
    log:
        "results/{scale}/logs/evaluate/{paper}.{case}.{product}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate/{paper}.{case}.{product}.tsv"
    threads: 1
    resources:
        mem_mb=mem("evaluate"),
        runtime=runtime("evaluate"),
    params:
        spec=graph.spec("evaluate"),
    script:
        "../../workflow_scripts/evaluate.py"
