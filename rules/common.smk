"""Configuration, wildcard constraints, and the one `graph` that rules are wired with."""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from pipeline import audit, cluster, index, outlook, overhead, prune, runs, settings, targets
from pipeline.graph import Graph
from pipeline.store import StoreError
from pipeline.studies import Studies

ROOT = Path(workflow.basedir)
TARGETS = {}  # of each paper, filled by their rules
RUN = {}  # what is known once the jobs begin

try:
    given = workflow.config_settings
    config.update(settings.load(ROOT, given.config, given.configfiles))
    settings.check_targets(sys.argv[1:], config["scale"])
    targets.check(ROOT, config, targets.files(sys.argv[1:]))
    audit.begin(config["scale"], config["cache"]["dir"], main=workflow.is_main_process)
except (settings.ConfigError, audit.ActiveError, StoreError) as error:
    raise WorkflowError(str(error))
WATCH = cluster.watch()
overhead.draw_less(workflow)
SCALE = {"scale": config["scale"]}
graph = Graph(config, ROOT)
STUDIES = Studies(graph.specs)
spec, mem, runtime, gpu = graph.specs.spec, graph.mem, graph.runtime, graph.gpu


wildcard_constraints:
    scale=re.escape(config["scale"]),
    paper="|".join(map(re.escape, graph.papers)),
    case=r"\w+",
    data=r"\w+(\.\w+\.\d+)?",
    study=r"\w+",
    part=r"\d+",
    of="(_valid)?",
    stride=r"\d+",
    std=r"\d+(\.\d+)?",
    codec=r"\w+",
    model=r"\w+",
    filter=r"\w+",
    sampler=r"\w+",
    product="learning",
    batch=r"\d+",


def figure_files(paper, *names):
    """Files of several figures that one job draws: pdf, png (in the report) and data of each."""
    found = {}
    for name in (f"fig{name}" if isinstance(name, int) else name for name in names):
        stem = f"results/{{scale}}/{paper}/figures/{name}"
        shown = {"category": paper, "labels": {"figure": name.removeprefix("fig")}}
        caption = f"{ROOT}/papers/{paper}/captions/{name}.rst"
        found[f"{name}_pdf"] = f"{stem}.pdf"
        found[f"{name}_png"] = report(f"{stem}.png", caption=caption, **shown)
        found[f"{name}_data"] = f"{stem}.nc"
    return found


def start():
    """Refuse to start where no job could be submitted; note what the run costs from here on."""
    if problem := cluster.problem(workflow.executor_plugin.name):
        sys.exit(problem)
    overhead.only_wake_for_jobs(workflow)
    outlook.begin(workflow, config, ROOT, Path(config["cache"]["dir"]))
    RUN["overhead"] = overhead.Overhead.begin()


def finish():
    """Say how many jobs were computed and reused and what a cluster ended; make the index."""
    own = [RUN["overhead"].line()] if "overhead" in RUN else []
    print(runs.summary(), *WATCH.lines(), *own, sep="\n", file=sys.stderr)
    prune.limit(ROOT, config["cache"]["keep_gb"])
    index.main(ROOT, config["scale"])
