"""What it takes to add to the project, on copies of it: a method, and a paper, at scale smoke."""

import json

import pytest
from test_workflow import Project

pytestmark = pytest.mark.workflow

METHOD = '''"""Persistence of the change: the last step is repeated."""

from dataclasses import dataclass
from typing import ClassVar

import torch


@dataclass(frozen=True)
class Drift:
    needs: ClassVar[frozenset[str]] = frozenset()

    def fit(self, data=None, generator=None):
        return self

    def forecast(self, context, horizon, generator=None):
        steps = torch.arange(1, horizon + 1, dtype=context.dtype)[:, None]
        last, before = context[:, -1:], context[:, -2:-1]
        return (last + steps * (last - before)).unsqueeze(0)
'''

PAPER = {
    "config.yaml": """
title: How far does the last state reach?
authors: A. Student
source: a notebook
cases:
  ring:
    system: {kind: lorenz96, size: 8, forcing: 8.0}
    integrator: {kind: rk4, dt: 0.01, steps: 5}
    truth:
      start: {mean: 8.0, std: 1.0}
      spinup: 5.0
      model_noise_std: 0.0
      train: {seeds: 1, samples: 300}
      valid: {seeds: 1, samples: 50}
      test: {seeds: 2, samples: 100}
    observations: {operator: {kind: identity}, obs_std: 0.5}
    forecast: {context: 12, horizon: 20, starts: 5}
studies:
  forcing:
    case: ring
    task: forecast
    methods: {persistence: {kind: persistence}, analogue: {kind: analogue, delays: 2}}
    vary: {system.forcing: [6.0, 8.0]}
    base: {system.forcing: 8.0}
    metrics: [rmse, vpt]
""",
    "claims.yaml": """
- id: TOY-1
  statement: The analogue forecasts better than the last state
  published: none
  decided_from: smoke
  checks:
    - name: RMSE, analogue / persistence
      measure: {kind: ratio}
      inputs: &both
        numerator: {scores: forcing, variable: rmse, where: {method: analogue, system_forcing: 8.0}}
        denominator:
          {scores: forcing, variable: rmse, where: {method: persistence, system_forcing: 8.0}}
      operator: "<"
      threshold: 1.0
- id: TOY-2
  statement: And is of use at all
  published: none
  decided_from: smoke
  checks: [{name: the same, measure: {kind: ratio}, inputs: *both, operator: ">", threshold: 0.0}]
""",
    "rules.smk": """
TARGETS["toy"] = expand(
    "results/{scale}/toy/{name}",
    name=["figures/fig1.png", "tables/table1.md", "scorecard.json"],
    **SCALE,
)


rule toy:
    input:
        TARGETS["toy"],
    localrule: True


rule toy_figure:
    input:
        scores="results/{scale}/toy/forcing/scores.nc",
    output:
        **figure_files("toy", "fig1"),
    log:
        "results/{scale}/logs/figures/toy.log",
    params:
        spec=spec("figure.py", calls="papers.toy.artefacts:figure"),
    script:
        "../../workflow_scripts/figure.py"


rule toy_table:
    input:
        scores="results/{scale}/toy/forcing/scores.nc",
    output:
        table1="results/{scale}/toy/tables/table1.md",
    log:
        "results/{scale}/logs/tables/toy.log",
    params:
        spec=spec("table.py", calls="papers.toy.artefacts:table"),
    script:
        "../../workflow_scripts/table.py"
""",
    "artefacts.py": '''
"""The figure and the table of the toy."""

from dalib import io, plotting, tables


def figure(inputs, config):
    scores = io.read(inputs.scores)
    fig = plotting.figure()
    fig.add_subplot().bar(range(scores.sizes["run"]), scores.rmse.mean("case"))
    yield plotting.Drawn("fig1", scores, fig, "errors of the toy", list(scores.variables))


def table(inputs, config):
    scores = io.read(inputs.scores)
    runs = zip(scores.method.values, scores.system_forcing.values, scores.rmse, strict=True)
    rows = [{"method": m, "F": float(f), "RMSE": float(e.mean())} for m, f, e in runs]
    return {"table1": [tables.markdown(rows)]}
''',
    "captions/fig1.rst": "Errors by method and forcing.\n",
}


def lines(text: str) -> int:
    return len(text.strip().splitlines())


def test_a_forecaster_is_a_file_a_line_in_a_registry_and_an_entry_in_the_configuration(tmp_path):
    project = Project(tmp_path / "project")
    (project.folder / "dalib/forecasters/drift.py").write_text(METHOD)
    line = '    "persistence": "dalib.forecasters.persistence:Persistence",\n'
    project.edit(
        "dalib/registry.py", line, line + '    "drift": "dalib.forecasters.drift:Drift",\n'
    )
    entry = "      persistence: {kind: persistence}\n"
    project.edit("papers/benchmark/config.yaml", entry, entry + "      drift: {kind: drift}\n")
    table = "results/smoke/benchmark/tables/table1.md"
    run = project.snakemake(table)
    assert run.returncode == 0, run.stdout
    rows = [row for row in (project.folder / table).read_text().splitlines() if "drift" in row]
    assert len(rows) == 2  # at both sizes of the observation error


def test_a_paper_is_a_folder_and_a_word_in_the_configuration(tmp_path):
    assert sum(map(lines, PAPER.values())) <= 100
    project = Project(tmp_path / "project")
    for name, text in PAPER.items():
        path = project.folder / "papers/toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    project.edit("config.yaml", "lensf, benchmark]", "lensf, benchmark, toy]")
    run = project.snakemake("toy")
    assert run.returncode == 0, run.stdout
    toy = project.folder / "results/smoke/toy"
    assert {path.name for path in (toy / "data").iterdir()} == {"ring", "ring.forcing.0"}
    assert len((toy / "tables/table1.md").read_text().splitlines()) == 2 + 2 * 2
    assert (toy / "figures/fig1.png").stat().st_size > 1000
    rows = json.loads((toy / "scorecard.json").read_text())
    assert [row["verdict"] for row in rows] == ["reproduced"] * 2
