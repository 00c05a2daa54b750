"""Scores of filters on fields against direct formulas and closed forms."""

import numpy as np
import pytest
import xarray as xr

from dalib.metrics.sphere import latitude_weights
from papers.lensf.metrics.fields import NTH, score_run, score_runs

SHAPE = (3, 4, 5)  # variable, x, y
SEEDS, TIMES = 2, 6
STD = np.array([0.5, 2.0, 30.0])
PER = STD.repeat(20)
RELATIVE = ("relative_rmse", "relative_rmse_physical", "variable_relative_rmse")
SERIES = ("seed", "time", "state")


def normal(name: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(list(name.encode())).normal(size=shape)


def truth(centre=0.0) -> xr.DataArray:
    values = PER * normal("truth", SEEDS, TIMES, 60) + np.broadcast_to(centre, 3).repeat(20)
    return xr.DataArray(values, dims=SERIES, coords={"seed": range(SEEDS), "time": range(1, 7)})


def run_of(mean, forecast=None, spread=1.0, **more) -> xr.Dataset:
    forecast = mean if forecast is None else forecast
    ones = np.full((SEEDS, TIMES, 3), spread)
    values = {"mean": (SERIES, np.asarray(mean)), "forecast_mean": (SERIES, np.asarray(forecast))}
    return xr.Dataset({**values, "spread": (("seed", "time", "variable"), ones), **more})


def scored(mean, x=None, **options) -> xr.Dataset:
    return score_run(run_of(mean), truth() if x is None else x, SHAPE, STD, **options)


def test_relative_errors_are_norms_of_what_is_divided_by_the_std_of_its_variable():
    x, mean = truth().values, truth().values + PER * normal("error", SEEDS, TIMES, 60)
    found = scored(mean)
    norm = lambda values: np.linalg.norm(values, axis=-1)  # noqa: E731
    expected = norm((mean - x) / PER) / norm(x / PER)
    np.testing.assert_allclose(found.relative_rmse, expected, rtol=1e-12)
    np.testing.assert_allclose(found.forecast_relative_rmse, expected, rtol=1e-12)
    np.testing.assert_allclose(found.relative_rmse_physical, norm(mean - x) / norm(x), rtol=1e-12)
    np.testing.assert_allclose(found.rmse, norm((mean - x) / PER) / np.sqrt(60), rtol=1e-12)
    for i in range(3):
        own = slice(20 * i, 20 * i + 20)
        one = norm((mean - x)[..., own]) / norm(x[..., own])
        np.testing.assert_allclose(found.variable_relative_rmse[..., i], one, rtol=1e-12)


@pytest.mark.parametrize("factor, error", [(1.0, 0.0), (0.0, 1.0), (2.0, 1.0), (1.01, 0.01)])
def test_an_estimate_that_is_too_large_by_a_factor_has_that_error_in_every_norm(factor, error):
    found = scored(factor * truth())
    for name in RELATIVE:
        np.testing.assert_allclose(found[name], error, atol=1e-12)


def test_the_centre_is_an_error_of_one_about_itself():
    """As a climatology of the mean alone."""
    centre = np.array([1.0, -50.0, 1000.0])
    x = truth(centre)
    mean = np.broadcast_to(centre.repeat(20), x.shape)
    for name in RELATIVE:
        np.testing.assert_allclose(scored(mean, x, centre=centre)[name], 1, rtol=1e-12)
    assert (scored(mean, x).relative_rmse < 0.5).all()


def test_units_of_a_variable_do_not_count():
    mean = truth() + PER * normal("error", SEEDS, TIMES, 60)
    factor = np.array([1000.0, 1.0, 1e-3])
    units = factor.repeat(20)
    other = score_run(run_of(units * mean), units * truth(), SHAPE, factor * STD)
    for name in ("relative_rmse", "variable_relative_rmse", "rmse", "spread"):
        np.testing.assert_allclose(other[name], scored(mean)[name], rtol=1e-12)


def test_the_error_of_the_forecast_is_its_own():
    one, other = 1.1 * truth(), 1.3 * truth()
    found = score_run(run_of(one, other), truth(), SHAPE, STD)
    np.testing.assert_allclose(found.relative_rmse, 0.1, rtol=1e-9)
    np.testing.assert_allclose(found.forecast_relative_rmse, 0.3, rtol=1e-9)
    np.testing.assert_allclose(found.forecast_rmse / found.rmse, 3, rtol=1e-9)


def test_points_count_by_their_area():
    """An error of one std in a single row of latitude: the rmse is the root of its share."""
    weights = latitude_weights(xr.DataArray([60.0, 30.0, 0.0, -30.0], dims="lat")).values
    for row in range(4):
        error = np.zeros(SHAPE)
        error[:, row] = STD[:, None]
        found = scored(truth() + error.ravel(), area=weights[:, None])
        np.testing.assert_allclose(found.rmse, np.sqrt(weights[row] / 4), rtol=1e-9)


def test_the_spread_is_the_root_of_the_mean_of_variances():
    found = score_run(run_of(truth(), spread=0.3), truth(), SHAPE, STD)
    np.testing.assert_allclose(found.spread, 0.3, rtol=1e-12)


# -- ensembles -----------------------------------------------------------------------------------

INDEX = np.arange(0, 60, 2)


def ensemble(members: int, size: float = 1.0, points: int = 400) -> tuple[xr.Dataset, xr.DataArray]:
    """Truth and members of one normal distribution about a centre, at many times."""
    centre = normal("centre", SEEDS, points, 60)
    x = centre + normal("true", SEEDS, points, 60)
    drawn = centre[:, :, None] + size * normal("members", SEEDS, points, members, 60)
    kept = (PER * drawn)[..., INDEX]
    mean = (SERIES, PER * centre)
    values = {"mean": mean, "forecast_mean": mean}
    values["spread"] = (("seed", "time", "variable"), np.ones((SEEDS, points, 3)))
    values["kept_members"] = (("seed", "time", "member", "sampled"), kept)
    coords = {"seed": range(SEEDS), "time": range(1, points + 1)}
    return xr.Dataset(values, coords | {"sampled": INDEX}), xr.DataArray(PER * x, coords, SERIES)


def test_a_calibrated_ensemble_has_a_flat_histogram_of_ranks():
    """Expected counts n / (N + 1); the sum of squared deviations is that of χ² with N degrees."""
    run, x = ensemble(9)
    one = score_run(run, x, SHAPE, STD)
    counts = score_runs({"run": one}, 0, {"run": 9}).rank_count.isel(run=0).values
    expected = SEEDS * 400 * len(INDEX) / 10
    assert counts.sum() == 10 * expected
    assert ((counts - expected) ** 2 / expected).sum() < 9 + 5 * np.sqrt(2 * 9)


def test_an_ensemble_that_is_too_sure_has_its_truths_at_the_ends():
    run, x = ensemble(9, size=0.3)
    one = score_run(run, x, SHAPE, STD)
    counts = score_runs({"run": one}, 0, {"run": 9}).rank_count.isel(run=0).values
    assert counts[[0, 9]].sum() > 0.6 * counts.sum() and one.coverage.mean() < 0.5


def test_a_calibrated_ensemble_covers_as_many_truths_as_it_says():
    run, x = ensemble(200, points=60)
    found = score_run(run, x, SHAPE, STD)
    assert float(found.calibrated_coverage) == pytest.approx(191 / 201)  # five are left out
    assert float(found.coverage.mean()) == pytest.approx(0.95, abs=0.012)
    # E|X - y| - ½ E|X - X'| of unit normals: (2 - 1) / √π
    assert float(found.crps.mean()) == pytest.approx(1 / np.sqrt(np.pi), rel=0.04)


def test_ranks_count_the_members_below_the_truth():
    run, x = ensemble(5, points=TIMES)
    ranks = score_run(run, x, SHAPE, STD)["rank"]
    expected = (run.kept_members.values < x.values[:, :, None, INDEX]).sum(2)
    np.testing.assert_array_equal(ranks, expected)


def test_members_that_a_run_does_not_have_count_for_nothing():
    run, x = ensemble(5, points=TIMES)
    wider = run.assign_coords(member=range(5)).reindex(member=range(8))
    one, other = (score_run(r, x, SHAPE, STD) for r in (run, wider))
    for name in ("rank", "crps", "coverage"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


def test_a_lost_seed_has_no_ranks_and_no_errors_and_leaves_the_others_alone():
    run, x = ensemble(5, points=TIMES)
    whole = score_run(run, x, SHAPE, STD)
    lost = run.where((run.seed != 1) | (run.time < 4))
    one = score_run(lost, x, SHAPE, STD)
    for name in ("rank", "relative_rmse", "rmse"):
        assert one[name].isel(seed=1, time=slice(3, None)).isnull().all()
        xr.testing.assert_equal(one[name].isel(seed=0), whole[name].isel(seed=0))
    found = score_runs({"run": one}, 2, {"run": 5})
    assert found.mean_relative_rmse.isnull().values.tolist() == [[False, True]]
    assert int(found.rank_count.sum()) == (4 + 1) * len(INDEX)


# -- several runs --------------------------------------------------------------------------------


def test_means_leave_out_what_is_discarded_and_some_analyses_stand_alone():
    growth = xr.DataArray(np.arange(1.0, TIMES + 1), dims="time")
    one = scored(truth() * (1 + 0.1 * growth))
    found = score_runs({"one": one, "two": one}, 2, {})
    np.testing.assert_allclose(found.mean_relative_rmse, np.mean([0.3, 0.4, 0.5, 0.6]), rtol=1e-9)
    np.testing.assert_allclose(
        found.mean_rmse, one.rmse[:, 2:].mean("time").values[None].repeat(2, 0)
    )
    np.testing.assert_allclose(found.early_relative_rmse, np.mean([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert found["nth"].values.tolist() == [*map(str, NTH), "last"]
    # of six analyses, the last takes the place of the tenth
    at = found.at_analysis.transpose("nth", ...).values
    np.testing.assert_allclose(at.mean((1, 2)), [0.1, 0.2, 0.5, 0.6, 0.6], rtol=1e-9)


def test_runs_without_members_stand_beside_runs_of_several_sizes():
    scores = {"direct": scored(truth())}
    for count in (3, 5):
        run, x = ensemble(count, points=TIMES)
        scores[f"members={count}"] = score_run(run, x, SHAPE, STD)
    found = score_runs(scores, 1, {"members=3": 3, "members=5": 5})
    assert found["run"].values.tolist() == list(scores)
    assert found.rank_count.notnull().sum("rank").values.tolist() == [0, 4, 6]
    assert found.rank_count.sum("rank").values.tolist() == [0, 300, 300]
    assert found.crps.isnull().all(("seed", "time")).values.tolist() == [True, False, False]
    assert all({"units", "long_name"} <= found[name].attrs.keys() for name in found.data_vars)
