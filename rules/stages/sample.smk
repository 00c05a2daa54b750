rule sample:
    input:
        unpack(graph.inputs("sample")),
    output:
        "results/{scale}/{paper}/{case}/samples/{sampler}/batch{batch}.nc",
    log:
        "results/{scale}/logs/sample/{paper}.{case}.{sampler}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/sample/{paper}.{case}.{sampler}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("sample"),
        runtime=runtime("sample"),
        gpu=gpu("sample"),
    params:
        spec=graph.spec("sample"),
    script:
        "../../workflow_scripts/sample.py"
