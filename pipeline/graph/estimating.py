"""Stages from the truth to estimates: simulate, observe, assimilate."""

from __future__ import annotations

from pipeline.graph.files import Files, Job
from pipeline.graph.task import CASE, LEARNED_FROM, Sections, Stage, Task, one


def observed_from(files: Files, job: Job) -> Sections:
    """Of a case what its observations depend on: its system where ensembles are drawn from that."""
    more = ("system", "integrator") if "starts" in files.case(job)["prior"] else ()
    return (CASE, "observations", "prior", "dtype", *more)


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
