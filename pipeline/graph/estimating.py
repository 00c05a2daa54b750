"""Stages from the truth to estimates: simulate, observe, assimilate, forecast."""

from __future__ import annotations

from pipeline.graph.files import Files, Job
from pipeline.graph.task import CASE, LEARNED_FROM, Input, Sections, Stage, Task, one


def observed_from(files: Files, job: Job) -> Sections:
    """Of a case what its observations depend on: its system where ensembles are drawn from that."""
    more = ("system", "integrator") if "starts" in files.case(job)["prior"] else ()
    return (CASE, "observations", "prior", "dtype", *more)


def weights(collection: str) -> Input:
    """The trained weights of a method; none of a method without a model."""
    return lambda files, job: files.weights(collection, job) or None


def with_codec(template: str) -> Input:
    """A file of the {codec} of a forecaster."""

    def path(files: Files, job: Job) -> str:
        codec = files.codec_of(job["paper"], "forecasters", job["forecaster"])
        return files.at(template, {**job, "codec": codec})

    return path


def fitted_to(files: Files, job: Job) -> str | None:
    """Tokens of the training part, which a forecaster without trained weights is fitted to."""
    if files.weights("forecasters", job):
        return None
    return with_codec("{here}/codecs/{codec}.tokens_train.nc")(files, job)


SIMULATE = one(
    Task(
        inputs={},
        sections={"case": (CASE, "system", "integrator", "dtype", "truth")},
    )
)

OBSERVE = one(
    Task(
        inputs={
            "train": "{here}/truth_train.nc",
            "valid": "{here}/truth_valid.nc",
            "test": "{here}/truth_test.nc",
        },
        sections={"case": observed_from},
        length=(f"{CASE}.truth",),
    )
)

ASSIMILATE = Stage(
    chosen_by={
        "{paper}.learning.{filter}": "learned",
    },
    tasks={
        "learned": Task(
            inputs={
                "observations": "{here}/observations_test.nc",
                "model": "{here}/models/{filter}/batch{batch}.nc",
            },
            sections={"case": LEARNED_FROM, "model": "{paper}.learning.{filter}"},
            batch="jobs",
            device=True,
            length=(f"{CASE}.truth.test", "samples"),
        ),
    },
)

FORECASTS = {"case": (CASE, "forecasts"), "forecaster": "{paper}.forecasters.{forecaster}"}

FORECAST = Stage(
    chosen_by={
        "{paper}.forecasters.{forecaster}.codec": "tokens",
        "{paper}.forecasters.{forecaster}.model.codec": "tokens",
    },
    tasks={
        "tokens": Task(
            inputs={
                "tokens": with_codec("{here}/codecs/{codec}.tokens_test.nc"),
                "codec": with_codec("{here}/codecs/{codec}.nc"),
                "model": weights("forecasters"),
                "training": fitted_to,
            },
            sections=FORECASTS,
            device=True,
        ),
    },
)
