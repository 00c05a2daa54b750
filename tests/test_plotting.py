"""What all figures share: the look of a paper's methods, and the palette it is made of."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from dalib import plotting
from dalib.plotting import Look

PAPERS = sorted(path.parent.name for path in Path(__file__).parents[1].glob("papers/*/style.py"))
PALETTE = {
    *(plotting.ORANGE, plotting.SKY, plotting.GREEN, plotting.YELLOW),
    *(plotting.BLUE, plotting.VERMILION, plotting.PURPLE),
    *(plotting.BLACK, plotting.GREY, plotting.BROWN, plotting.SAND),
}


@pytest.mark.parametrize("paper", PAPERS)
def test_colours_are_those_of_okabe_and_ito_or_grey_or_earth(paper):
    look = import_module(f"papers.{paper}.style").LOOK
    assert {colour for _, colour in look.methods.values()} <= PALETTE


def test_a_method_without_a_look_keeps_its_name_and_is_grey():
    look = Look({"a": ("method A", plotting.BLUE)})
    assert [look.label(m) for m in ("a", "my_filter")] == ["method A", "my filter"]
    assert [look.colour(m) for m in ("a", "my_filter")] == [plotting.BLUE, plotting.OTHER]


def test_a_legend_has_the_methods_before_what_else_has_a_label_each_once():
    look = Look({"a": ("method A", plotting.BLUE)})
    ax = plotting.figure().subplots()
    ax.plot([0], label="a level")
    ax.plot([0], label="method A")
    look.legend(ax, ["a", "b"], "best")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["method A", "b", "a level"]


def test_quantiles_are_those_of_numpy_and_a_lost_repeat_is_the_worst():
    values = np.random.default_rng(0).normal(size=(4, 10))
    for q in (0.0, 0.2, 0.25, 0.5, 0.8, 1.0):
        np.testing.assert_allclose(plotting.quantile(values, q), np.quantile(values, q, axis=-1))
    lost = np.array([1.0, np.nan, 2.0, 3.0, np.nan])
    assert plotting.quantile(lost, 0.5) == 3.0
    assert np.isnan(plotting.quantile(lost, 0.8)) and np.isnan(plotting.quantile(lost, 0.6))
