rule simulate:
    output:
        train="results/{scale}/{paper}/{case}/truth_train.nc",
        valid="results/{scale}/{paper}/{case}/truth_valid.nc",
        test="results/{scale}/{paper}/{case}/truth_test.nc",
    log:
        "results/{scale}/logs/simulate/{paper}.{case}.log",
    benchmark:
        "results/{scale}/benchmarks/simulate/{paper}.{case}.tsv"
    wildcard_constraints:
        case=graph.cases_with("truth", without="era5"),
    threads: 1
    resources:
        mem_mb=mem("simulate"),
        runtime=runtime("simulate"),
    params:
        spec=graph.spec("simulate"),
    script:
        "../../workflow_scripts/simulate.py"
