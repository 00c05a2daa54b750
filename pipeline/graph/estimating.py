"""Stages from the truth to estimates: simulate, era5, observe, assimilate, forecast."""

from __future__ import annotations

from pipeline.graph.files import Files, Job
from pipeline.graph.task import CASE, FIELDS_OF, LEARNED_FROM, Input, Sections, Stage, Task, one

TEST = (f"{CASE}.truth.test", "seeds", "samples")


def observed_from(files: Files, job: Job) -> Sections:
    """Of a case what its observations depend on: its system where ensembles are drawn from that."""
    more = ("system", "integrator", "era5") if "starts" in files.case(job)["prior"] else ()
    return (CASE, "observations", "prior", "dtype", *more)


def weights(collection: str) -> Input:
    """The trained weights of a method; none of a method without a model."""
    return lambda files, job: files.weights(collection, job) or None


def where_tuned(template: str) -> Input:
    """A file of the case {tuning} on which settings of filters are chosen; none where none are."""

    def path(files: Files, job: Job) -> str | None:
        if not files.tunes(job):
            return None
        case = files.fields(job)["tuning"]["case"]
        return files.at(template, {**job, "tuning": files.folder(job["paper"], case)})

    return path


def codecs_run(files: Files, job: Job) -> list[str] | None:
    """Weights of the codecs that the filters of a job use."""
    return files.codec_files(job, files.codecs_of(job, files.filters_of(job)))


def filters_run(files: Files, job: Job) -> Sections:
    return ("{paper}.filters", *files.filters_of(job))


def runs_of_filters(files: Files, job: Job) -> Sections:
    return (f"{CASE}.fields.methods", *files.filters_of(job))


def conditions(files: Files, job: Job) -> Sections:
    """Of the fields of a case what filters run with."""
    return (f"{CASE}.fields", "base", "sampled", *(["tuning"] if files.tunes(job) else []))


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

ERA5 = one(
    Task(
        inputs={"fields": lambda files, job: files.reanalysis(job, "era5")},
        sections={"case": (CASE, "era5")},
    )
)

OBSERVE = one(
    Task(
        inputs={
            "train": "{home}/truth_train.nc",
            "valid": "{home}/truth_valid.nc",
            "test": "{home}/truth_{scored}.nc",
        },
        sections={"case": observed_from},
        length=(f"{CASE}.truth",),
    )
)

ASSIMILATE = Stage(
    chosen_by={
        f"{CASE}.fields": "fields",
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
        "fields": Task(
            inputs={
                "observations": "{here}/observations_test.nc",
                "prior": "{here}/prior.nc",
                "dynamics": Files.dynamics,
                "validation_truth": where_tuned("{home}/truth_valid.nc"),
                "validation_observations": where_tuned("{tuning}/observations_test.nc"),
                "validation_prior": where_tuned("{tuning}/prior.nc"),
                "models": codecs_run,
            },
            sections={
                "case": FIELDS_OF,
                "filters": filters_run,
                "fields": conditions,
                "methods": runs_of_filters,
            },
            batch="points",
            device=True,
            length=TEST,
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
