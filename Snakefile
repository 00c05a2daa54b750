"""Tables and figures of papers on dynamical systems, made again from the equations.

The table of contents: configuration, stages in the order of the pipeline, papers, targets.
"""

from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/stages/simulate.smk"
include: "rules/stages/observe.smk"
include: "rules/stages/tune.smk"
include: "rules/stages/train.smk"
include: "rules/stages/assimilate.smk"
include: "rules/stages/evaluate.smk"
include: "rules/stages/time.smk"
include: "rules/stages/studies.smk"
include: "rules/stages/judge.smk"


for paper in config["papers"]:

    include: f"papers/{paper}/rules.smk"


rule all:
    default_target: True
    input:
        TARGETS.values(),
    localrule: True


onstart:
    start()


onsuccess:
    finish()


onerror:
    finish()
