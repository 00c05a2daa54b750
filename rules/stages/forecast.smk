rule forecast:
    input:
        observations="results/{scale}/{paper}/{case}/observations_test.nc",
        model=model_of("forecasters", "forecaster"),
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
        spec=spec(
            "forecast.py",
            case=("{paper}.cases.{case}", "forecasts"),
            forecaster="{paper}.forecasters.{forecaster}",
            device=True,
        ),
    script:
        "../../workflow_scripts/forecast.py"
