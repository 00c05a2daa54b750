rule assimilate:
    input:
        unpack(graph.inputs("assimilate")),
    output:
        "results/{scale}/{paper}/{case}/analyses/{filter}/batch{batch}.nc",
    log:
        "results/{scale}/logs/assimilate/{paper}.{case}.{filter}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/assimilate/{paper}.{case}.{filter}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("assimilate"),
        runtime=runtime("assimilate"),
        gpu=gpu("assimilate"),
    params:
        spec=graph.spec("assimilate"),
    script:
        "../../workflow_scripts/assimilate.py"
