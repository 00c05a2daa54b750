"""Tables on tokens: numbers of the scores beside published ones, and a text filled with them."""

from pathlib import Path

import made_up_tokens as made_up
import numpy as np
import pytest
import xarray as xr
import yaml

from dalib import tables as text
from papers.gpt.tables import columns
from papers.gpt.tables import quantities as tokens

ROOT = Path(__file__).parents[3]


def scores(cases=tuple(made_up.CASES), chains=True):
    marks = {f"{case}/codecs": made_up.codec_scores(case) for case in cases}
    made = {f"{c}/forecasts": made_up.forecast_scores(c, chains=chains) for c in cases}
    return marks | made


def table(**choices):
    settings = made_up.columns()
    return columns.columns(settings, list(settings), scores(**choices))


def shown(table):
    return columns.values(table, made_up.columns(), tokens.ALL)


def test_a_cell_is_a_number_or_a_median_with_quantiles():
    assert str(columns.cell(xr.DataArray(np.arange(101.0)))) == "50 [5–95]"
    assert str(columns.cell(xr.DataArray(0.123456))) == "0.123"
    assert str(columns.cell(xr.DataArray([5055, 5055]))) == "5055"
    assert columns.cell(xr.DataArray([np.nan, np.nan])) is None and columns.cell(None) is None
    assert columns.cell(xr.DataArray([np.nan, 2.0])) == (2.0, None, None, 3)


def test_published_numbers_are_shown_as_they_are_printed():
    assert str(columns.Cell(3.0379, digits=6)) == "3.0379"
    found = shown(table())
    assert found["henon.said"] == "0.005" and found["henon.said_ratio"] == "1.25"
    assert found["henon.divergence_said"] is None


def test_numbers_are_those_of_the_column_s_own_codec_and_methods():
    held, found = scores(), table()
    own = held["lorenz/forecasts"].w1.sel({"method": "lorenz50_gpt", "temperature": 1.0})
    true = held["lorenz/codecs"].w1.sel(codec="bins50")
    rows = columns.rows(found, tokens.DISTANCES)
    value = {(r["column"], r["quantity"]): r["value"] for r in rows}
    label = "Lorenz, n = 50"
    assert value[label, "GPT-2 (T = 1) v. true"] == float(own.median())
    assert value[label, "true v. true"] == float(true.median())
    assert value[label, "ratio of medians"] == float(own.median()) / float(true.median())
    chain = held["lorenz/forecasts"].w1.sel({"method": "markov50", "temperature": 1.0})
    assert value[label, "Markov chain, order 1, v. true"] == float(chain.median())


def test_shares_are_percentages():
    found = table()["henon"]
    share = found.made("periodic_share", temperature=0.0)
    assert str(columns.cell(columns.percent(share))) == "100"
    distances = xr.DataArray([1.0, 2.0, 3.0, 4.0])
    assert columns.share_from(distances, columns.Cell(3.0)) == columns.Cell(50.0)


def test_what_a_scale_leaves_out_has_no_column_row_or_value():
    found = table(cases=("henon",), chains=False)
    assert list(found) == ["henon"]
    page = columns.page(found, tokens.DISTANCES, "The end.")
    assert page.startswith("|  | Henon, n = 50 |\n") and page.endswith("\nThe end.\n")
    assert "Markov" not in page and "GPT-2 (T = 1) v. true" in page
    values = shown(found)
    assert values["henon.chain"] is None and values["lorenz20.w1"] is None


def test_a_column_needs_the_scores_of_its_codec_and_not_those_of_its_methods():
    held = scores()
    held["lorenz/codecs"] = held["lorenz/codecs"].sel(codec=["bins50"])
    del held["lorenz/forecasts"]
    found = columns.columns(made_up.columns(), ["lorenz20", "lorenz50"], held)
    assert list(found) == ["lorenz50"] and found["lorenz50"].generated is None
    assert found["lorenz50"].true("w1") is not None
    assert found["lorenz50"].made("w1", temperature=1.0) is None


def test_without_names_or_scores_there_are_no_columns_and_an_unknown_name_is_an_error():
    settings = made_up.columns()
    assert columns.columns(settings, [], scores()) == {}
    assert columns.columns(settings, list(settings), {}) == {}
    with pytest.raises(KeyError, match="lorenz99"):
        columns.columns(settings, ["henon", "lorenz99"], scores())


def test_columns_keep_the_order_that_is_asked_for():
    settings = made_up.columns()
    found = columns.columns(settings, ["rossler", "henon"], scores())
    assert list(found) == ["rossler", "henon"]
    head = columns.page(found, tokens.DYNAMICS, "").splitlines()[0]
    assert head == "|  | Rossler, n = 50 | Henon, n = 50 |"


def test_agreement_of_true_draws_belongs_to_the_codec_they_were_drawn_in():
    held = scores()
    marks = held["lorenz/codecs"].assign(match_median=0.9).assign_coords(shadow_codec="bins50")
    found = columns.columns(
        made_up.columns(), ["lorenz20", "lorenz50"], held | {"lorenz/codecs": marks}
    )
    values = shown(found)
    assert values["lorenz20.match_true"] is None and values["lorenz50.match_true"] == "0.9"


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


def story(found, names):
    template = (ROOT / "papers/gpt/story.md").read_text()
    return text.filled(template, columns.values(found, names, tokens.ALL))


def test_the_story_names_only_what_the_tables_have():
    """Of every column that the configuration has; here none of them was computed."""
    names = yaml.safe_load((ROOT / "papers/gpt/config.yaml").read_text())["table"]
    told = story({}, names)
    assert told.startswith("# ") and "{" not in told


def test_the_story_is_told_with_the_numbers_of_the_run():
    settings = yaml.safe_load((ROOT / "papers/gpt/config.yaml").read_text())
    found = columns.columns(settings["columns"], settings["table"], scores())
    told = story(found, settings["table"])
    own = columns.values(found, settings["table"], tokens.ALL)
    assert f"Hénon: GPT-2 {own['henon.w1']}" in told and own["lorenz20.over_95"] in told
    assert "n = 35" not in told  # not computed


def test_published_numbers_stand_in_one_place():
    """Those of Table I are in the configuration; code and texts for it hold none of them."""
    settings = yaml.safe_load((ROOT / "papers/gpt/config.yaml").read_text())["columns"]
    numbers = {str(n) for c in settings.values() for n in c["published"].values()}
    places = [*(ROOT / "dalib").rglob("*.py"), *(ROOT / "papers/gpt").glob("[ft]*es/*.py")]
    places += [ROOT / "papers/gpt/story.md", *(ROOT / "papers/gpt/captions").glob("*")]
    distinctive = {n for n in numbers if len(n) > 5}
    assert len(distinctive) > 8
    for path in places:
        assert not [n for n in distinctive if n in path.read_text()], path
