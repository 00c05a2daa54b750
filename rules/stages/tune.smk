rule tune:
    input:
        training="results/{scale}/{paper}/{case}/observations_train.nc",
        held_out="results/{scale}/{paper}/{case}/observations_valid.nc",
    output:
        "results/{scale}/{paper}/{case}/models/{model}/batch{batch}.rates.nc",
    log:
        "results/{scale}/logs/tune/{paper}.{case}.{model}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/tune/{paper}.{case}.{model}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("tune"),
        runtime=runtime("tune"),
        gpu=gpu("tune"),
    params:
        spec=graph.spec("tune"),
    script:
        "../../workflow_scripts/tune.py"
