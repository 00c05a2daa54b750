"""Stages from the truth to estimates: simulate, era5, observe, assimilate."""

from __future__ import annotations

from pipeline.graph.files import Files, Job
from pipeline.graph.task import CASE, FIELDS_OF, LEARNED_FROM, Input, Sections, Stage, Task, one

TEST = (f"{CASE}.truth.test", "seeds", "samples")


def observed_from(files: Files, job: Job) -> Sections:
    """Of a case what its observations depend on: its system where ensembles are drawn from that."""
    more = ("system", "integrator", "era5") if "starts" in files.case(job)["prior"] else ()
    return (CASE, "observations", "prior", "dtype", *more)


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
