rule time:
    input:
        unpack(timed),
    output:
        "results/{scale}/{paper}/timing.nc",
    log:
        "results/{scale}/logs/time/{paper}.log",
    benchmark:
        "results/{scale}/benchmarks/time/{paper}.tsv"
    threads: workflow.cores or 1
    resources:
        mem_mb=mem("time"),
        runtime=runtime("time"),
    params:
        spec=spec("time.py", timing="{paper}.timing"),
    script:
        "../../workflow_scripts/time.py"
