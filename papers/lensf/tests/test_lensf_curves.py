"""Figures on filters of fields: drawn from their own data, whatever a scale leaves out."""

import made_up_fields as made_up
import matplotlib
import numpy as np
import pytest
from drawing import check_redrawn
from matplotlib.figure import Figure

from papers.lensf.figures import (
    calibration,
    field_sweeps,
    fields,
    grids,
    mitigations,
    ring,
    selection,
)

QUICK = made_up.scores(times=20)
PAPER = made_up.scores(made_up.paper_points(), seeds=8, times=20)
RINGS = {"shocks": {"note": "with shocks", "published": {"ensf_ring": {"whole": 3.0, "last": 2.0}}}}


def validated(scores):
    """Scores on validation trajectories of what was tried there; none of the small scale."""
    tried = [*("latent_ensf", "latent_ensf weight=0.5", "latent_ensf model=vae10_wide")]
    tried += ["latent_ensf reparameterise=true", "latent_ensf scale=1.0 obs_std=0.1"]
    worse = scores.assign(mean_relative_rmse=scores.mean_relative_rmse * 1.1)
    if not set(tried) <= set(scores.run.values):
        return worse.isel(run=[])
    worse.mean_relative_rmse.loc[{"run": tried[2]}] = 0.01
    return worse.sel(run=tried)


def rings():
    found = {f"ring{d}/fields": made_up.ring(d, times=15) for d in (1000, 100)}
    return ring.ring_data(found | {"shocks/fields": made_up.ring(1000, shocks=True)}, RINGS)


def times():
    return ring.timing_data([made_up.timing(("ensf_ring", "letkf_ring"), d) for d in (1000, 100)])


def tried(scores, method="latent_enkf", lost=(0.8, 0.5)):
    """As if the method had been tuned: least at inflation 1.5 and error 0.2, lost at one."""
    settings = [(i, s) for i in (1.0, 1.5, 2.0) for s in (0.1, 0.2, 0.8)]
    inflation, obs_std = (np.array(v) for v in zip(*settings, strict=True))
    error = 0.3 + (inflation - 1.5) ** 2 + np.abs(np.log(obs_std / 0.2)) / 10
    errors = np.stack([error, error + 0.01, error - 0.01], -1)
    errors[settings.index((2.0, 0.8))] = np.nan
    there = (scores["method"].values == method)[:, None]
    values = {"tried_inflation": inflation, "tried_obs_std": obs_std}
    found = {n: (("run", "candidate"), np.where(there, v, np.nan)) for n, v in values.items()}
    axes = ("run", "candidate", "tried_seed")
    found["tried_error"] = (axes, np.where(there[..., None], errors, np.nan))
    return scores.assign({n: made_up.described(*v) for n, v in found.items()})


def tried_of(scores):
    return grids.grids_data({"basin/fields": tried(scores)})


OF_SCORES = {
    "fig5": (fields.sparsity_data, fields.sparsity_figure),
    "fig6": (lambda s: fields.methods_data(s, 0.1), fields.methods_figure),
    "fig14": (lambda s: fields.methods_data(s, 0.2), fields.methods_figure),
    "members": (fields.members_data, fields.members_figure),
    "latent_sizes": (field_sweeps.latent_sizes_data, field_sweeps.latent_sizes_figure),
    "interval": (field_sweeps.interval_data, field_sweeps.interval_figure),
    "tuning": (field_sweeps.tuning_data, field_sweeps.tuning_figure),
    "mitigations": (
        lambda s: mitigations.mitigations_data(s, validated(s)),
        mitigations.mitigations_figure,
    ),
    "calibration": (calibration.calibration_data, calibration.calibration_figure),
    "training": (calibration.training_data, calibration.training_figure),
    "grids": (tried_of, grids.grids_figure),
}
NOTED = ("fig14", "latent_sizes", "interval", "mitigations")
FIGURES = {
    "ring": (rings, ring.ring_figure),
    "timing_ring": (times, ring.timing_figure),
    **{name: (lambda of=of: of(QUICK), draw) for name, (of, draw) in OF_SCORES.items()},
}


@pytest.mark.parametrize(("data", "draw"), FIGURES.values(), ids=FIGURES)
def test_the_file_beside_a_figure_holds_all_that_is_drawn(data, draw, tmp_path):
    before = dict(matplotlib.rcParams)
    check_redrawn(data(), draw, tmp_path)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(("of", "draw"), OF_SCORES.values(), ids=OF_SCORES)
def test_everything_of_a_large_scale_is_drawn_without_a_note(of, draw):
    data = of(PAPER)
    assert data.attrs.get("note", "") == ""
    assert isinstance(draw(data), Figure)


@pytest.mark.parametrize("name", NOTED)
def test_a_figure_without_its_runs_says_so(name):
    of, draw = OF_SCORES[name]
    data = of(QUICK)
    assert "only from scale desk on" in data.attrs["note"]
    texts = [t.get_text() for ax in draw(data).axes for t in ax.texts]
    assert data.attrs["note"] in texts


def test_a_run_that_was_lost_is_the_worst_and_the_rest_is_drawn():
    scores = made_up.scores(times=20)
    for name in ("relative_rmse", "mean_relative_rmse", "at_analysis", "rmse", "spread"):
        scores[name][:, 0] = np.nan
    data = fields.sparsity_data(scores)
    assert data.high.isnull().all() and data["median"].notnull().all()
    for of, draw in OF_SCORES.values():
        assert isinstance(draw(of(scores)), Figure)


# -- which runs ------------------------------------------------------------------------------------


def test_the_base_is_what_the_configuration_names():
    found = selection.base(PAPER)
    assert found == {"every": 10, "noise": 0.1, "start": "noise", "interval": 1, "errors": "given"}


def test_the_base_does_not_depend_on_how_many_runs_are_elsewhere_nor_on_their_order():
    """Three noises with a run of each method: no majority."""
    points = [{"method": m, "noise": p} for p in (0.03, 0.05, 0.1) for m in ("ensf", "free")]
    points = [(made_up.label(p), made_up.whole(p)) for p in points]
    for order in (1, -1):
        scores = made_up.series(points[::order], 3, 12, ("x",), 10, base={"noise": 0.05})
        scores = scores.assign_coords(codec_linear=0.0).drop_vars("codec_linear")
        for method in ("ensf", "free"):
            assert selection.alike(scores, method).run.values.tolist() == [f"{method} noise=0.05"]


def test_runs_are_told_by_their_coordinates_and_not_by_their_label():
    renamed = PAPER.assign_coords(run=[f"run{i}" for i in range(PAPER.sizes["run"])])
    for name in ("fig5", "fig14", "members", "latent_sizes", "interval", "tuning"):
        of, _ = OF_SCORES[name]
        first, second = of(PAPER), of(renamed)
        assert first.drop_vars("run").equals(second.drop_vars("run")), name


def test_a_sweep_varies_one_thing_in_order():
    own = selection.alike(PAPER, "ensf", "members", strict=True)
    assert own.members.values.tolist() == [5, 10, 20, 50, 100]
    assert set(own.every.values) == {10} and set(own.eps_beta.values) == {0.025}
    own = selection.alike(PAPER, "latent_ensf", "every")
    assert own.every.values.tolist() == [1, 2, 5, 10, 15]
    assert set(own["scale"].values) == {100.0}
    assert not selection.alike(PAPER, "unheard of").sizes["run"]


def test_a_strict_sweep_leaves_out_what_differs_in_something_else():
    points = [*made_up.quick_points(), {"method": "ensf", "members": 100, "eps_beta": 0.1}]
    scores = made_up.scores(points, times=12)
    strict = selection.alike(scores, "ensf", "members", strict=True)
    assert strict.members.values.tolist() == [5, 20, 50]
    assert selection.alike(scores, "ensf", "members").members.values.tolist() == [5, 20, 50, 100]


def test_the_run_that_is_shown_is_not_chosen_by_its_score():
    """Where another inflation is better on the test, the base run is shown all the same."""
    own = selection.where(PAPER, method="latent_enkf", latent=400, noise=0.1, interval=1)
    shown = selection.alike(PAPER, "latent_enkf")
    assert own.sizes["run"] == 4 and shown.run.values.tolist() == ["latent_enkf"]
    assert shown.mean_relative_rmse.median() > own.mean_relative_rmse.median("seed").min()


def test_a_setting_that_validation_chose_makes_no_run_another():
    """Only what the configuration changes does."""
    data = made_up.scores([{"method": "letkf"}, {"method": "letkf", "noise": 0.2}], times=12)
    data = data.assign_coords(inflation=("run", [1.05, 1.5]), altered=("run", ["", ""]))
    assert selection.alike(data, "letkf", "noise", strict=True).noise.values.tolist() == [0.1, 0.2]
    data = data.assign_coords(altered=("run", ["", "inflation"]))
    assert selection.alike(data, "letkf", "noise", strict=True).noise.values.tolist() == [0.1]


def test_methods_with_a_linear_codec_are_methods_of_their_own():
    found = selection.prepared(PAPER)
    linear = found.isel(run=found["model"].values == "pca10")
    assert set(linear["method"].values) == {"pca_latent_ensf", "pca_direct"}
    assert selection.prepared(found).equals(found)
    assert selection.alike(PAPER, "latent_ensf")["model"].values.tolist() == ["vae10"]


def test_errors_of_a_score_filter_are_in_units_of_its_diffusion():
    found = selection.prepared(PAPER)
    base = selection.alike(PAPER, "latent_ensf")
    assert base.likelihood_std.item() == pytest.approx(0.1)
    kalman = selection.where(found, method="latent_enkf", inflation=1.0, obs_std=0.3)
    assert set(kalman.likelihood_std.values) == {0.3}


# -- values ----------------------------------------------------------------------------------------


def test_bands_are_ranges_of_few_seeds_and_quartiles_of_many():
    few, many = (selection.summary(s.mean_relative_rmse) for s in (QUICK, PAPER))
    np.testing.assert_allclose(few.low, QUICK.mean_relative_rmse.min("seed"))
    np.testing.assert_allclose(many.high, PAPER.mean_relative_rmse.quantile(0.75, "seed"))
    np.testing.assert_allclose(many["median"], PAPER.mean_relative_rmse.median("seed"))
    assert selection.over_seeds(few) == "median and range over 3 seeds"
    assert selection.over_seeds(many) == "median and 25–75 % band over 8 seeds"


def test_each_panel_has_its_own_number_of_latents_and_the_methods_without():
    data = fields.methods_data(PAPER, 0.1)
    assert sorted(set(data.latent.values)) == [0, 50, 100, 200, 400]
    fig = fields.methods_figure(data)
    assert [ax.get_title() for ax in fig.axes] == [f"$r = {r}$" for r in (50, 100, 200, 400)]
    assert [len(ax.lines) for ax in fig.axes] == 4 * [6]


def test_noise_selects_the_runs_of_that_noise():
    data = fields.methods_data(PAPER, 0.2)
    assert set(data.noise.values) == {0.2}
    data = fields.methods_data(QUICK, 0.2)
    assert set(data.noise.values) == {0.1} and "20 %" in data.attrs["note"]


def test_a_rank_histogram_has_mean_one_and_ends_with_the_members():
    data = calibration.calibration_data(PAPER)
    assert data["scale"].values.tolist() == [1.0, 10.0, 20.0, 100.0]
    np.testing.assert_allclose(data.frequency.mean("rank"), 1.0)
    assert (data.frequency.notnull().sum("rank") == 21).all()


def test_codecs_that_no_case_has_are_missed():
    with pytest.raises(ValueError, match="case whose filters use codecs"):
        calibration.training_data(made_up.ring())


def test_mitigations_begin_with_the_method_of_the_paper_and_say_what_differs():
    data = mitigations.mitigations_data(PAPER, validated(PAPER))
    words = data.description.values.tolist()
    assert words[0] == "Latent-EnSF as in the paper"
    assert set(words[1:5]) == {"weight 0.5", "reparameterise=true", "model vae10_wide", "$S = 1$"}
    assert words[-3:] == ["Latent-EnSF, PCA", "obs.-only decoding", "obs.-only decoding, PCA"]
    assert len(set(words)) == len(words)
    assert data.description.values[data.chosen.values == 1] == ["model vae10_wide"]
    last = PAPER.relative_rmse.isel(time=-1).median("seed")
    np.testing.assert_allclose(data.last_median, last.sel(run=data.run))


def test_interval_and_tuning_hold_what_was_varied():
    data = field_sweeps.interval_data(PAPER)
    assert set(data["method"].values) == {
        *("free", "ensf", "latent_ensf", "latent_enkf", "latent_letkf")
    }
    data = field_sweeps.tuning_data(PAPER)
    own = selection.where(data, panel="eps_beta")
    assert own.place.values.tolist() == [0.0, 0.005, 0.01, 0.025, 0.05, 0.1]
    own = selection.where(data, panel="scale")
    assert own.place.values.tolist() == 2 * [1.0, 10.0, 20.0, 100.0]
    np.testing.assert_allclose(own.likelihood_std, 4 * [0.1] + 4 * [0.3])


# -- rings -----------------------------------------------------------------------------------------


def test_rings_are_in_order_of_size_with_published_values_where_the_case_has_some():
    data = rings()
    assert data["size"].values.tolist() == [100, 100, 1000, 1000, 1000, 1000]
    said = selection.where(data, kind="with shocks", method="ensf_ring")
    assert (float(said.published_whole[0]), float(said.published_last[0])) == (3.0, 2.0)
    assert int(data.published_last.notnull().sum()) == 1
    one = made_up.ring(100, times=15).sel(run="ensf_ring", drop=True)
    last = one.rmse.isel(time=slice(-10, None)).mean("time").median("seed")
    assert float(data.rmse_last_median.sel(run="ring100 ensf_ring")) == pytest.approx(float(last))


def test_a_ring_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match="number of components"):
        ring.ring_data({"ring/fields": made_up.ring().drop_vars("size")}, {})
    with pytest.raises(ValueError, match="expected scores of ensf"):
        ring.ring_data({"basin/fields": made_up.ring(methods=())}, {})


def test_times_are_medians_of_the_analysis_alone():
    data = times()
    assert data["size"].values.tolist() == [100, 1000]
    made = made_up.timing(("ensf", "letkf"), 100).cpu_seconds.sel(part="analysis", drop=True)
    np.testing.assert_allclose(data.seconds_median.sel(size=100), made.median("repetition"))


def test_the_means_of_a_run_of_few_analyses_are_left_out():
    long, short = made_up.ring(100, times=20), made_up.ring(1000, times=8)
    data = ring.ring_data({"a/fields": long, "b/fields": short}, {})
    means = selection.where(data, size=1000)[["rmse_last_median", "rmse_whole_high"]]
    assert all(values.isnull().all() for values in means.data_vars.values())
    kept = selection.where(data, size=100)
    assert kept.rmse_last_median.notnull().all() and kept.rmse_median.notnull().all()
    assert data.attrs["short"] == 2 and isinstance(ring.ring_figure(data), Figure)


def test_every_combination_that_was_tried_is_shown_with_its_error():
    data = tried_of(QUICK).isel(panel=0)
    best = int(np.nanargmin(data.error.values))
    assert (float(data.up[best]), float(data.across[best])) == (1.5, 0.2)
    assert float(data.error[best]) == pytest.approx(0.3)
    assert np.isnan(data.error).sum() == 1 and data.sizes["candidate"] == 9
    with pytest.raises(ValueError, match="runs that are tuned"):
        grids.grids_data({"basin/fields": QUICK})


def test_codecs_of_another_noise_are_said():
    scores = QUICK.assign_coords(codec_noise=("codec", np.full(QUICK.sizes["codec"], 0.1)))
    assert fields.methods_data(scores, 0.1).attrs["note"] == ""
    scores["codec_noise"][:] = 0.2
    assert "noise of 20 %" in fields.methods_data(scores, 0.1).attrs["note"]


def test_a_gain_of_two_per_cent_looks_like_two_per_cent():
    axes = fields.members_figure(fields.members_data(QUICK)).axes[1]
    assert axes.get_ylim()[0] == 0
