rule simulate_data:
    output:
        train="results/{scale}/{paper}/data/{data}/truth_train.nc",
        valid="results/{scale}/{paper}/data/{data}/truth_valid.nc",
        test="results/{scale}/{paper}/data/{data}/truth_test.nc",
    log:
        "results/{scale}/logs/simulate_data/{paper}.{data}.log",
    benchmark:
        "results/{scale}/benchmarks/simulate_data/{paper}.{data}.tsv"
    threads: 1
    resources:
        mem_mb=mem("simulate"),
        runtime=runtime("simulate"),
    params:
        spec=STUDIES.simulate_spec,
    script:
        "../../workflow_scripts/simulate_data.py"


rule observe_data:
    input:
        unpack(STUDIES.observe_inputs),
    output:
        train="results/{scale}/{paper}/data/{data}/observations_train.nc",
        valid="results/{scale}/{paper}/data/{data}/observations_valid.nc",
        test="results/{scale}/{paper}/data/{data}/observations_test.nc",
    log:
        "results/{scale}/logs/observe_data/{paper}.{data}.log",
    benchmark:
        "results/{scale}/benchmarks/observe_data/{paper}.{data}.tsv"
    threads: 1
    resources:
        mem_mb=mem("observe"),
        runtime=runtime("observe"),
    params:
        spec=STUDIES.observe_spec,
    script:
        "../../workflow_scripts/observe_data.py"


rule fit:
    input:
        unpack(STUDIES.fit_inputs),
    output:
        "results/{scale}/{paper}/{study}/fit/part{part}.nc",
    log:
        "results/{scale}/logs/fit/{paper}.{study}.{part}.log",
    benchmark:
        "results/{scale}/benchmarks/fit/{paper}.{study}.{part}.tsv"
    threads: 1
    resources:
        mem_mb=mem("fit"),
        runtime=runtime("fit"),
    params:
        spec=STUDIES.fit_spec,
    script:
        "../../workflow_scripts/fit.py"


rule forecast_runs:
    input:
        unpack(STUDIES.forecast_inputs),
    output:
        "results/{scale}/{paper}/{study}/forecast/part{part}.nc",
    log:
        "results/{scale}/logs/forecast_runs/{paper}.{study}.{part}.log",
    benchmark:
        "results/{scale}/benchmarks/forecast_runs/{paper}.{study}.{part}.tsv"
    threads: 1
    resources:
        mem_mb=mem("forecast"),
        runtime=runtime("forecast"),
    params:
        spec=STUDIES.forecast_spec,
    script:
        "../../workflow_scripts/forecast_runs.py"


rule evaluate_runs:
    input:
        unpack(STUDIES.evaluate_inputs),
    output:
        "results/{scale}/{paper}/{study}/scores.nc",
    log:
        "results/{scale}/logs/evaluate_runs/{paper}.{study}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate_runs/{paper}.{study}.tsv"
    threads: 1
    resources:
        mem_mb=mem("evaluate"),
        runtime=runtime("evaluate"),
    params:
        spec=STUDIES.evaluate_spec,
    script:
        "../../workflow_scripts/evaluate_runs.py"
