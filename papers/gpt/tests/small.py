"""Studies of tokens run from end to end in memory, as their stages do it, at scale smoke."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dalib.experiments import data, evaluate, fit, forecast, runs, spec
from pipeline import settings

ROOT = Path(__file__).parents[3]
SYSTEMS = ("henon", "rossler", "lorenz")
ROLE = "forecaster"


@cache
def config(scale: str = "smoke") -> dict[str, Any]:
    """The section of the paper, in float32 whatever the machine."""
    paper = settings.load(ROOT, {"scale": scale})["gpt"]
    paper["forecasters"]["gpt"]["forecaster"]["precision"] = "float32"
    return paper


def entries(study: spec.Study) -> dict[str, list[dict[str, Any]]]:
    """{method: its runs, as specs have them}."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs.runs(study):
        seen = {n: v for n, v in run.coordinates.items() if n != "method.temperature"}
        entry = run.plain() | {"values": runs.values(study, run.coordinates), "data": 0}
        entry |= {"observations": 0, "fit": f"{run.method} {seen} {run.replicate}"}
        found.setdefault(run.method, []).append(entry)
    return found


def fitted(paper: dict, study: spec.Study, method: str, chosen: list, truth: dict) -> Any:
    """What the stage fit makes: each fit once."""
    own = list({entry["fit"]: entry for entry in reversed(chosen)}.values())
    section, experiment = spec.method(paper, study, method), f"2026/gpt/{study.case}"
    seen = observed(paper, study, truth)
    return fit.fits(ROLE, section, {}, own, [seen["train"]], [seen["valid"]], experiment)


def observed(paper: dict, study: spec.Study, truth: dict) -> dict:
    """Observations of every part, here the states themselves."""
    return data.observations(paper["cases"][study.case], truth, f"2026/gpt/{study.case}")


def study_of(name: str, scale: str = "smoke") -> tuple[dict, spec.Study, dict]:
    """(section of the paper, study of a system, truth of its case)."""
    paper = config(scale)
    study = spec.studies(paper)[f"{name}_tokens"]
    return paper, study, data.truths(paper["cases"][study.case], f"2026/gpt/{study.case}")


@cache
def results(name: str) -> SimpleNamespace:
    """Truth of the test part, forecasts of every method and scores of the study of a system."""
    paper, study, truth = study_of(name)
    every = entries(study)
    fits = [fitted(paper, study, method, own, truth) for method, own in every.items()]
    return made(paper, study, truth, every, fits)


def made(paper: dict, study: spec.Study, truth: dict, every: dict, fits: list) -> SimpleNamespace:
    """What the stages forecast and evaluate make of fits."""
    case, experiment = paper["cases"][study.case], f"2026/gpt/{study.case}"
    seen = observed(paper, study, truth)["test"]
    sections = {method: spec.method(paper, study, method) for method in every}
    forecasts = [
        forecast.forecasts(ROLE, sections[m], case, own, [seen], fits, experiment)
        for m, own in every.items()
    ]
    scores = evaluate.scores(
        study.task,
        {"case": case} | {f"method.{name}": section for name, section in sections.items()},
        study.metrics,
        [entry for own in every.values() for entry in own],
        forecasts,
        evaluate.Given([truth["test"]], [truth["train"]], fits=fits),
        role=ROLE,
        experiment=experiment,
    )
    return SimpleNamespace(truth=truth["test"], forecasts=forecasts, scores=scores, case=case)
