rule sample:
    input:
        model=model_of("samplers", "sampler"),
    output:
        "results/{scale}/{paper}/{case}/samples/{sampler}/batch{batch}.nc",
    log:
        "results/{scale}/logs/sample/{paper}.{case}.{sampler}.{batch}.log",
    benchmark:
        "results/{scale}/benchmarks/sample/{paper}.{case}.{sampler}.{batch}.tsv"
    threads: 1
    resources:
        mem_mb=mem("sample"),
        runtime=runtime("sample"),
        gpu=gpu("sample"),
    params:
        spec=spec(
            "sample.py",
            case=("{paper}.cases.{case}", "samples"),
            sampler="{paper}.samplers.{sampler}",
            device=True,
        ),
    script:
        "../../workflow_scripts/sample.py"
