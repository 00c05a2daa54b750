rule evaluate:
    input:
        unpack(products),
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
        spec=score_spec,
    script:
        "../../workflow_scripts/evaluate.py"
