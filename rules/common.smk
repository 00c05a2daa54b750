"""Configuration, wildcard constraints, and the helpers that rules are wired with."""

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from dalib.workflow import start
from dalib.workflow.settings import ConfigError
from dalib.workflow.specs import Specs

ROOT = Path(workflow.basedir)
TARGETS = {}  # of each paper, filled by rules/papers

try:
    config.update(settings.load(ROOT, workflow.config_settings.overwrite_config))
except ConfigError as error:
    raise WorkflowError(str(error))

wildcard_constraints:
    scale=re.escape(config["scale"]),
    paper="|".join(map(re.escape, PAPERS)),
    case=r"\w+",
    model=r"\w+",
    filter=r"\w+",
    sampler=r"\w+",
    forecaster=r"\w+",
    product="analyses|forecasts|samples",
    batch=r"\d+",


SPECS = Specs(config, ROOT)
SCALE = {"scale": config["scale"]}
PAPERS = [name for name, section in config.items() if isinstance(section, dict) and "cases" in section]


def spec(script, *, batch=None, **sections):
    """The function of the wildcards that snakemake calls for `params.spec`."""
    section_of = SPECS.spec(script, **sections)
    if batch is None:
        return section_of

    def with_batch(wildcards):
        size = config["batches"][batch]
        return section_of(wildcards) | {"batch": {"index": int(wildcards.batch), "size": size}}

    return with_batch


def mem(stage):
    """Memory in MB, doubled with every attempt."""
    return lambda wildcards, attempt: resource(stage, "mem_mb") * 2 ** (attempt - 1)


def runtime(stage):
    """Minutes, doubled with every attempt."""
    return lambda wildcards, attempt: resource(stage, "runtime") * 2 ** (attempt - 1)


def resource(stage, name):
    return config["resources"].get(stage, config["resources"]["default"])[name]


def batches(kind, count):
    """Numbers of the batches that carry `count` seeds or repeats."""
    return range(-(-count // config["batches"][kind]))


def batches_of(paper, case, collection, name):
    """Batches of a method: of its training repeats if it has a model, else of the test seeds."""
    section = config[paper]
    model = section[collection][name].get("model")
    if model:
        return batches("repeats", section["models"][model]["training"]["repeats"])
    return batches("seeds", section["cases"][case]["truth"]["test"]["seeds"])


def results_of(paper, case, product):
    """{method: its result files} of one product of one case."""
    collection = {"analyses": "filters", "forecasts": "forecasters", "samples": "samplers"}[product]
    return {
        method: expand(
            "results/{scale}/{paper}/{case}/{product}/{method}/batch{batch}.nc",
            scale=config["scale"],
            paper=paper,
            case=case,
            product=product,
            method=method,
            batch=batches_of(paper, case, collection, method),
        )
        for method in methods_of(paper, case, product)
    }


def methods_of(paper, case, product):
    section = config[paper]["cases"][case]
    if product == "analyses":
        return list(section.get("methods", {}))
    return section.get(product, {}).get("methods", [])


def products(wildcards):
    """What the stage evaluate reads for one product of one case."""
    case = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
    files = results_of(wildcards.paper, wildcards.case, wildcards.product)
    inputs = {"truth": f"{case}/truth_test.nc", "methods": sum(files.values(), [])}
    if wildcards.product == "samples":
        inputs["reference"] = f"{case}/truth_valid.nc"
        inputs["training"] = f"{case}/truth_train.nc"
    else:
        inputs["observations"] = f"{case}/observations_test.nc"
    if wildcards.product == "forecasts":
        inputs["analyses"] = f"{case}/scores/analyses.nc"
        inputs["training"] = f"{case}/truth_train.nc"
    return inputs


def scores(paper):
    """All score files of a paper's active cases."""
    return [
        f"results/{config['scale']}/{paper}/{case}/scores/{product}.nc"
        for case in config[paper]["active"]
        for product in ("analyses", "forecasts", "samples")
        if methods_of(paper, case, product)
    ]


def scores_of(paper, product):
    """The score files of one product, of every active case that has it."""
    return [path for path in scores(paper) if path.endswith(f"/{product}.nc")]


def model_files(paper, case, model, suffix=""):
    """Files of a trained model, one a batch of repeats: weights, or `suffix=".history"`."""
    repeats = config[paper]["models"][model]["training"]["repeats"]
    return expand(
        "results/{scale}/{paper}/{case}/models/{model}/batch{batch}{suffix}.nc",
        scale=config["scale"],
        paper=paper,
        case=case,
        model=model,
        batch=batches("repeats", repeats),
        suffix=suffix,
    )


def judged(wildcards):
    timing = "results/{scale}/{paper}/timing.nc".format(**wildcards)
    return scores(wildcards.paper) + [timing]


def timed(wildcards):
    """What the stage time reads: observations, prior and models of the case that it times."""
    section = config[wildcards.paper]["timing"]
    folder = f"results/{wildcards.scale}/{wildcards.paper}"
    return {
        "observations": f"{folder}/{section['case']}/observations_test.nc",
        "prior": f"{folder}/{section['case']}/prior.nc",
        "models": [
            f"{folder}/{case}/models/{model}/batch0.nc" for model, case in section["models"].items()
        ],
    }


def learned_from(split):
    """What a model learns from: observations, or states of the truth, of one split."""

    def data(wildcards):
        kind = config[wildcards.paper]["models"][wildcards.model]["data"]
        return f"results/{{scale}}/{{paper}}/{{case}}/{kind}_{split}.nc"

    return data


def model_of(collection, wildcard):
    """The trained weights a method names with `model:`; nothing for a method without."""

    def weights(wildcards):
        method = wildcards[wildcard] if hasattr(wildcards, "keys") else getattr(wildcards, wildcard)
        model = config[wildcards.paper][collection][method].get("model")
        if not model:
            return []
        return (
            f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
            f"/models/{model}/batch{wildcards.batch}.nc"
        )

    return weights
