rule observe:
    input:
        train=truth_of("train"),
        valid=truth_of("valid"),
        test=truth_of("test"),
    output:
        train="results/{scale}/{paper}/{case}/observations_train.nc",
        valid="results/{scale}/{paper}/{case}/observations_valid.nc",
        test="results/{scale}/{paper}/{case}/observations_test.nc",
        prior="results/{scale}/{paper}/{case}/prior.nc",
    log:
        "results/{scale}/logs/observe/{paper}.{case}.log",
    benchmark:
        "results/{scale}/benchmarks/observe/{paper}.{case}.tsv"
    wildcard_constraints:
        case=cases_with("observations"),
    priority: BEFORE_TUNING
    threads: 1
    resources:
        mem_mb=mem("observe"),
        runtime=runtime("observe"),
    params:
        spec=observe_spec,
    script:
        "../../workflow_scripts/observe.py"
