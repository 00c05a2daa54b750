"""Tables: marks follow numbers, and the text is fixed by them."""

import numpy as np
import pytest
import xarray as xr

from dalib import tables as text
from papers.dkf import tables


def analyses():
    """Scores of a study: two filters on three trajectories."""
    rmse = (("run", "case"), [[1.0, 2.0, 3.0], [0.5, 0.25, 8.0]])
    rmse = xr.Variable(*rmse)
    coords = {"method": ("run", ["ekf", "particle"]), "replicate": ("run", [0, 0])}
    return xr.Dataset(
        {
            "rmse": rmse,
            "estimated": (("run", "state"), [[1.0, 1.0], [1.0, 1.0]]),
            "forecast_rmse": 2 * rmse,
            "spread": rmse,
            "diverged": (rmse > 4).astype(float),
            "obs_rmse": ("case", [1.0, 1.0, 1.0]),
        },
        {**coords, "is_base": ("run", [1, 1]), "case": [0, 1, 2], "state": ["x", "y"]},
    )


def test_filters_are_medians_and_ranges_over_trajectories():
    rows = tables.filters({"filters": analyses()}, {"filters": "step 0.05"})
    assert [row["filter"] for row in rows] == ["ekf", "particle"]
    particle = rows[1]
    assert (particle["RMSE, median"], particle["min"], particle["max"]) == (0.5, 0.25, 8.0)
    assert particle["share diverged"] == 1 / 3 and particle["trajectories"] == 3


def test_a_filter_of_some_components_says_which():
    scores = analyses()
    scores["estimated"][1, 0] = 0.0
    rows = tables.filters({"filters": scores}, {})
    assert [row["filter"] for row in rows] == ["ekf", "particle (only y)"]


def test_speed_is_a_mark_on_the_measured_time():
    times = [[0.0004, 0.0005, 0.0003], [0.002, 0.0021, 0.0024], [0.0009, 0.0012, 0.0008]]
    timing = xr.Dataset(
        {"cpu_seconds_per_state": (("method", "repetition"), times)},
        {"method": ["ekf", "langevin", "flow_ode"]},
    )
    columns = {"filter": "ekf", "diffusion": "langevin", "flow": "flow_ode"}
    published = {"filter": "✓", "diffusion": "✗", "flow": "✓"}
    rows = tables.speed(timing, columns, published, limit=1e-3)
    marks = [(row["ours"], pytest.approx(row["number"])) for row in rows]
    assert marks == [("✓", 0.4), ("✗", 2.1), ("undecided", 0.9)]
    assert "undecided 0.9 [0.8, 1.2] (paper: ✓)" in tables.page(rows)


def test_generalisation_needs_both_no_equations_and_equal_scores():
    published = dict.fromkeys(("a", "b", "c"), "✓")
    rows = tables.generalisation({"a": None, "b": 1.1, "c": 1.3}, published, tolerance=0.2)
    assert [row["ours"] for row in rows] == ["✗", "✓", "✗"]


def test_markdown_has_a_column_for_each_key_and_numbers_on_the_right():
    written = text.markdown([{"a": "x", "b": 0.123456}, {"a": "y", "b": float("nan")}])
    assert written == "| a | b |\n| --- | ---: |\n| x | 0.1235 |\n| y |  |\n"


def test_csv_quotes_commas_and_ends_lines_the_same_everywhere():
    assert text.csv([{"a": "x, y", "b": 2}, {"a": 'z"', "b": None}]) == ('a,b\n"x, y",2\n"z""",\n')


def test_the_wide_table_holds_every_number_beside_both_marks():
    rows = [
        tables.property_row("speed", method, holds=holds, value=value, meaning="ms", published="✓")
        for method, holds, value in [("A", True, 0.5), ("B", False, None)]
    ]
    assert tables.wide(rows) == [
        {"property": "speed", "A": "✓ 0.5 (paper: ✓)", "B": "✗ (paper: ✓)"}
    ]
    assert tables.page(rows, "The end.").endswith("\nspeed: ms.\n\nThe end.\n")


def test_the_ideal_has_a_published_mark_and_none_of_ours():
    row = tables.property_row("speed", "A", holds=True, value=1.0, meaning="ms", published="✓")
    rows = [row, *tables.ideal([row], published="✓")]
    assert tables.wide(rows)[0]["ideal"] == "(paper: ✓)"
    assert tables.notes(rows) == "\nspeed: ms.\n"


def test_a_ratio_is_one_of_medians():
    score = xr.DataArray([1.0, 2.0, 9.0], dims="repeat")
    assert tables.ratio(score, xr.DataArray(4.0)) == 0.5
    assert np.isnan(tables.ratio(score.where(score < 5), xr.DataArray(4.0)))
