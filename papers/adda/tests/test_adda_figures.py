"""Figures and tables on learned filters: drawn from their own data, whatever a scale leaves out."""

import made_up_learning as made_up
import matplotlib
import numpy as np
import pytest
import xarray as xr
from drawing import check_redrawn
from matplotlib.figure import Figure

from dalib import tables as text
from papers.adda import style
from papers.adda import tables as filters
from papers.adda.figures import filtering, sweeps, tuned
from papers.adda.metrics import evaluate as learning_scored

WITHOUT_K = ("var3d_c", "enkf", "ens3dvar")
SMALL = {"start_variance": [0.03], "observed": [0.3, 0.6], "members": [5, 10], "samples": [30, 60]}
WAVES = [f"x{i}" for i in range(1, 13)]


def sizes(system="ring", methods=made_up.METHODS, repeats=2):
    return [
        made_up.scores(system, repeats, places={}, methods=methods, size=size)
        for size in (40, 12, 20)
    ]


def orbit(places=made_up.PLACES, repeats=10):
    panels = sweeps.orbit_panels(made_up.scores("orbit", repeats, places))
    return sweeps.sweep_data(panels, band=(0.25, 0.75))


def ring(places=SMALL, repeats=2):
    scores = made_up.scores("ring", repeats, places)
    return sweeps.sweep_data(sweeps.ring_panels(scores, sizes(repeats=repeats)))


def species():
    scores = made_up.scores("species", 2, SMALL, WITHOUT_K)
    return sweeps.sweep_data(sweeps.species_panels(scores, sizes("species", WITHOUT_K)))


def members():
    cases = (made_up.scores(name, 2, SMALL) for name in ("orbit", "ring", "species"))
    return sweeps.sweep_data(sweeps.member_panels(*cases))


def planes():
    return filtering.shown_data(made_up.shown(made_up.ORBIT, 60, ["x", "y", "z"]))


def maps():
    return filtering.maps_data(made_up.shown(WAVES, 40, WAVES[::2]), components=8)


def abundances():
    seen = made_up.shown(WAVES, 40, methods=WITHOUT_K, share=0.5)
    return filtering.abundances_data(seen, species=5, times=30)


def scans():
    scores = {"Lorenz-96": made_up.scans(repeats=2, count=3), "orbit": made_up.scans(repeats=4)}
    return tuned.scans_data(scores | {"nothing": xr.Dataset()})


def likelihoods():
    return filtering.likelihood_data(made_up.likelihoods(60))


FIGURES = {
    "fig1": (orbit, sweeps.sweeps_figure),
    "fig4": (ring, sweeps.sweeps_figure),
    "fig7": (species, sweeps.sweeps_figure),
    "fig9": (lambda: sweeps.rank_data(made_up.ranks((5, 10), 2)), sweeps.rank_figure),
    "fig11": (members, sweeps.sweeps_figure),
    "fig2": (planes, filtering.planes_figure),
    "fig13": (planes, lambda data: filtering.planes_figure(data, filtering.OTHER_PLANES)),
    "fig5": (maps, filtering.maps_figure),
    "fig8": (abundances, filtering.abundances_figure),
    "fig3": (likelihoods, filtering.likelihood_figure),
    "fig14": (likelihoods, filtering.terms_figure),
    "fig6": (
        lambda: tuned.interactions_data(made_up.interactions()),
        tuned.interactions_figure,
    ),
    "fig10": (lambda: tuned.path_data(made_up.grid(3, 3, 2)), tuned.path_figure),
    "fig12": (scans, tuned.scans_figure),
}


@pytest.mark.parametrize(("data", "draw"), FIGURES.values(), ids=FIGURES)
def test_the_file_beside_a_figure_holds_all_that_is_drawn(data, draw, tmp_path):
    before = dict(matplotlib.rcParams)
    assert isinstance(draw(data()), Figure)
    assert dict(matplotlib.rcParams) == before
    check_redrawn(data(), draw, tmp_path)


def test_a_median_is_that_of_the_scores_and_its_logarithm_where_this_is_shown():
    scores = made_up.scores("species", 5, SMALL, WITHOUT_K)
    data = sweeps.sweep_data(sweeps.species_panels(scores, sizes("species", WITHOUT_K)))
    shown = data.isel(panel=1).sel({"method": "enkf"}).dropna("point", subset=["place"])
    expected = np.log(scores.mae_interactions_by_observed.sel({"method": "enkf"})).median("repeat")
    np.testing.assert_allclose(shown["median"], expected)
    np.testing.assert_allclose(shown.place, [0.3, 0.6])


def test_sizes_are_in_order_and_a_method_that_a_size_lacks_is_missing_there():
    scores = sizes()
    scores[0] = scores[0].sel({"method": ["enkf"]})
    data = sweeps.sized(scores, ["error"])
    assert data["size"].values.tolist() == [12, 20, 40]
    assert np.isnan(data.error_by_size.sel({"method": "var3d_k", "size": 40})).all()
    np.testing.assert_array_equal(
        data.error_by_size.sel({"size": 40, "method": "enkf"}),
        scores[0].error.sel({"method": "enkf"}),
    )


def test_a_method_that_was_not_run_is_not_in_the_legend_and_lost_repeats_are_counted():
    scores = made_up.scores("orbit", 4)
    scores["error_by_obs_variance"][{"method": 0}] = np.nan
    scores["error_by_start_variance"][{"method": 0}] = np.nan
    scores["error_by_start_variance"][{"method": 1, "start_variance": 2, "repeat": 0}] = np.nan
    data = sweeps.sweep_data(sweeps.orbit_panels(scores))
    assert float(data.lost.sel({"method": "var3d_c"}).isel(panel=0, point=2)) == 0.25
    labels = [t.get_text() for t in sweeps.sweeps_figure(data).legends[0].get_texts()]
    assert labels == ["initial models", "AD-3DVar-C", "AD-EnKF", "AD-Ens3DVar"]


def test_a_sweep_that_a_scale_leaves_out_keeps_its_panel():
    fig = sweeps.sweeps_figure(orbit({"start_variance": [0.01, 0.03]}, 2))
    assert [text.get_text() for ax in fig.axes for text in ax.texts] == [sweeps.NOT_RUN]
    nothing = sweeps.sweeps_figure(orbit({}, 2))
    assert len(nothing.axes) == 2


def test_observations_stand_at_the_components_they_belong_to():
    data = planes()
    assert np.isnan(data.observations.sel(state=["vx", "vy", "vz"])).all()
    np.testing.assert_array_equal(
        data.observations.sel(state="z"), made_up.shown(made_up.ORBIT, 60, ["x", "y", "z"]).y[:, 2]
    )


def test_a_panel_says_what_it_does_not_show_and_a_method_without_analysis_has_none():
    shown = made_up.shown(made_up.ORBIT, 60, ["x", "y", "z"])
    shown.analysis[{"method": 0}] *= 50
    shown.analysis[{"method": 1}] = np.nan
    fig = filtering.planes_figure(filtering.shown_data(shown))
    assert len(fig.axes) == 6
    texts = [t.get_text() for ax in fig.axes for t in ax.texts]
    assert len(texts) == 2 and all("outside" in text for text in texts)


def test_the_parts_of_the_likelihood_add_up():
    data = likelihoods()
    np.testing.assert_allclose(data.log_likelihood, data.half_log_det + data.half_misfit)
    assert data.method.values.tolist() == ["kalman", "var3d_c", "enkf", "ens3dvar"]


def test_ten_species_are_spread_over_all_and_few_are_all_shown():
    data = filtering.abundances_data(made_up.shown(WAVES, 20), species=4)
    assert data.number.values.tolist() == [1, 5, 8, 12]
    assert filtering.abundances_data(made_up.shown(WAVES, 20), 50).sizes["state"] == len(WAVES)


def test_a_learned_method_has_its_name_and_a_colour_of_its_own():
    together = ["start", "kalman", *style.LEARNED]
    assert len({style.colour(m) for m in together}) == len(together)
    assert style.learned("enkf") == "AD-EnKF" and style.learned("kalman") == "Kalman filter"
    assert {m: style.learned(m) for m in filters.LABELS} == filters.LABELS


def test_a_mark_follows_from_the_number_behind_it():
    ring = made_up.scores("ring", 3, {})
    ring["error"] = ring.error * 0 + xr.DataArray([0.6, 0.2, 0.1, 0.11], dims="method")
    ring["start_error"] = ring.start_error * 0 + 1.0
    ring["memory"] = ("method", [10.0, 10.0, 30.0, 40.0])
    changing = made_up.scores("species", 3, {}, WITHOUT_K)
    rows = filters.guidelines(ring, changing, sizes())
    rows = filters.impossible(rows, "observations change", "var3d_k", "impossible")
    same, change, _, memory, accuracy = rows
    assert [same[label] for label in ("AD-3DVar-K", "AD-EnKF")] == ["✗ 0.6", "✓ 0.1"]
    assert change["AD-3DVar-K"] == "✗ impossible"
    assert [memory[label] for label in ("AD-3DVar-K", "AD-EnKF")] == ["✓ 1", "✗ 3"]
    assert [accuracy[label] for label in ("AD-3DVar-C", "AD-Ens3DVar")] == ["✗ 2", "✓ 1.1"]
    assert filters.guidelines(ring, changing, sizes()[:1])[2]["AD-EnKF"] == ""


def test_the_interactions_that_are_shown_are_those_of_fewer_species_of_the_same_system():
    case = {"system": {"kind": "lotka_volterra", "size": 32, "seed": 0}}
    scores = xr.Dataset({"interactions": learning_scored.interactions(case, 16)})
    shown, expected = tuned.interactions_data(scores), made_up.interactions()
    xr.testing.assert_allclose(shown.interactions, expected.interactions)


def test_costs_grow_up_to_the_top_of_their_axis():
    figure = sweeps.rank_figure(sweeps.rank_data(made_up.ranks((5, 20), 2)))
    right = figure.axes[1]
    assert right.get_ylim()[1] > 12 * 20 * 0.8 and right.get_ylim()[0] == 0


def test_costs_stand_beside_their_measured_times():
    seconds = {f"cpu_seconds_{n}": ("method", [1e-3, 2e-3]) for n in ("forecast", "analysis")}
    rows = filters.costs(xr.Dataset(seconds, {"method": ["var3d_k", "enkf"]}))
    assert [row["analysis (ms)"] for row in rows] == [1.0, None, 2.0, None, None]
    assert rows[2]["forecast"] == "N c_F" and rows[0]["update (ms)"] is None
    for table in (rows, filters.choices()):
        assert filters.page(table, "closing").count("\n") == len(table) + 4
        assert text.csv(table).count("\n") == len(table) + 1


# -- nothing that is drawn lies outside, and every panel says what it is -------------------------


def test_analyses_of_velocities_that_jump_are_dots_that_no_chord_joins():
    drawn = filtering.planes_figure(planes()).axes[0].lines
    observations, analysis, truth = drawn
    assert analysis.get_linestyle() == observations.get_linestyle() == "None"
    assert truth.get_linestyle() != "None"


def test_every_column_of_maps_ends_in_an_axis_of_times_and_errors_keep_their_digits():
    four = made_up.shown(WAVES, 40, WAVES[::2])
    fifth = four.isel(method=[0]).assign_coords(method=["letkf"])
    shown = xr.concat([four, fifth], "method", data_vars="minimal")
    shown["shown_rmse"] = ("method", [0.4, 0.43, 0.5, 0.6, 0.7])
    fig = filtering.maps_figure(filtering.maps_data(shown, components=8))
    panels = [ax for ax in fig.axes if ax.get_title()]
    columns = {round(ax.get_position().x0, 2): [] for ax in panels}
    for ax in panels:
        columns[round(ax.get_position().x0, 2)].append(ax)
    assert len(panels) == 7 and len(columns) == 4
    for column in columns.values():
        lowest = min(column, key=lambda ax: ax.get_position().y0)
        assert lowest.get_xlabel() and lowest.xaxis.get_tick_params()["labelbottom"]
    titles = [ax.get_title() for ax in panels]
    assert "AD-3DVar-K, RMSE 0.40" in titles and "AD-3DVar-C, RMSE 0.43" in titles


def test_abundances_show_every_analysis():
    seen = made_up.shown(WAVES, 40, methods=WITHOUT_K)
    seen.analysis[{"method": 0, "time": 20}] = 40.0
    fig = filtering.abundances_figure(filtering.abundances_data(seen, species=4, times=30))
    assert all(ax.get_ylim()[1] > 40 for ax in fig.axes[:4])


def test_likelihoods_name_their_columns_and_show_filters_that_are_thousands_apart():
    data = likelihoods()
    data.log_likelihood[1, 10] = data.half_misfit[1, 10] = -5e3
    for draw, names in (
        (filtering.likelihood_figure, ["AD-3DVar-C", "AD-EnKF", "AD-Ens3DVar"]),
        (filtering.terms_figure, ["all methods", "AD-3DVar-C", "AD-EnKF", "AD-Ens3DVar"]),
    ):
        fig = draw(data)
        assert [ax.get_title() for ax in fig.axes[: len(names)]] == names
        above = fig.axes[len(names) - 1]
        assert above.get_yscale() == "symlog" and above.get_ylim()[0] < -5e3
        reference = above.lines[0].get_ydata()
        low, high = above.transData.transform([[0, reference.min()], [0, reference.max()]])[:, 1]
        assert abs(high - low) > 0.1 * above.bbox.height  # the small differences are still seen


def test_scans_hold_their_curves_bands_and_stars():
    data = scans()
    data["rmse_at_weight"] = data.rmse_at_weight * 20  # learned far from the best
    for ax in tuned.scans_figure(data).axes:
        low, high = ax.get_ylim()
        for line in ax.lines:
            y = np.asarray(line.get_ydata(), float)
            assert ((y >= low) & (y <= high)).all()


def test_variances_of_errors_stand_at_their_places_by_factors():
    left, right = sweeps.sweeps_figure(orbit(), 2).axes
    assert right.get_xscale() == "log" and left.get_xscale() == "linear"
    assert {"0.01", "0.1", "1"} <= {t.get_text() for t in right.get_xticklabels()}


def test_a_method_at_a_single_place_has_a_mark_with_ends():
    scores = made_up.scores("ring", 4, SMALL | {"observed": [1.0]})
    fig = sweeps.sweeps_figure(sweeps.sweep_data(sweeps.ring_panels(scores, sizes(repeats=4))))
    (alone,) = [ax for ax in fig.axes if len(ax.containers) and "share" in ax.get_xlabel()]
    assert all(len(bar.lines[1]) == 2 for bar in alone.containers)  # caps


def test_a_method_of_a_single_size_says_nothing_of_sizes():
    several = [*sizes(methods=WITHOUT_K)[:2], sizes()[2]]
    assert "var3d_k" not in sweeps.sized(several, ["error"]).method
    assert "var3d_k" in sweeps.sized(sizes()[:1], ["error"]).method
