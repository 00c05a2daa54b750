rule assimilate:
    input:
        observations="results/{scale}/{paper}/{case}/observations_test.nc",
        prior="results/{scale}/{paper}/{case}/prior.nc",
        model=model_of("filters", "filter"),
    output:
        "results/{scale}/{paper}/{case}/analyses/{filter}/batch{batch}.nc",
    log:
        "results/{scale}/logs/assimilate/{paper}.{case}.{filter}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/assimilate/{paper}.{case}.{filter}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("assimilate"),
        runtime=runtime("assimilate"),
        gpu=gpu("assimilate"),
    params:
        spec=spec(
            "assimilate.py",
            case=("{paper}.cases.{case}", "system", "integrator", "observations"),
            filter="{paper}.filters.{filter}",
            tuning="{paper}.cases.{case}.analyses.methods.{filter}",
            batch="seeds",
            device=True,
        ),
    script:
        "../../workflow_scripts/assimilate.py"
