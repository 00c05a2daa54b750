"""Errors of filters in twin experiments, at reduced size: 16 seeds, twice the tolerance."""

import pytest

from benchmarks.accuracy_filters import ORDER, ROWS, SAKOV08, SAKOV12, SPANTINI19, scores

pytestmark = pytest.mark.accuracy
SEEDS, CYCLES = 16, 500
REFERENCED = [row for row in ROWS if row.reference is not None]


@pytest.mark.parametrize(
    "row", REFERENCED, ids=lambda row: f"{row.setting.name}, {row.method}".replace(" ", "-")
)
def test_the_median_error_is_the_known_one(row):
    cycles = 100 if row.setting is SPANTINI19 else CYCLES
    found = scores(row, SEEDS, cycles)
    assert found.median == pytest.approx(row.reference, rel=2 * row.tolerance)


def test_the_methods_stand_in_the_known_order():
    rows = {row.method: row for row in ROWS if row.setting is SAKOV12}
    medians = [scores(rows[method], SEEDS, CYCLES).median for method in ORDER]
    assert medians == sorted(medians, reverse=True)


def test_the_stochastic_filter_knows_its_error():
    """The spread of the forecast is its error, N = 40 on Lorenz-96."""
    (row,) = (row for row in ROWS if row.setting is SAKOV08 and row.method.startswith("EnKF N=40"))
    found = scores(row, SEEDS, CYCLES)
    assert found.spread.median().item() == pytest.approx(0.241, rel=0.05)
    assert found.forecast_rmse.median().item() == pytest.approx(0.240, rel=0.05)
