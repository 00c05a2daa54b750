"""Errors of filters in twin experiments, at reduced size: 16 seeds, twice the tolerance."""

import pytest

from benchmarks import accuracy_fields
from benchmarks.accuracy_filters import EXPERIMENTS, SAKOV08, SPANTINI19, inversions, scores

pytestmark = pytest.mark.accuracy
SEEDS, CYCLES = 16, 500
REFERENCED = [e for e in EXPERIMENTS if e.reference is not None]


def name(experiment) -> str:
    return f"{experiment.setting.name}, {experiment.method}".replace(" ", "-")


@pytest.mark.parametrize("experiment", REFERENCED, ids=name)
def test_the_median_error_is_the_known_one(experiment):
    cycles = 100 if experiment.setting is SPANTINI19 else CYCLES
    found = scores(experiment, SEEDS, cycles)
    assert found.median == pytest.approx(experiment.reference, rel=2 * experiment.tolerance)


def test_the_methods_stand_in_the_known_order():
    assert inversions(SEEDS, CYCLES) == 0


def test_the_stochastic_filter_knows_its_error():
    """The spread of the forecast is its error, N = 40 on Lorenz-96."""
    enkf = next(e for e in REFERENCED if e.setting is SAKOV08 and e.method == "EnKF N=40 1.06")
    found = scores(enkf, SEEDS, CYCLES)
    assert found.spread.median().item() == pytest.approx(0.241, rel=0.05)
    assert found.forecast_rmse.median().item() == pytest.approx(0.240, rel=0.05)


FIELDS = {row.method: row for row in accuracy_fields.rows()}


@pytest.mark.parametrize(
    ("method", "measure"),
    [
        ("ETKF N=20 1.03 rot", accuracy_fields.flames_error),
        ("climatology", accuracy_fields.two_scales_error),
    ],
)
def test_the_median_error_on_a_field_is_the_published_one(method, measure):
    """Half as many seeds and a fifth of the cycles."""
    row = FIELDS[method]
    found = measure(row.measure.args[0], seeds=8, cycles=200).quantile(0.5).item()
    assert found == pytest.approx(row.expected, abs=2 * row.tolerance)
