rule forecast:
    input:
        unpack(forecast_from),
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
            calls=forecast_by,
        ),
    script:
        "../../workflow_scripts/forecast.py"
