"""Stages that score and measure what methods made: evaluate, time, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.graph.files import Files, Job
from pipeline.graph.task import (
    CASE,
    LEARNED_FROM,
    Input,
    Sections,
    Stage,
    Task,
    one,
)

# -- evaluate --------------------------------------------------------------------------------------


def codecs_scored(files: Files, job: Job) -> list[str]:
    return files.methods(job["paper"], job["case"], "codecs")


def codecs_of_forecasts(files: Files, job: Job) -> Iterable[str]:
    return dict.fromkeys(files.codecs_of_forecasts(job).values())


def for_each(
    names: Callable[[Files, Job], Iterable[str]], template: str
) -> Callable[[Files, Job], list[str]]:
    """A file of each {name}."""
    return lambda files, job: [files.at(template, {**job, "name": n}) for n in names(files, job)]


def codecs_named(files: Files, job: Job) -> dict[str, Any]:
    """Which codec a method has is part of the spec."""
    return {"codecs": files.codecs_of_forecasts(job)}


def no_codecs(files: Files, job: Job) -> dict[str, Any]:
    return {"codecs": {}}


def experiments_scored(files: Files, job: Job) -> dict[str, Sections]:
    return {f"experiment_{name}": f"{{paper}}.learning.{name}" for name in files.experiments(job)}


TESTED, OBSERVED = "{here}/truth_test.nc", "{here}/observations_test.nc"
PRODUCT = f"{CASE}.{{product}}"
TEST = (f"{CASE}.truth.test", "seeds", "samples")
SCORED = {"case": (CASE, "system", "integrator"), "product": PRODUCT}

EVALUATE = Stage(
    chosen_by={
        lambda files, job: files.codecs_of_forecasts(job): "{product} of tokens",
        PRODUCT: "{product}",
    },
    tasks={
        "codecs": Task(
            inputs={
                "truth": TESTED,
                "codecs": for_each(codecs_scored, "{here}/codecs/{name}.nc"),
                "training": for_each(codecs_scored, "{here}/codecs/{name}.tokens_train.nc"),
                "tokens": for_each(codecs_scored, "{here}/codecs/{name}.tokens_test.nc"),
            },
            sections=SCORED,
            extras=no_codecs,
            length=TEST,
        ),
        "forecasts of tokens": Task(
            inputs={
                "methods": Files.of_methods,
                "marks": "{here}/scores/codecs.nc",
                "training": for_each(codecs_of_forecasts, "{here}/codecs/{name}.tokens_train.nc"),
                "tokens": for_each(codecs_of_forecasts, "{here}/codecs/{name}.tokens_test.nc"),
            },
            sections=SCORED,
            extras=codecs_named,
            length=TEST,
        ),
        "learning": Task(
            inputs={
                "truth": TESTED,
                "analyses": lambda files, job: files.learned(job, "analyses"),
                "weights": lambda files, job: files.learned(job, "models"),
                "histories": lambda files, job: files.learned(job, "models", ".history"),
                "observations": OBSERVED,
            },
            sections={
                "case": (CASE, "system", "integrator", "truth", "observations", "prior"),
                "product": PRODUCT,
            },
            more=experiments_scored,
            extras=no_codecs,
        ),
    },
)


# -- time ------------------------------------------------------------------------------------------


def observations_timed(files: Files, job: Job) -> dict[str, Input]:
    """What experiments learn from, each in the case that it runs on."""
    return {
        f"observations_{name}": f"{files.folder(job['paper'], case)}/observations_train.nc"
        for name, case in files.cases_timed(job).items()
    }


def experiments_timed(files: Files, job: Job) -> dict[str, Sections]:
    """Experiments, with the cases that they run on."""
    cases, keys = files.cases_timed(job), LEARNED_FROM[1:]
    return {
        **{f"case_{name}": (f"{{paper}}.cases.{case}", *keys) for name, case in cases.items()},
        **{f"experiment_{name}": f"{{paper}}.learning.{name}" for name in cases},
    }


TIME = Stage(
    chosen_by={
        f"{CASE}.timing.experiments": "learning",
    },
    tasks={
        "learning": Task(
            inputs=observations_timed,
            sections={"settings": f"{CASE}.timing"},
            more=experiments_timed,
        ),
    },
)


# -- judge -----------------------------------------------------------------------------------------


def judged(files: Files, job: Job) -> list[str]:
    """All scores and timings of a paper."""
    paper = job["paper"]
    timed = files.timings_in(paper, files.active(paper)) + files.study_times(paper)
    return files.scores(paper) + timed


def roles(files: Files, job: Job) -> Sections | None:
    """The roles of the cases, where claims can name them."""
    return "{paper}.roles" if "roles" in files.config[job["paper"]] else None


JUDGE = one(
    Task(
        inputs={"claims": "papers/{paper}/claims.yaml", "scores": judged},
        sections={"roles": roles},
        kinds_in="papers/{paper}/claims.yaml",
    )
)
