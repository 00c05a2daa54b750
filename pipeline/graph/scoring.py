"""Stages that score and measure what methods made: evaluate, time, judge."""

from __future__ import annotations

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


def experiments_scored(files: Files, job: Job) -> dict[str, Sections]:
    return {f"experiment_{name}": f"{{paper}}.learning.{name}" for name in files.experiments(job)}


TESTED, OBSERVED = "{here}/truth_test.nc", "{here}/observations_test.nc"
PRODUCT = f"{CASE}.{{product}}"
TEST = (f"{CASE}.truth.test", "seeds", "samples")
SCORED = {"case": (CASE, "system", "integrator"), "product": PRODUCT}

EVALUATE = Stage(
    chosen_by={PRODUCT: "{product}"},
    tasks={
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
