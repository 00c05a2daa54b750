rule era5:
    input:
        unpack(graph.inputs("era5")),
    output:
        train="results/{scale}/{paper}/{case}/truth_train.nc",
        valid="results/{scale}/{paper}/{case}/truth_valid.nc",
        test="results/{scale}/{paper}/{case}/truth_test.nc",
    log:
        "results/{scale}/logs/era5/{paper}.{case}.log",
    benchmark:
        "results/{scale}/benchmarks/era5/{paper}.{case}.tsv"
    wildcard_constraints:
        case=graph.cases_with("era5"),
    threads: 1
    resources:
        mem_mb=mem("era5"),
        runtime=runtime("era5"),
    params:
        spec=graph.spec("era5"),
    script:
        "../../workflow_scripts/era5.py"
