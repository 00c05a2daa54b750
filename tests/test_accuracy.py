"""The table of known figures: how a row is judged, and the rows that cost little."""

import csv

import pytest
import torch

from benchmarks import accuracy, accuracy_linear, accuracy_smoothers, accuracy_systems
from benchmarks.rows import HEADER, Row, line, run, write_csv


def row(*values: float, expected=1.0, tolerance=0.1) -> Row:
    return Row("0", "setting", "method", expected, tolerance, lambda: torch.tensor(values))


def test_the_median_over_seeds_is_judged():
    assert run(row(1.0, 1.05, 9.0)).verdict == "holds"
    assert run(row(0.5, 1.2, 1.3)).verdict == "FAILS"
    assert run(row(0.8)).verdict == "FAILS"  # much lower is as suspicious as higher
    assert run(row(1.0, 1.1, 2.3)).above_twice_the_median == pytest.approx(1 / 3)


def test_a_value_that_is_not_finite_is_infinitely_wrong():
    outcome = run(row(1.0, torch.nan, torch.nan))
    assert outcome.verdict == "FAILS"
    assert outcome.highest == float("inf")
    assert run(row(1.0, 1.0, torch.nan)).verdict == "holds"


def test_a_line_has_a_cell_for_each_heading(tmp_path):
    outcome = run(row(1.0, 1.1))
    assert line(outcome).count("|") == HEADER.count("|")
    write_csv([outcome], tmp_path / "table.csv")
    (stored,) = csv.DictReader((tmp_path / "table.csv").open())
    assert stored["verdict"] == "holds" and float(stored["median"]) == outcome.median


def test_every_section_has_rows():
    sections = [row.section for row in accuracy.rows()]
    assert set(sections) >= {"1", "2", "3a", "3b", "4a", "4b", "4c"}


CHEAP = [
    row
    for row in [*accuracy_linear.rows(), *accuracy_systems.rows()]
    if row.section == "2" and "10000 cycles" not in row.method or "RK4" in row.method
]


@pytest.mark.accuracy
@pytest.mark.parametrize("row", CHEAP, ids=lambda row: f"{row.setting}, {row.method}")
def test_cheap_figures_hold(row):
    assert run(row).verdict == "holds"


@pytest.mark.accuracy
@pytest.mark.parametrize("kind", ["EnKS", "EnRTS"])
def test_later_observations_make_an_ensemble_better(kind):
    assert accuracy_smoothers.worse(kind, seeds=4, cycles=60) == 0
