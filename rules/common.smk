"""Configuration, wildcard constraints, and the helpers that rules are wired with."""

import math
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from dalib import field_runs
from dalib.era5 import sources
from pipeline import (
    audit,
    cluster,
    costs,
    index,
    kinds,
    outlook,
    overhead,
    plan,
    prune,
    runs,
    settings,
    targets,
    validation,
)
from pipeline.entry_points import entry_point
from pipeline.specs import Specs
from pipeline.store import StoreError

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
PAPERS = [name for name, section in config.items() if kinds.is_paper(section)]
SCALE = {"scale": config["scale"]}
SPECS = Specs(config, ROOT)


wildcard_constraints:
    scale=re.escape(config["scale"]),
    paper="|".join(map(re.escape, PAPERS)),
    case=r"\w+",
    model=r"\w+",
    filter=r"\w+",
    sampler=r"\w+",
    forecaster=r"\w+",
    codec=r"\w+",
    product="analyses|forecasts|samples|codecs|learning|fields|stations",
    batch=r"\d+",


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
    return resource(stage, "mem_mb")


def runtime(stage):
    """Minutes, doubled with every attempt."""
    return resource(stage, "runtime")


# What learning waits for is made first, then learning starts, then comes all that is short.
BEFORE_TUNING, TUNING = 50, 40  # more than any training


def longest_first(stage):
    """Priority of a job, log10 of its multiplications: what is longest should not run last."""

    def priority(wildcards):
        work = costs.size(stage, plan.sections(config, dict(wildcards.items())))
        return round(math.log10(max(work.amount, 1)), 2)

    return priority


def gpu(stage):
    """GPUs of a job: one where the stage runs on cuda."""
    return int(SPECS.device(stage) == "cuda")


def resource(stage, name):
    first = config["resources"].get(stage, config["resources"]["default"])[name]

    def wanted(wildcards, attempt):
        return first * 2 ** (attempt - 1)

    return wanted


def batches(kind, count):
    """Numbers of the batches that carry `count` seeds or repeats."""
    return range(-(-count // config["batches"][kind]))


def batches_of(paper, case, collection, name):
    """Batches of a method: of its training repeats if it has a model, else of the test seeds."""
    section = config[paper]
    model = section[collection][name].get("model")
    if model:
        return batches("repeats", section["models"][model]["training"]["repeats"])
    if collection == "forecasters":
        return range(1)
    return batches("seeds", section["cases"][case]["truth"]["test"]["seeds"])


def results_of(paper, case, product):
    """{method: its result files} of one product of one case."""
    if product == "learning":
        return {
            name: learned_files(paper, case, name, "analyses")
            for name in methods_of(paper, case, product)
        }
    if product == "fields":
        return field_files(paper, case)
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
    return list(config[paper]["cases"][case].get(product, {}).get("methods", []))


def cases_with(key, without=None):
    """A pattern of the cases, each in the folder of its paper, that have a section and lack one."""
    found = [
        f"(?<=/{re.escape(paper)}/){re.escape(name)}"
        for paper in PAPERS
        for name, case in config[paper]["cases"].items()
        if key in case and without not in case
    ]
    return "|".join(found) or "(?!)"


def reanalysis(section):
    """Files of the reanalysis that a section points to; none of a store, or of the stand-in."""
    found = sources.files(section["path"])
    return {"fields": found} if found else {}


def truth_from(wildcards):
    """Files that the truth of a case is read from."""
    return reanalysis(config[wildcards.paper]["cases"][wildcards.case]["era5"])


def home_of(wildcards):
    """Folder of the case whose truth and models a case has: its own, or what it validates."""
    cases = config[wildcards.paper]["cases"]
    home = validation.home_of(cases, wildcards.case)
    return f"results/{wildcards.scale}/{wildcards.paper}/{home}"


def truth_of(part):
    """The true states of a part; of a case that validates another the validation part of that."""

    def states(wildcards):
        validates = validation.KEY in config[wildcards.paper]["cases"][wildcards.case]
        named = "valid" if validates and part == "test" else part
        return f"{home_of(wildcards)}/truth_{named}.nc"

    return states


def codec_files(wildcards, names, suffix=""):
    """Weights of codecs of a case, or `suffix=".history"`; those of the case that it validates."""
    return [f"{home_of(wildcards)}/models/{name}/batch0{suffix}.nc" for name in names]


def fields_of(paper, case):
    """What filters run on the fields of a case; None where it has none."""
    return config[paper]["cases"][case].get("fields")


def field_files(paper, case):
    """{job: analyses on fields, one file for each batch of its runs}."""
    product = fields_of(paper, case)
    return {
        job: expand(
            "results/{scale}/{paper}/{case}/analyses/{job}/batch{batch}.nc",
            scale=config["scale"],
            paper=paper,
            case=case,
            job=job,
            batch=batches("points", sum(len(product["methods"][name]) for name in names)),
        )
        for job, names in field_runs.jobs_of(product).items()
    }


def dynamics_of(wildcards):
    """Weights of the network that forecasts the fields of a case, where one does."""
    section = config[wildcards.paper]["cases"][wildcards.case].get("dynamics")
    if not section:
        return {}
    return {"dynamics": f"{home_of(wildcards)}/models/{section['model']}/batch0.nc"}


def codecs_in(paper, case, names=None):
    """Models of the codecs that filters on fields use, of all filters or of some."""
    product = fields_of(paper, case)
    filters = config[paper]["filters"]
    used = [field_runs.models_of(product, n, filters[n]) for n in names or product["methods"]]
    return list(dict.fromkeys([*sum(used, []), *([] if names else product.get("codecs", []))]))


def products(wildcards):
    """What the stage evaluate reads for one product of one case."""
    case = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
    if wildcards.product == "stations":
        return reanalysis(config[wildcards.paper]["cases"][wildcards.case]["stations"])
    if wildcards.product == "fields":
        codecs = codecs_in(wildcards.paper, wildcards.case)
        files = results_of(wildcards.paper, wildcards.case, "fields")
        found = {
            "truth": truth_of("test")(wildcards),
            "observations": f"{case}/observations_test.nc",
            "methods": sum(files.values(), []),
        }
        if codecs:
            found["models"] = codec_files(wildcards, codecs)
            found["histories"] = codec_files(wildcards, codecs, ".history")
        return found
    if wildcards.product == "codecs":
        names = methods_of(wildcards.paper, wildcards.case, "codecs")
        codecs = [f"{case}/codecs/{name}.nc" for name in names]
        return {"truth": f"{case}/truth_test.nc", "codecs": codecs, **tokens(case, names)}
    files = results_of(wildcards.paper, wildcards.case, wildcards.product)
    if wildcards.product == "learning":
        parts = {"weights": "", "histories": ".history"}
        learned = {
            part: sum(
                (learned_files(*where, "models", suffix) for where in learnings(wildcards)), []
            )
            for part, suffix in parts.items()
        }
        found = {"truth": f"{case}/truth_test.nc", "analyses": sum(files.values(), [])} | learned
        return found | {"observations": f"{case}/observations_test.nc"}
    names = codecs_of(wildcards)
    if names:
        marks = {"methods": sum(files.values(), []), "marks": f"{case}/scores/codecs.nc"}
        return marks | tokens(case, dict.fromkeys(names.values()))
    inputs = {"truth": f"{case}/truth_test.nc", "methods": sum(files.values(), [])}
    if wildcards.product == "analyses":
        inputs["histories"] = histories(wildcards.paper, wildcards.case)
    if wildcards.product == "samples":
        inputs["reference"] = f"{case}/truth_valid.nc"
        inputs["training"] = f"{case}/truth_train.nc"
    else:
        inputs["observations"] = f"{case}/observations_test.nc"
    if wildcards.product == "forecasts":
        inputs["climate"] = f"{case}/truth_valid.nc"
    return inputs


def tokens(case, codecs):
    """Tokens of the training and of the test part, of each codec."""
    return {
        "training": [f"{case}/codecs/{name}.tokens_train.nc" for name in codecs],
        "tokens": [f"{case}/codecs/{name}.tokens_test.nc" for name in codecs],
    }


def codec_of(paper, collection, name):
    """The codec of a model, or of a method itself or through its model; None without one."""
    section = config[paper][collection][name]
    model = config[paper]["models"].get(section.get("model"), {})
    return section.get("codec", model.get("codec"))


def codecs_of(wildcards):
    """{method: codec} of the forecasts of a case, where these are of tokens."""
    if wildcards.product != "forecasts":
        return {}
    methods = methods_of(wildcards.paper, wildcards.case, "forecasts")
    found = {name: codec_of(wildcards.paper, "forecasters", name) for name in methods}
    return {name: codec for name, codec in found.items() if codec}


def score_spec(wildcards):
    """The spec of the stage evaluate: which codec a method has is part of it."""
    if wildcards.product == "stations":
        section_of = spec("evaluate.py", product="{paper}.cases.{case}.stations", calls=scored_by)
        return section_of(wildcards) | {"codecs": {}}
    if wildcards.product == "fields":
        paper, case = wildcards.paper, wildcards.case
        section_of = spec(
            "evaluate.py",
            case=FIELDS_OF,
            product="{paper}.cases.{case}.fields",
            calls=scored_by,
            filters=("{paper}.filters", *methods_of(paper, case, "fields")),
            **{f"model_{name}": f"{paper}.models.{name}" for name in codecs_in(paper, case)},
        )
        return section_of(wildcards) | {"codecs": {}}
    experiments = {
        f"experiment_{name}": f"{paper}.learning.{name}" for paper, _, name in learnings(wildcards)
    }
    more = ["truth", "observations", "prior"] if wildcards.product == "learning" else []
    section_of = spec(
        "evaluate.py",
        case=("{paper}.cases.{case}", "system", "integrator", *more),
        product="{paper}.cases.{case}.{product}",
        calls=scored_by,
        **(experiments if wildcards.product == "learning" else {}),
    )
    return section_of(wildcards) | {"codecs": codecs_of(wildcards)}


def scored_by(wildcards):
    """The function that scores a product."""
    product = "forecasts of tokens" if codecs_of(wildcards) else wildcards.product
    return entry_point(config, wildcards.paper, "evaluate", product)


def learning_of(paper, name):
    """An experiment of filters that learn, None where a model or filter of that name is none."""
    return config[paper].get("learning", {}).get(name)


def tuning_of(paper, name):
    """How the learning rates of an experiment are chosen; None where they are given."""
    return (learning_of(paper, name) or {}).get("tune")


def learnings(wildcards):
    """(paper, case, name) of the experiments of a case."""
    names = methods_of(wildcards.paper, wildcards.case, "learning")
    return [(wildcards.paper, wildcards.case, name) for name in names]


def learned_files(paper, case, name, folder, suffix=""):
    """Files of an experiment, one for each of its jobs."""
    return expand(
        "results/{scale}/{paper}/{case}/{folder}/{name}/batch{batch}{suffix}.nc",
        scale=config["scale"],
        paper=paper,
        case=case,
        folder=folder,
        name=name,
        batch=range(learning_of(paper, name)["jobs"]),
        suffix=suffix,
    )


def learned_scores(paper, role):
    """Scores of the case, or of the cases, that figures of learned filters show in a role."""
    cases = config[paper]["roles"][role]
    found = [
        f"results/{config['scale']}/{paper}/{case}/scores/learning.nc"
        for case in ([cases] if isinstance(cases, str) else cases)
    ]
    return found[0] if isinstance(cases, str) else found


def figure_files(paper, *numbers):
    """Files of several figures that one job draws: pdf, png (in the report) and data of each.

    What is no number is a name: `figS_members`.
    """
    found = {}
    for number in numbers:
        name = f"fig{number}" if isinstance(number, int) else number
        stem = f"results/{{scale}}/{paper}/figures/{name}"
        found[f"{name}_pdf"] = f"{stem}.pdf"
        found[f"{name}_png"] = report(
            f"{stem}.png",
            caption=f"{ROOT}/papers/{paper}/captions/{name}.rst",
            category=paper,
            labels={"figure": name.removeprefix("fig")},
        )
        found[f"{name}_data"] = f"{stem}.nc"
    return found


def scores_in(paper, cases, product):
    """Score files of some cases, each once."""
    folder = f"results/{config['scale']}/{paper}"
    return [f"{folder}/{case}/scores/{product}.nc" for case in dict.fromkeys(cases)]


def timings_in(paper, cases):
    """Timings of those of some cases that have any."""
    folder, known = f"results/{config['scale']}/{paper}", config[paper]["cases"]
    return [
        f"{folder}/{case}/timing.nc" for case in dict.fromkeys(cases) if "timing" in known[case]
    ]


FOLLOWED_WITH = ("grids", "reference")  # of an experiment what begins when all is learned
LEARNED_FROM = ("{paper}.cases.{case}", "system", "integrator", "observations", "prior")


def observe_spec(wildcards):
    """The spec of the stage observe; ensembles to start with are drawn as the system says."""
    case = config[wildcards.paper]["cases"][wildcards.case]
    more = ("system", "integrator", "era5") if "starts" in case["prior"] else ()
    keys = ("observations", "prior", "dtype", *more)
    return spec("observe.py", case=("{paper}.cases.{case}", *keys))(wildcards)


FIELDS_OF = (
    *("{paper}.cases.{case}", "system", "integrator", "dynamics", "era5"),
    *("dtype", "observations"),
)


def train_spec(wildcards):
    """The spec of the stage train, of a network or of filters that learn."""
    if not learning_of(wildcards.paper, wildcards.model):
        section_of = spec(
            "train.py",
            model="{paper}.models.{model}",
            batch="repeats",
            device=True,
            calls=trained_by,
        )
        return section_of(wildcards)
    learns = [n for n in learning_of(wildcards.paper, wildcards.model) if n not in FOLLOWED_WITH]
    section_of = spec(
        "train.py",
        case=LEARNED_FROM,
        model=("{paper}.learning.{model}", *learns),
        device=True,
        calls=trained_by,
    )
    return section_of(wildcards) | {"batch": {"index": int(wildcards.batch)}}


TUNED_AS = ("map", "dtype", "filters", "learned", "losses", "priors", "seen", "base", "base_of")
TUNED_WITH = ("trajectories", "test_trajectories", "segment", "clip", "limit", "restart_beyond")


def tune_spec(wildcards):
    """The spec of the stage tune: of an experiment only what decides its rates."""
    tune = tuning_of(wildcards.paper, wildcards.model)
    if not tune:
        raise WorkflowError(
            f"{wildcards.paper}: the rates of {wildcards.model} are given, not tuned; set "
            f"{wildcards.paper}.learning.{wildcards.model}.tune where an experiment is meant"
        )
    experiment = learning_of(wildcards.paper, wildcards.model)
    section, each = "{paper}.learning.{model}", tune["per"] == "repeat"
    training = (*TUNED_WITH, "schedule", *(["repeats"] if each else []))
    differing = {
        f"training_of_{name}": (f"{section}.training_of.{name}", *training)
        for name in experiment["training_of"]
    }
    section_of = spec(
        "tune.py",
        case=LEARNED_FROM,
        model=(section, *TUNED_AS, "tune", "jobs", *(["sweeps"] if each else [])),
        training=(f"{section}.training", *training),
        device=True,
        calls=entry_point(config, wildcards.paper, "tune", "filters"),
        **differing,
    )
    return section_of(wildcards) | {"batch": {"index": int(wildcards.batch)}}


def tuned_rates(wildcards):
    """Learning rates that filters learn with: none where they are given."""
    tune = tuning_of(wildcards.paper, wildcards.model)
    if not tune:
        return {}
    experiment = learning_of(wildcards.paper, wildcards.model)
    shared = range(min(experiment["jobs"], len(experiment["learned"])))  # a filter is tuned in one
    batches = [wildcards.batch] if tune["per"] == "repeat" else shared
    case = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
    files = [f"{case}/models/{wildcards.model}/batch{batch}.rates.nc" for batch in batches]
    return {"rates": files}


def assimilate_spec(wildcards):
    """The spec of the stage assimilate, with given filters, on fields, or with those that learned."""
    product = fields_of(wildcards.paper, wildcards.case)
    if product:
        names = field_runs.jobs_of(product)[wildcards.filter]
        tuning = ["tuning"] if tuned_on(wildcards, names) else []
        section_of = spec(
            "assimilate.py",
            case=FIELDS_OF,
            filters=("{paper}.filters", *names),
            fields=("{paper}.cases.{case}.fields", "base", "sampled", *tuning),
            methods=("{paper}.cases.{case}.fields.methods", *names),
            batch="points",
            device=True,
            calls=assimilated_by,
        )
        return section_of(wildcards)
    if not learning_of(wildcards.paper, wildcards.filter):
        section_of = spec(
            "assimilate.py",
            case=("{paper}.cases.{case}", "system", "integrator", "observations"),
            filter="{paper}.filters.{filter}",
            tuning="{paper}.cases.{case}.analyses.methods.{filter}",
            batch="seeds",
            device=True,
            calls=assimilated_by,
        )
        return section_of(wildcards)
    section_of = spec(
        "assimilate.py",
        case=LEARNED_FROM,
        model="{paper}.learning.{filter}",
        device=True,
        calls=assimilated_by,
    )
    return section_of(wildcards) | {"batch": {"index": int(wildcards.batch)}}


def assimilated_by(wildcards):
    """The function that runs a filter, on fields or not, by whether it learned."""
    if fields_of(wildcards.paper, wildcards.case):
        return entry_point(config, wildcards.paper, "assimilate", "fields")
    learned = learning_of(wildcards.paper, wildcards.filter)
    return entry_point(config, wildcards.paper, "assimilate", "learned" if learned else "given")


def assimilated_from(wildcards):
    """What a filter is given: observations, the prior, and what was learned."""
    case = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
    given = {"observations": f"{case}/observations_test.nc"}
    if learning_of(wildcards.paper, wildcards.filter):
        return given | {"model": f"{case}/models/{wildcards.filter}/batch{wildcards.batch}.nc"}
    if fields_of(wildcards.paper, wildcards.case):
        product = fields_of(wildcards.paper, wildcards.case)
        filters = field_runs.jobs_of(product)[wildcards.filter]
        names = codecs_in(wildcards.paper, wildcards.case, filters)
        given |= {"prior": f"{case}/prior.nc"} | dynamics_of(wildcards)
        given |= tuned_on(wildcards, filters)
        return given | ({"models": codec_files(wildcards, names)} if names else {})
    weights = model_of("filters", "filter")(wildcards)
    return given | {"prior": f"{case}/prior.nc"} | ({"model": weights} if weights else {})


def tuned_on(wildcards, names):
    """The validation trajectories that choose settings of filters on fields; none of most."""
    paper, case = config[wildcards.paper], wildcards.case
    product = paper["cases"][case]["fields"]
    if not field_runs.tunings_of(product, names, paper["filters"]):
        return {}
    folder = f"results/{wildcards.scale}/{wildcards.paper}"
    where, home = product["tuning"]["case"], validation.home_of(paper["cases"], case)
    return {
        "validation_truth": f"{folder}/{home}/truth_valid.nc",
        "validation_observations": f"{folder}/{where}/observations_test.nc",
        "validation_prior": f"{folder}/{where}/prior.nc",
    }


def encoded_by(wildcards):
    """The function that fits a codec and encodes with it."""
    return entry_point(config, wildcards.paper, "encode", "tokens")


def trained_by(wildcards):
    """The function that trains a model, by what it learns from."""
    if learning_of(wildcards.paper, wildcards.model):
        return entry_point(config, wildcards.paper, "train", "filters")
    data = config[wildcards.paper]["models"][wildcards.model]["data"]
    return entry_point(config, wildcards.paper, "train", data)


def forecast_by(wildcards):
    """The function that forecasts with a method, by what it is given."""
    codec = codec_of(wildcards.paper, "forecasters", wildcards.forecaster)
    return entry_point(config, wildcards.paper, "forecast", "tokens" if codec else "observations")


def forecast_from(wildcards):
    """What a forecaster is given: the past, and its weights, or what it is fitted to."""
    case = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
    weights = model_of("forecasters", "forecaster")(wildcards)
    codec = codec_of(wildcards.paper, "forecasters", wildcards.forecaster)
    if not codec:
        return {"observations": f"{case}/observations_test.nc", "model": weights}
    given = {
        "tokens": f"{case}/codecs/{codec}.tokens_test.nc",
        "codec": f"{case}/codecs/{codec}.nc",
    }
    fitted_to = {"training": f"{case}/codecs/{codec}.tokens_train.nc"}
    return given | ({"model": weights} if weights else fitted_to)


def histories(paper, case):
    """What the training of the models behind a case's filters left behind."""
    filters = config[paper]["filters"]
    models = [
        filters[name]["model"]
        for name in methods_of(paper, case, "analyses")
        if "model" in filters[name]
    ]
    return [path for model in models for path in model_files(paper, case, model, ".history")]


def scores(paper):
    """All score files of a paper's active cases."""
    return [
        f"results/{config['scale']}/{paper}/{case}/scores/{product}.nc"
        for case in config[paper]["active"]
        for product in ("analyses", "forecasts", "samples", "codecs", "learning", "fields")
        if methods_of(paper, case, product)
    ] + [
        f"results/{config['scale']}/{paper}/{case}/scores/stations.nc"
        for case in config[paper]["active"]
        if "stations" in config[paper]["cases"][case]
    ]


def scores_of(paper, product):
    """The score files of one product, of every active case that has it."""
    return [path for path in scores(paper) if Path(path).stem == product]


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
    """What the stage judge reads: all scores and timings of a paper."""
    paper, section = wildcards.paper, config[wildcards.paper]
    timings = [
        f"results/{wildcards.scale}/{paper}/{case}/timing.nc"
        for case in section["active"]
        if "timing" in section["cases"][case]
    ]
    return scores(paper) + timings


def judge_spec(wildcards):
    """The spec of the stage judge, with the roles of the cases where claims can name them."""
    given = {"roles": "{paper}.roles"} if "roles" in config[wildcards.paper] else {}
    return spec("judge.py", kinds_in="papers/{paper}/claims.yaml", **given)(wildcards)


def timed(wildcards):
    """What the stage time reads: observations, and with them prior and first batches of models."""
    paper = f"results/{wildcards.scale}/{wildcards.paper}"
    settings = config[wildcards.paper]["cases"][wildcards.case]["timing"]
    if "experiments" in settings:
        return {
            f"observations_{name}": f"{paper}/{case}/observations_train.nc"
            for name, case in cases_timed(wildcards).items()
        }
    if fields_of(wildcards.paper, wildcards.case):
        case = f"{paper}/{wildcards.case}"
        names = codecs_in(wildcards.paper, wildcards.case, settings["methods"])
        return {
            "observations": f"{case}/observations_test.nc",
            "prior": f"{case}/prior.nc",
            **dynamics_of(wildcards),
            **({"models": codec_files(wildcards, names)} if names else {}),
        }
    return {
        "observations": f"{paper}/{wildcards.case}/observations_test.nc",
        "prior": f"{paper}/{wildcards.case}/prior.nc",
        "models": [
            f"{paper}/{case}/models/{model}/batch0.nc" for model, case in settings["models"].items()
        ],
    }


def timing_spec(wildcards):
    """The spec of the stage time: of all methods or experiments only those that it times."""
    settings = config[wildcards.paper]["cases"][wildcards.case]["timing"]
    if "experiments" in settings:
        _, *keys = LEARNED_FROM
        cases = cases_timed(wildcards)
        section_of = spec(
            "time.py",
            settings="{paper}.cases.{case}.timing",
            calls=timed_by,
            **{f"case_{n}": (f"{{paper}}.cases.{case}", *keys) for n, case in cases.items()},
            **{f"experiment_{name}": f"{{paper}}.learning.{name}" for name in cases},
        )
        return section_of(wildcards)
    if fields_of(wildcards.paper, wildcards.case):
        section_of = spec(
            "time.py",
            case=FIELDS_OF,
            settings="{paper}.cases.{case}.timing",
            fields=("{paper}.cases.{case}.fields", "base", "methods"),
            calls=timed_by,
            **{f"filter_{n}": f"{{paper}}.filters.{n}" for n in settings["methods"]},
        )
        return section_of(wildcards)
    section_of = spec(
        "time.py",
        case=("{paper}.cases.{case}", "system", "integrator", "observations", "timing"),
        filters=("{paper}.filters", *settings["filters"]),
        samplers=("{paper}.samplers", *settings["samplers"]),
        calls=timed_by,
    )
    return section_of(wildcards)


def cases_timed(wildcards):
    """{experiment that is timed: the case that it runs on}."""
    settings = config[wildcards.paper]["cases"][wildcards.case]["timing"]
    others = settings.get("cases", {})
    return {name: others.get(name, wildcards.case) for name in settings["experiments"]}


def timed_by(wildcards):
    """The function that measures times, by what is timed."""
    settings = config[wildcards.paper]["cases"][wildcards.case]["timing"]
    task = "learning" if "experiments" in settings else "methods"
    if fields_of(wildcards.paper, wildcards.case):
        task = "fields"
    return entry_point(config, wildcards.paper, "time", task)


def learned_from(split):
    """What a model learns from: observations, or states of the truth, of one split."""

    def data(wildcards):
        if learning_of(wildcards.paper, wildcards.model):
            return f"results/{{scale}}/{{paper}}/{{case}}/observations_{split}.nc"
        kind = config[wildcards.paper]["models"][wildcards.model]["data"]
        if kind == "tokens":
            codec = codec_of(wildcards.paper, "models", wildcards.model)
            return f"results/{{scale}}/{{paper}}/{{case}}/codecs/{codec}.tokens_{split}.nc"
        if kind in ("fields", "forecast"):
            return f"results/{{scale}}/{{paper}}/{{case}}/truth_{split}.nc"
        return f"results/{{scale}}/{{paper}}/{{case}}/{kind}_{split}.nc"

    return data


def model_of(collection, wildcard):
    """The trained weights a method names with `model:`; nothing for a method without."""

    def weights(wildcards):
        method = wildcards[wildcard] if hasattr(wildcards, "keys") else getattr(wildcards, wildcard)
        model = config[wildcards.paper][collection][method].get("model")
        if not model:
            return []
        case = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.case}"
        return f"{case}/models/{model}/batch{wildcards.batch}.nc"

    return weights


def codec_shown(paper, case, suffix=""):
    """The codec of the column that figures show of a case, or its tokens."""
    column = config[paper]["columns"][config[paper]["shown"][case]]
    return f"results/{config['scale']}/{paper}/{case}/codecs/{column['cells']}{suffix}.nc"


def forecasts_shown(paper, case, *roles):
    """Forecasts of the methods under `roles` of that column, as far as the case runs them."""
    column = config[paper]["columns"][config[paper]["shown"][case]]
    files = results_of(paper, case, "forecasts")
    return [path for role in roles for path in files.get(column[role], [])]


def histories_of(paper):
    """What the training of the models of a paper's columns left behind, in the active cases."""
    columns = [c for c in config[paper]["columns"].values() if "network" in c]
    return [
        path
        for column in columns
        if column["generated"] in results_of(paper, column["case"], "forecasts")
        and column["case"] in config[paper]["active"]
        for path in model_files(paper, column["case"], column["network"], ".history")
    ]


def sizes_of_updates(paper):
    """Sections of a spec: how many windows of how many tokens each model sees in an update."""
    models = config[paper]["models"]
    batch = {f"batch_{name}": f"{paper}.models.{name}.training.batch" for name in models}
    return batch | {f"context_{name}": f"{paper}.models.{name}.network.context" for name in models}


def start():
    """Refuse to start where no job could be submitted; note what the run costs from here on."""
    problem = cluster.problem(workflow.executor_plugin.name)
    if problem:
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
