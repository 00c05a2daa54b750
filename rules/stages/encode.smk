rule encode:
    input:
        train="results/{scale}/{paper}/{case}/truth_train.nc",
        valid="results/{scale}/{paper}/{case}/truth_valid.nc",
        test="results/{scale}/{paper}/{case}/truth_test.nc",
    output:
        codec="results/{scale}/{paper}/{case}/codecs/{codec}.nc",
        train="results/{scale}/{paper}/{case}/codecs/{codec}.tokens_train.nc",
        valid="results/{scale}/{paper}/{case}/codecs/{codec}.tokens_valid.nc",
        test="results/{scale}/{paper}/{case}/codecs/{codec}.tokens_test.nc",
    log:
        "results/{scale}/logs/encode/{paper}.{case}.{codec}.log",
    benchmark:
        "results/{scale}/benchmarks/encode/{paper}.{case}.{codec}.tsv"
    threads: 1
    resources:
        mem_mb=mem("encode"),
        runtime=runtime("encode"),
    params:
        spec=graph.spec("encode"),
    script:
        "../../workflow_scripts/encode.py"
