rule simulate_data:
    output:
        train="results/{scale}/{paper}/data/{data}/truth_train.nc",
        valid="results/{scale}/{paper}/data/{data}/truth_valid.nc",
        test="results/{scale}/{paper}/data/{data}/truth_test.nc",
    log:
        "results/{scale}/logs/simulate_data/{paper}.{data}.log",
    benchmark:
        "results/{scale}/benchmarks/simulate_data/{paper}.{data}.tsv"
    wildcard_constraints:
        data=STUDIES.data_of("truth"),
    threads: 1
    resources:
        mem_mb=mem("simulate"),
        runtime=runtime("simulate"),
    params:
        spec=STUDIES.simulate_spec,
    script:
        "../../workflow_scripts/simulate_data.py"


rule era5_data:
    input:
        unpack(STUDIES.reanalysis),
    output:
        train="results/{scale}/{paper}/data/{data}/truth_train.nc",
        valid="results/{scale}/{paper}/data/{data}/truth_valid.nc",
        test="results/{scale}/{paper}/data/{data}/truth_test.nc",
    log:
        "results/{scale}/logs/era5_data/{paper}.{data}.log",
    benchmark:
        "results/{scale}/benchmarks/era5_data/{paper}.{data}.tsv"
    wildcard_constraints:
        data=STUDIES.data_of("era5"),
    threads: 1
    resources:
        mem_mb=mem("era5"),
        runtime=runtime("era5"),
    params:
        spec=STUDIES.reanalysis_spec,
    script:
        "../../workflow_scripts/era5_data.py"


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


rule prior_data:
    input:
        unpack(STUDIES.prior_inputs),
    output:
        "results/{scale}/{paper}/data/{data}/prior{of}.nc",
    log:
        "results/{scale}/logs/prior_data/{paper}.{data}{of}.log",
    benchmark:
        "results/{scale}/benchmarks/prior_data/{paper}.{data}{of}.tsv"
    threads: 1
    resources:
        mem_mb=mem("observe"),
        runtime=runtime("observe"),
    params:
        spec=STUDIES.prior_spec,
    script:
        "../../workflow_scripts/prior_data.py"


rule fit_codec:
    input:
        unpack(STUDIES.learned_inputs),
    output:
        "results/{scale}/{paper}/data/{data}/codecs/{codec}_{stride}_{std}.nc",
    log:
        "results/{scale}/logs/fit_codec/{paper}.{data}.{codec}_{stride}_{std}.log",
    benchmark:
        "results/{scale}/benchmarks/fit_codec/{paper}.{data}.{codec}_{stride}_{std}.tsv"
    threads: 1
    resources:
        mem_mb=mem("train"),
        runtime=runtime("train"),
        gpu=gpu("train"),
    params:
        spec=STUDIES.codec_spec,
    script:
        "../../workflow_scripts/fit_codec.py"


rule fit_dynamics:
    input:
        unpack(STUDIES.learned_inputs),
    output:
        "results/{scale}/{paper}/data/{data}/dynamics.nc",
    log:
        "results/{scale}/logs/fit_dynamics/{paper}.{data}.log",
    benchmark:
        "results/{scale}/benchmarks/fit_dynamics/{paper}.{data}.tsv"
    threads: 1
    resources:
        mem_mb=mem("train"),
        runtime=runtime("train"),
        gpu=gpu("train"),
    params:
        spec=STUDIES.dynamics_spec,
    script:
        "../../workflow_scripts/fit_dynamics.py"


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
        gpu=gpu("fit"),
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
        gpu=gpu("forecast"),
    params:
        spec=STUDIES.forecast_spec,
    script:
        "../../workflow_scripts/forecast_runs.py"


rule assimilate_runs:
    input:
        unpack(STUDIES.assimilate_inputs),
    output:
        "results/{scale}/{paper}/{study}/assimilate/part{part}.nc",
    log:
        "results/{scale}/logs/assimilate_runs/{paper}.{study}.{part}.log",
    benchmark:
        "results/{scale}/benchmarks/assimilate_runs/{paper}.{study}.{part}.tsv"
    threads: 1
    resources:
        mem_mb=mem("assimilate"),
        runtime=runtime("assimilate"),
        gpu=gpu("assimilate"),
    params:
        spec=STUDIES.assimilate_spec,
    script:
        "../../workflow_scripts/assimilate_runs.py"


rule sample_runs:
    input:
        unpack(STUDIES.sample_inputs),
    output:
        "results/{scale}/{paper}/{study}/sample/part{part}.nc",
    log:
        "results/{scale}/logs/sample_runs/{paper}.{study}.{part}.log",
    benchmark:
        "results/{scale}/benchmarks/sample_runs/{paper}.{study}.{part}.tsv"
    threads: 1
    resources:
        mem_mb=mem("sample"),
        runtime=runtime("sample"),
        gpu=gpu("sample"),
    params:
        spec=STUDIES.sample_spec,
    script:
        "../../workflow_scripts/sample_runs.py"


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


rule time_runs:
    input:
        unpack(STUDIES.time_inputs),
    output:
        "results/{scale}/{paper}/{study}/times.nc",
    log:
        "results/{scale}/logs/time_runs/{paper}.{study}.log",
    benchmark:
        "results/{scale}/benchmarks/time_runs/{paper}.{study}.tsv"
    threads: workflow.resource_settings.cores or 1
    resources:
        mem_mb=mem("time"),
        runtime=runtime("time"),
        slurm_extra="--exclusive",  # on a cluster: nobody else on its node
    params:
        spec=STUDIES.time_spec,
    script:
        "../../workflow_scripts/time_runs.py"
