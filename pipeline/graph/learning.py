"""Stages that fit something: tune and train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import ConfigError
from pipeline.graph.files import Files, Job
from pipeline.graph.task import LEARNED_FROM, Input, Sections, Stage, Task

EXPERIMENT = "{paper}.learning.{model}"
AFTERWARDS = ("grids", "reference")  # of an experiment what begins when all is learned
TRAINING = ("{paper}.cases.{case}.truth.train", "samples")  # which every epoch goes through
TUNED_AS = ("map", "dtype", "filters", "learned", "losses", "priors", "seen", "base", "base_of")
TUNED_WITH = ("trajectories", "test_trajectories", "segment", "clip", "limit", "restart_beyond")


def tune_of(files: Files, job: Job) -> Mapping[str, Any]:
    """How the learning rates of an experiment are chosen."""
    tune = files.entry(f"{EXPERIMENT}.tune", job)
    if not tune:
        raise ConfigError(
            f"{job['paper']}: the rates of {job['model']} are given, not tuned; set "
            f"{EXPERIMENT.format(**job)}.tune where an experiment is meant"
        )
    return tune


def tuned_as(files: Files, job: Job) -> Sections:
    """Of an experiment what decides its rates."""
    each = tune_of(files, job)["per"] == "repeat"
    return (EXPERIMENT, *TUNED_AS, "tune", "jobs", *(["sweeps"] if each else []))


def tuned_with(files: Files, job: Job, key: str = "training") -> Sections:
    """Of a training what decides the rates."""
    each = tune_of(files, job)["per"] == "repeat"
    return (f"{EXPERIMENT}.{key}", *TUNED_WITH, "schedule", *(["repeats"] if each else []))


def tuned_differently(files: Files, job: Job) -> dict[str, Sections]:
    """Trainings of single filters, where they differ."""
    names = files.experiment(job["paper"], job["model"])["training_of"]
    return {f"training_of_{n}": tuned_with(files, job, f"training_of.{n}") for n in names}


def learned_as(files: Files, job: Job) -> Sections:
    """Of an experiment what learning depends on."""
    section = files.experiment(job["paper"], job["model"])
    return (EXPERIMENT, *(name for name in section if name not in AFTERWARDS))


def part_of(data: str, part: str) -> Input:
    """One part of what a model learns from."""
    return lambda files, job: files.at(data, {**job, "part": part})


def network_from(data: str) -> Task:
    """The training of a network from "..._{part}.nc"."""
    return Task(
        inputs={"training": part_of(data, "train"), "held_out": part_of(data, "valid")},
        sections={"model": "{paper}.models.{model}"},
        batch="repeats",
        device=True,
    )


OBSERVATIONS = {
    "training": "{here}/observations_train.nc",
    "held_out": "{here}/observations_valid.nc",
}

TUNE = Stage(
    tasks={
        "filters": Task(
            inputs=OBSERVATIONS,
            sections={"case": LEARNED_FROM, "model": tuned_as, "training": tuned_with},
            more=tuned_differently,
            batch="jobs",
            device=True,
            length=TRAINING,
        )
    }
)

TRAIN = Stage(
    chosen_by={EXPERIMENT: "filters", "{paper}.models.{model}.data": "{value}"},
    tasks={
        "filters": Task(
            inputs={"rates": Files.rates, **OBSERVATIONS},
            sections={"case": LEARNED_FROM, "model": learned_as},
            batch="jobs",
            device=True,
            length=TRAINING,
        ),
    },
)
