rule time:
    input:
        unpack(graph.inputs("time")),
    output:
        "results/{scale}/{paper}/{case}/timing.nc",
    log:
        "results/{scale}/logs/time/{paper}.{case}.log",
    benchmark:
        "results/{scale}/benchmarks/time/{paper}.{case}.tsv"
    threads: workflow.resource_settings.cores or 1
    resources:
        mem_mb=mem("time"),
        runtime=runtime("time"),
        slurm_extra="--exclusive",  # on a cluster: nobody else on its node
    params:
        spec=graph.spec("time"),
    script:
        "../../workflow_scripts/time.py"
