"""Figures of tokens: drawn from their own data alone, and these are what was asked for."""

import made_up_tokens as made_up
import matplotlib
import numpy as np
import pytest
import xarray as xr
from drawing import check_redrawn
from matplotlib.figure import Figure

from papers.gpt.figures import attractors, losses, scheme, tokens

CONTEXT = made_up.CONTEXT
SETTINGS = {"context": CONTEXT, "free_run": {"start": 0}}
SHOWN = {"henon": "henon", "rossler": "rossler", "lorenz": "lorenz50"}
PLANES = {"henon": ("x", "y"), "rossler": ("x", "y"), "lorenz": ("x", "z")}


def schemed() -> xr.Dataset:
    case = "lorenz"
    codec, codes = made_up.codec(case), made_up.tokens(case)
    return scheme.scheme_data(made_up.truth(case), codec, codes, made_up.forecasts(case))


def trajectories(length: int = 500) -> xr.Dataset:
    made = made_up.forecasts("lorenz", repeats=2)
    codes = made_up.tokens("lorenz")
    return tokens.trajectories_data(made_up.truth("lorenz"), codes, made, SETTINGS, length=length)


def distances(chains: bool = True) -> xr.Dataset:
    return tokens.distances_data(
        made_up.forecast_scores("rossler", chains=chains),
        made_up.codec_scores("rossler"),
        made_up.codec("rossler"),
        made_up.columns()["rossler"],
        CONTEXT,
    )


def learned(models: tuple = ("lorenz20", "lorenz50", "henon")) -> xr.Dataset:
    histories = {name: made_up.history(8 + 2 * i, 1 + i % 2) for i, name in enumerate(models)}
    sizes = {f"batch_{name}": 10 for name in models} | {f"context_{name}": 30 for name in models}
    return losses.losses_data(
        histories,
        {f"{case}/codecs": made_up.codec_scores(case) for case in made_up.CASES},
        {f"{case}/forecasts": made_up.forecast_scores(case) for case in made_up.CASES},
        made_up.columns(),
        list(made_up.columns()),
        sizes,
    )


def gallery() -> xr.Dataset:
    """All sources of two systems; of Rössler's no chain, and fewer cells."""
    cells = {"henon": 50, "rossler": 20, "lorenz": 50}
    columns, made = made_up.columns(), {}
    for case, name in SHOWN.items():
        made[case] = {f"{name}_gpt": made_up.forecasts(case, cells[case])}
        if case != "rossler":
            made[case]["markov50"] = made_up.forecasts(case, cells[case], repeats=None)
    codecs = {case: made_up.codec(case, n) for case, n in cells.items()}
    codes = {case: made_up.tokens(case, n) for case, n in cells.items()}
    return attractors.gallery_data(codecs, codes, made, columns, SHOWN, PLANES)


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


def test_the_scheme_shows_the_tokens_of_the_states_it_shows():
    data, case = schemed(), "lorenz"
    start = made_up.FIRST - 1  # the last sample given
    x = made_up.truth(case).x.values[0, start - 59 : start + 1]
    assert np.array_equal(data.past_state, x[:, [0, 2]])
    assert np.array_equal(data.past_token, made_up.encoded(case, x))
    half = (data.upper - data.lower) / data.cells / 2
    assert (abs(data.past_state - data.past_centre) <= half + 1e-9).all()
    assert np.array_equal(
        data.future_state, made_up.truth(case).x.values[0, start + 1 :][:4, [0, 2]]
    )
    generated, greedy = made_up.forecasts(case).forecast.values[:, 0, 0, 0, :4]
    assert np.array_equal(data.future_token, generated)
    assert np.array_equal(data.greedy_token, greedy)
    assert np.array_equal(
        data.future_centre, made_up.codec(case).centre.values[generated][:, [0, 2]]
    )


def test_the_enlarged_part_holds_all_that_has_a_colour():
    data = schemed()
    corner, size = scheme.window(data)
    for name in ("past_centre", "future_centre", "greedy_centre", "future_state"):
        points = data[name].values[-scheme.SHOWN :]
        assert (points > corner).all() and (points < corner + size).all()
    cells = size / scheme.cell_width(data)
    assert np.allclose(cells, cells.round()) and cells[0] == pytest.approx(cells[1])


def test_the_generated_trajectory_begins_with_the_cells_given():
    data = trajectories()
    assert data.sizes["time"] == 500 and all(data[name].notnull().all() for name in data)
    assert float(data.conditioning) == pytest.approx(CONTEXT * 0.03)
    book, given = made_up.codec("lorenz"), data.time <= float(data.conditioning) + 1e-9
    assert int(given.sum()) == CONTEXT
    apart = abs(data.truth - data.generated).sel(time=given)
    assert (apart <= (book.upper - book.lower) / 100 + 1e-9).all()
    assert data.temperature.values.tolist() == [1.0, 0.0]
    first = made_up.forecasts("lorenz", repeats=2).free_run.values[:, 0, 0, 0]
    assert np.array_equal(data.generated[:, CONTEXT], book.centre[first])


def test_a_trajectory_ends_where_there_is_no_more():
    assert trajectories(10**6).sizes["time"] == CONTEXT + 2000


def test_distances_begin_when_the_tokens_given_end():
    data = distances()
    assert data.method.values.tolist() == ["gpt", "gpt_greedy", "markov", "paired"]
    assert float(data.conditioning) == pytest.approx(0.1 * CONTEXT)
    assert float(data.time[0]) == pytest.approx(0.1 * (CONTEXT + 1))
    assert data.sizes["time"] == made_up.HORIZON
    assert data.difference.sel({"method": "gpt"}).notnull().all()
    assert data.difference.sel({"method": "paired"}).isel(repeat=0).notnull().all()
    assert data.windows.values.tolist() == [28, 28, 28, 28]


def test_windows_without_a_pair_are_counted():
    marks = made_up.codec_scores("rossler")
    marks["paired"][0, :3] = -1
    generated, column = made_up.forecast_scores("rossler"), made_up.columns()["rossler"]
    data = tokens.distances_data(generated, marks, made_up.codec("rossler"), column, CONTEXT)
    assert data.windows.values.tolist() == [28, 28, 28, 25]
    texts = [t.get_text() for t in tokens.distances_figure(data).legends[0].get_texts()]
    assert "paired simulation (25 of 28 windows)" in texts


def test_without_a_chain_the_other_distances_are_drawn():
    data = distances(chains=False)
    assert data.method.values.tolist() == ["gpt", "gpt_greedy", "paired"]
    assert len(tokens.distances_figure(data).legends[0].get_texts()) == 3


def test_distances_of_nothing_are_drawn_at_the_least_that_can_be():
    """One window of 28 that is one cell away."""
    data = distances()
    width = (made_up.codec("rossler").upper - made_up.codec("rossler").lower) / 50
    assert float(data.cell) == pytest.approx(float(width.min()))
    data.difference[:, :, :5] = 0.0
    ax = tokens.distances_figure(data).axes[0]
    assert ax.get_ylim()[0] == pytest.approx(float(data.cell) / 28)
    assert all((np.asarray(line.get_ydata()) > 0).all() for line in ax.lines[2:])


def test_learning_curves_count_tokens_and_end_with_their_training():
    data = learned()
    assert data.model.values.tolist() == ["lorenz20", "lorenz50", "henon"]
    assert data.label.values.tolist() == ["Lorenz, n = 20", "Lorenz, n = 50", "Henon, n = 50"]
    assert data.tokens_seen.notnull().sum("check").values.tolist() == [8, 10, 12]
    assert float(data.tokens_seen[0, 1]) == 50 * 10 * 30
    assert data.held_out.sel(model="lorenz50").notnull().sum().item() == 2 * 10
    for name in ("floor", "order1", "order2"):
        assert data[name].dims == ("model",) and data[name].notnull().all()
    assert len(losses.losses_figure(data).axes) == 4  # one a model, and unseen transitions


def test_a_gallery_has_all_states_and_says_what_was_not_run():
    data = gallery()
    assert data.system.values.tolist() == list(PLANES)
    there = data.share.sum(("row", "column"))
    ran = there.sel(source=["truth", "gpt", "gpt_greedy"])
    assert np.allclose(ran, 1.0) and there.sel(system="rossler", source="markov") == 0
    assert data.cells.values.tolist() == [50, 20, 50]
    assert data.share.sel(system="rossler").isel(row=slice(20, None)).isnull().all()
    own = made_up.forecasts("lorenz").free_run.sel(temperature=0.0)
    assert data.visited.sel(system="lorenz", source="gpt_greedy") == len(np.unique(own))
    texts = [t.get_text() for ax in attractors.gallery_figure(data).axes for t in ax.texts]
    assert texts.count("not run at this scale") == 1


def test_a_gallery_puts_states_where_they_are():
    """The mean over the plane of Hénon's map is that of the states, to half a cell."""
    data = gallery().sel(system="henon", source="truth")
    width = (data.upper - data.lower) / 50
    middles = data.lower + width * (xr.DataArray(np.arange(50), dims="cell") + 0.5)
    across = float((data.share.sum("row").rename(column="cell") * middles[0]).sum())
    up = float((data.share.sum("column").rename(row="cell") * middles[1]).sum())
    mean = made_up.truth("henon").x.mean(("seed", "time"))
    assert abs(across - float(mean[0])) < float(width[0]) / 2
    assert abs(up - float(mean[1])) < float(width[1]) / 2
