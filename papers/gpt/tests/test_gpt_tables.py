"""Tables on tokens: numbers of the scores beside published ones, and a text filled with them."""

from pathlib import Path

import numpy as np
import pytest
import small
import xarray as xr
import yaml

from dalib import tables as text
from papers.gpt.runs import CELLS, select
from papers.gpt.tables import columns
from papers.gpt.tables import quantities as tokens

ROOT = Path(__file__).parents[3]
PLOT = yaml.safe_load((ROOT / "papers/gpt/config.yaml").read_text())["plot"]
SMOKE = small.config()["plot"]


def scores(systems=small.SYSTEMS):
    return {f"{name}_tokens": small.results(name).scores for name in systems}


def table(names=SMOKE["table"], **choices):
    return columns.columns(SMOKE["columns"], names, scores(**choices))


def shown(table):
    return columns.values(table, SMOKE["table"], tokens.ALL)


def test_a_cell_is_a_number_or_a_median_with_quantiles():
    assert str(columns.cell(xr.DataArray(np.arange(101.0)))) == "50 [5–95]"
    assert str(columns.cell(xr.DataArray(0.123456))) == "0.123"
    assert str(columns.cell(xr.DataArray([5055, 5055]))) == "5055"
    assert columns.cell(xr.DataArray([np.nan, np.nan])) is None and columns.cell(None) is None
    assert columns.cell(xr.DataArray([np.nan, 2.0])) == (2.0, None, None, 3)


def test_published_numbers_are_shown_as_they_are_printed():
    assert str(columns.Cell(3.0379, digits=6)) == "3.0379"
    found = shown(table())
    assert found["henon.said"] == "0.00499" and found["henon.said_ratio"] == "1.32"
    assert found["henon.divergence_said"] is None


def test_numbers_are_those_of_the_column_s_own_codec_and_methods():
    held, found = scores()["henon_tokens"], table()
    own = select(held, "gpt", 50, 1.0)
    assert own.sizes["run"] == 2  # replicates
    rows = columns.rows(found, tokens.DISTANCES)
    value = {(r["column"], r["quantity"]): r["value"] for r in rows}
    label = "Hénon, n = 50"
    true = float(own.true_w1.isel(run=0).median())
    assert value[label, "GPT-2 (T = 1) v. true"] == float(own.w1.median())
    assert value[label, "true v. true"] == true
    assert value[label, "ratio of medians"] == float(own.w1.median()) / true
    chain = select(held, "markov", 50, 1.0).w1
    assert value[label, "Markov chain, order 1, v. true"] == float(chain.median())


def test_shares_are_percentages():
    share = xr.DataArray([0.0, 1.0, 1.0])
    assert columns.cell(columns.percent(share)).value == 100
    distances = xr.DataArray([1.0, 2.0, 3.0, 4.0])
    assert columns.share_from(distances, columns.Cell(3.0)) == columns.Cell(50.0)


def test_what_a_scale_leaves_out_has_no_column_row_or_value():
    held = scores(systems=("henon",))
    own = held["henon_tokens"]
    held["henon_tokens"] = own.isel(run=(own["method"] == "gpt").values.nonzero()[0])
    found = columns.columns(SMOKE["columns"], SMOKE["table"], held)
    assert list(found) == ["henon"]
    page = columns.page(found, tokens.DISTANCES, "The end.")
    assert page.startswith("|  | Hénon, n = 50 |\n") and page.endswith("\nThe end.\n")
    assert "Markov" not in page and "GPT-2 (T = 1) v. true" in page
    values = shown(found)
    assert values["henon.chain"] is None and values["lorenz20.w1"] is None


def test_a_column_needs_the_scores_of_its_cells():
    found = table()
    assert list(found) == ["lorenz20", "henon", "rossler"]
    assert (scores()["lorenz_tokens"][CELLS] == 20).all()


def test_without_names_or_scores_there_are_no_columns_and_an_unknown_name_is_an_error():
    assert table(names=[]) == {}
    assert columns.columns(SMOKE["columns"], SMOKE["table"], {}) == {}
    with pytest.raises(KeyError, match="lorenz99"):
        table(names=["henon", "lorenz99"])


def test_columns_keep_the_order_that_is_asked_for():
    found = table(names=["rossler", "henon"])
    assert list(found) == ["rossler", "henon"]
    head = columns.page(found, tokens.DYNAMICS, "").splitlines()[0]
    assert head == "|  | Rössler, n = 20 | Hénon, n = 50 |"


def test_agreement_of_true_draws_stands_where_they_were_drawn():
    values = shown(table())
    assert values["henon.match_true"] is None and values["rossler.match_true"] is not None


def test_every_name_of_a_quantity_is_one_of_its_own():
    names = [q.name for q in tokens.ALL]
    assert len(names) == len(set(names))
    labels = [q.label for q in tokens.ALL]
    assert len(labels) == len(set(labels))


def test_a_text_leaves_out_blocks_without_their_numbers_and_empty_headings():
    template = "# A\n\nOne {x}.\n\n## B\n\nTwo {y}.\n\n## C\n\nThree.\n"
    assert text.filled(template, {"x": "1", "y": None}) == "# A\n\nOne 1.\n\n## C\n\nThree.\n"
    with pytest.raises(KeyError, match="y"):
        text.filled(template, {"x": "1"})


def story(found):
    template = (ROOT / "papers/gpt/story.md").read_text()
    return text.filled(template, columns.values(found, PLOT["table"], tokens.ALL))


def test_the_story_names_only_what_the_tables_have():
    """Of every column that the configuration has; here none of them was computed."""
    told = story({})
    assert told.startswith("# ") and "{" not in told


def test_the_story_is_told_with_the_numbers_of_the_run():
    found = table()
    own = shown(found)
    told = story(found)
    assert f"Hénon: GPT-2 {own['henon.w1']}" in told and own["lorenz20.over_95"] in told
    assert "n = 35" not in told  # not computed


def test_published_numbers_stand_in_one_place():
    """Those of Table I are in the configuration; code and texts for it hold none of them."""
    numbers = {str(n) for c in PLOT["columns"].values() for n in c["published"].values()}
    places = [*(ROOT / "dalib").rglob("*.py"), *(ROOT / "papers/gpt").glob("[ft]*es/*.py")]
    places += [ROOT / "papers/gpt/story.md", *(ROOT / "papers/gpt/captions").glob("*")]
    distinctive = {n for n in numbers if len(n) > 5}
    assert len(distinctive) > 8
    for path in places:
        assert not [n for n in distinctive if n in path.read_text()], path
