rule forecast:
    input:
        unpack(graph.inputs("forecast")),
    output:
        "results/{scale}/{paper}/{case}/forecasts/{forecaster}/batch{batch}.nc",
    log:
        "results/{scale}/logs/forecast/{paper}.{case}.{forecaster}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/forecast/{paper}.{case}.{forecaster}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("forecast"),
        runtime=runtime("forecast"),
        gpu=gpu("forecast"),
    params:
        spec=graph.spec("forecast"),
    script:
        "../../workflow_scripts/forecast.py"
