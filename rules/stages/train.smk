rule train:
    input:
        unpack(graph.inputs("train")),
    output:
        weights="results/{scale}/{paper}/{case}/models/{model}/batch{batch}.nc",
        history="results/{scale}/{paper}/{case}/models/{model}/batch{batch}.history.nc",
    log:
        "results/{scale}/logs/train/{paper}.{case}.{model}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{paper}.{case}.{model}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("train"),
        runtime=runtime("train"),
        gpu=gpu("train"),
    params:
        spec=graph.spec("train"),
    script:
        "../../workflow_scripts/train.py"
