"""Figures of tokens: drawn from their own data alone, and these are what was asked for."""

import matplotlib
import numpy as np
import pytest
import small
import xarray as xr
from drawing import check_redrawn
from matplotlib.figure import Figure

from papers.gpt.figures import attractors, losses, scheme, tokens
from papers.gpt.runs import Cells, base_cells, first, select

PLANES = {"henon": ("x", "y"), "rossler": ("x", "y"), "lorenz": ("x", "z")}
LORENZ = small.config()["cases"]["lorenz"]["forecast"]
CONTEXT, FIRST = LORENZ["context"], LORENZ["first"]


def cells_of(name: str) -> Cells:
    scores = small.results(name).scores
    return Cells.of(scores, base_cells(scores))


def given() -> tuple:
    made = small.results("lorenz")
    return made.truth, cells_of("lorenz"), made.forecasts, LORENZ


def schemed() -> xr.Dataset:
    return scheme.scheme_data(*given())


def trajectories(length: int = 500) -> xr.Dataset:
    return tokens.trajectories_data(*given(), length=length)


def distances(scores: xr.Dataset | None = None) -> xr.Dataset:
    return tokens.distances_data(
        small.results("rossler").scores if scores is None else scores, CONTEXT
    )


def learned() -> xr.Dataset:
    plot = small.config()["plot"]
    scores = {f"{name}_tokens": small.results(name).scores for name in small.SYSTEMS}
    network = {"batch": 10, "context": 30}
    return losses.losses_data(scores, plot["columns"], plot["table"], network)


def gallery() -> xr.Dataset:
    """All sources of three systems; of Rössler's no chain, and fewer cells."""
    made = {name: small.results(name) for name in PLANES}
    forecasts = {name: one.forecasts for name, one in made.items()}
    forecasts["rossler"] = [f for f in forecasts["rossler"] if (f["method"] == "gpt").all()]
    return attractors.gallery_data(
        {name: one.truth for name, one in made.items()},
        {name: one.scores for name, one in made.items()},
        forecasts,
        dict.fromkeys(PLANES, "label"),
        PLANES,
    )


FIGURES = {
    "fig1": (schemed, scheme.scheme_figure),
    "fig2": (trajectories, tokens.trajectories_figure),
    "fig3": (distances, tokens.distances_figure),
    "figS1": (learned, losses.losses_figure),
    "figS2": (gallery, attractors.gallery_figure),
}
over_figures = pytest.mark.parametrize(("data", "draw"), FIGURES.values(), ids=FIGURES)


@over_figures
def test_a_figure_is_drawn_from_its_file_alone(data, draw, tmp_path):
    check_redrawn(data(), draw, tmp_path)


@over_figures
def test_drawing_changes_no_global_setting(data, draw):
    before = dict(matplotlib.rcParams)
    assert isinstance(draw(data()), Figure)
    assert dict(matplotlib.rcParams) == before


def test_cells_of_scores_are_those_of_the_codec():
    """States go to the same tokens; a state outside the box to a cell at its edge."""
    paper, study, truth = small.study_of("henon")
    cells, x = cells_of("henon"), truth["test"].x.values
    codec = small.fit.build.make("codec", {"kind": "bins", "cells": cells.cells})
    book = codec.fit(small.data.torch.as_tensor(truth["train"].x.values))
    assert np.array_equal(cells.centres, book.centres)
    near = np.abs(cells.coded(x) - x) <= cells.width / 2 * (1 + 1e-9)
    same = cells.tokens(x) == book.encode(small.data.torch.as_tensor(x)).numpy()
    assert same[near.all(-1)].all() and same.mean() > 0.95  # others may have two nearest cells
    assert np.array_equal(cells.tokens(cells.centres), np.arange(book.size))


def test_the_scheme_shows_the_tokens_of_the_states_it_shows():
    data, (truth, cells, forecasts, _) = schemed(), given()
    x = truth.x.values[0]
    assert np.array_equal(data.past_state, x[FIRST - 60 : FIRST, [0, 2]])
    assert np.array_equal(data.past_token, cells.tokens(x[FIRST - 60 : FIRST]))
    assert np.array_equal(data.future_state, x[FIRST : FIRST + 4, [0, 2]])
    run = first(forecasts, "gpt", cells.cells, 1.0).forecast.values[0, 0, :4]
    assert np.array_equal(data.future_centre, run[:, [0, 2]])
    assert np.array_equal(cells.centres[data.future_token], run)
    greedy = first(forecasts, "gpt", cells.cells, 0.0).forecast.values[0, 0, :4]
    assert np.array_equal(cells.centres[data.greedy_token], greedy)


def test_the_enlarged_part_holds_all_that_has_a_colour():
    data = schemed()
    corner, size = scheme.window(data)
    for name in ("past_centre", "future_centre", "greedy_centre", "future_state"):
        points = data[name].values[-scheme.SHOWN :]
        assert (points > corner).all() and (points < corner + size).all()
    cells = size / scheme.cell_width(data)
    assert np.allclose(cells, cells.round()) and cells[0] == pytest.approx(cells[1])


def test_the_generated_trajectory_begins_with_the_cells_given():
    data, (truth, cells, forecasts, settings) = trajectories(), given()
    assert data.sizes["time"] == CONTEXT + settings["climate"]
    assert all(data[name].notnull().all() for name in data)
    assert float(data.conditioning) == pytest.approx(CONTEXT * 0.03)
    past = truth.x.values[0, FIRST - CONTEXT : FIRST]
    assert np.array_equal(data.truth[:CONTEXT], past)
    assert (data.generated[:, :CONTEXT].values == cells.coded(past)).all()
    assert data.temperature.values.tolist() == [1.0, 0.0]
    for T in (1.0, 0.0):
        run = first(forecasts, "gpt", cells.cells, T).free_run.values[0]
        assert np.array_equal(data.generated.sel(temperature=T)[CONTEXT:], run)


def test_a_trajectory_ends_where_it_is_asked_to():
    assert trajectories(50).sizes["time"] == 50


def test_distances_begin_when_the_tokens_given_end():
    data = distances()
    assert data.method.values.tolist() == ["gpt", "gpt_greedy", "markov", "paired"]
    assert float(data.conditioning) == pytest.approx(0.1 * CONTEXT)
    assert float(data.time[0]) == pytest.approx(0.1 * (CONTEXT + 1))
    assert data.sizes["time"] == LORENZ["horizon"]
    assert data.difference.sel({"method": "gpt"}).notnull().all()
    assert data.difference.sel({"method": "paired"}).isel(repeat=0).notnull().all()
    assert data.windows.values[:3].tolist() == [8, 8, 8]
    own = select(small.results("rossler").scores, "gpt", 20, 1.0)
    assert np.array_equal(data.difference.sel({"method": "gpt"})[0], own.difference[0])


def test_windows_without_a_pair_are_counted():
    scores = small.results("rossler").scores.copy(deep=True)
    scores["paired"][:] = np.where(np.arange(4)[:, None, None] == 0, -1, 1)
    data = distances(scores)
    assert data.windows.values.tolist() == [8, 8, 8, 6]
    texts = [t.get_text() for t in tokens.distances_figure(data).legends[0].get_texts()]
    assert "paired simulation (6 of 8 windows)" in texts


def test_without_a_chain_the_other_distances_are_drawn():
    scores = small.results("rossler").scores
    data = distances(scores.isel(run=(scores["method"] == "gpt").values.nonzero()[0]))
    assert data.method.values.tolist() == ["gpt", "gpt_greedy", "paired"]
    assert len(tokens.distances_figure(data).legends[0].get_texts()) == 3


def test_distances_of_nothing_are_drawn_at_the_least_that_can_be():
    """One window of 8 that is one cell away."""
    data = distances()
    assert float(data.cell) == pytest.approx(float(cells_of("rossler").width.min()))
    data.difference[:, :, :5] = 0.0
    ax = tokens.distances_figure(data).axes[0]
    assert ax.get_ylim()[0] == pytest.approx(float(data.cell) / 8)
    assert all((np.asarray(line.get_ydata()) > 0).all() for line in ax.lines[2:])


def test_learning_curves_count_tokens():
    data = learned()
    assert data.model.values.tolist() == ["lorenz20", "henon", "rossler"]
    assert data.label.values.tolist() == ["Lorenz, n = 20", "Hénon, n = 50", "Rössler, n = 20"]
    assert data.tokens_seen[0].values.tolist() == [0, 10 * 10 * 30, 20 * 10 * 30]
    assert data.validation.sel(model="henon").notnull().sum().item() == 2 * 3  # two replicates
    assert data.validation.sel(model="lorenz20").notnull().sum().item() == 3
    for name in ("floor", "order1", "order2"):
        assert data[name].dims == ("model",) and data[name].notnull().all()
    assert len(losses.losses_figure(data).axes) == 4  # one a model, and unseen transitions


def test_a_gallery_has_all_states_and_says_what_was_not_run():
    data = gallery()
    assert data.system.values.tolist() == list(PLANES)
    there = data.share.sum(("row", "column"))
    ran = there.sel(source=["truth", "gpt", "gpt_greedy"])
    assert np.allclose(ran, 1.0) and there.sel(system="rossler", source="markov") == 0
    assert data.cells.values.tolist() == [50, 20, 20]
    assert data.share.sel(system="rossler").isel(row=slice(20, None)).isnull().all()
    run = first(small.results("lorenz").forecasts, "gpt", 20, 0.0).free_run.values
    distinct = len(np.unique(run.reshape(-1, 3), axis=0))
    assert data.visited.sel(system="lorenz", source="gpt_greedy") == distinct
    texts = [t.get_text() for ax in attractors.gallery_figure(data).axes for t in ax.texts]
    assert texts.count("not run at this scale") == 1


def test_a_gallery_puts_states_where_they_are():
    """The mean over the plane of Hénon's map is that of the states, to half a cell."""
    data = gallery().sel(system="henon", source="truth")
    width = (data.upper - data.lower) / 50
    middles = data.lower + width * (xr.DataArray(np.arange(50), dims="cell") + 0.5)
    across = float((data.share.sum("row").rename(column="cell") * middles[0]).sum())
    up = float((data.share.sum("column").rename(row="cell") * middles[1]).sum())
    mean = small.results("henon").truth.x.mean(("seed", "time"))
    assert abs(across - float(mean[0])) < float(width[0]) / 2
    assert abs(up - float(mean[1])) < float(width[1]) / 2
