rule evaluate:
    input:
        unpack(products),
    output:
        "results/{scale}/{paper}/{case}/scores/{product}.nc",
    log:
        "results/{scale}/logs/evaluate/{paper}.{case}.{product}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate/{paper}.{case}.{product}.tsv"
    threads: 1
    resources:
        mem_mb=mem("evaluate"),
        runtime=runtime("evaluate"),
    params:
        spec=spec(
            "evaluate.py",
            case=("{paper}.cases.{case}", "system", "integrator"),
            product="{paper}.cases.{case}.{product}",
        ),
    script:
        "../../workflow_scripts/evaluate.py"
