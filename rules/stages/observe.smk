rule observe:
    input:
        unpack(graph.inputs("observe")),
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
        case=graph.cases_with("observations"),
    threads: 1
    resources:
        mem_mb=mem("observe"),
        runtime=runtime("observe"),
    params:
        spec=graph.spec("observe"),
    script:
        "../../workflow_scripts/observe.py"
