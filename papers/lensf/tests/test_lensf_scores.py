"""Metrics of filters of gridded states against direct formulas and closed forms."""

import numpy as np
import pytest
import xarray as xr

from dalib.metrics.base import Evaluation
from dalib.metrics.sphere import latitude_weights
from papers.lensf.metrics import gridded
from papers.lensf.metrics.gridded import NTH

SHAPE = (3, 4, 5)  # variable, x, y
CASES, TIMES = 2, 6
STD = np.array([0.5, 2.0, 30.0])
PER = STD.repeat(20)
SERIES = ("case", "time", "state")
RELATIVE = {
    "relative": gridded.RelativeRMSE(),
    "physical": gridded.RelativeRMSE(physical=True),
    "by variable": gridded.RelativeRMSE(by_variable=True),
}
RMSE, SPREAD = gridded.NormalisedRMSE(), gridded.Spread()


def normal(name: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(list(name.encode())).normal(size=shape)


def truth(centre=0.0) -> xr.DataArray:
    values = PER * normal("truth", CASES, TIMES, 60) + np.broadcast_to(centre, 3).repeat(20)
    return xr.DataArray(values, dims=SERIES, coords={"case": range(CASES), "time": range(1, 7)})


def observed(std=STD, centre=0.0, rows=None) -> xr.Dataset:
    rows = np.arange(4.0) if rows is None else rows
    units = "degrees_north" if rows[0] > 3 else "m"
    return xr.Dataset(
        {
            "state_std": ("variable", std),
            "state_mean": ("variable", np.broadcast_to(centre, 3)),
        },
        {
            "variable": ["u", "v", "eta"],
            "grid_x": ("grid_x", rows, {"units": units}),
            "grid_y": np.arange(5.0),
        },
    )


def run_of(mean, x=None, background=None, spread=1.0, members=None, discard=0, **layout):
    x = truth() if x is None else x
    coords = {"run": [0], **{name: x[name] for name in ("case", "time")}}
    states = [
        xr.DataArray(np.asarray(values)[None], coords, ("run", *SERIES))
        for values in (mean, mean if background is None else background)
    ]
    ones = np.full((1, *x.shape[:2], 3), spread)
    return Evaluation(
        estimate=states[0],
        background=states[1],
        spread=xr.DataArray(ones, coords, ("run", "case", "time", "variable")),
        members=members,
        truth=x,
        observed=observed(**layout),
        discard=discard,
    )


def scored(metric, mean, x=None, **options) -> np.ndarray:
    """(case, time, ...)."""
    return metric(run_of(mean, x, **options)).isel(run=0).values


def test_relative_errors_are_norms_of_what_is_divided_by_the_std_of_its_variable():
    x, mean = truth().values, truth().values + PER * normal("error", CASES, TIMES, 60)
    norm = lambda values: np.linalg.norm(values, axis=-1)  # noqa: E731
    expected = norm((mean - x) / PER) / norm(x / PER)
    found = {name: scored(metric, mean) for name, metric in RELATIVE.items()}
    np.testing.assert_allclose(found["relative"], expected, rtol=1e-12)
    before = scored(gridded.RelativeRMSE(of="background"), mean)
    np.testing.assert_allclose(before, expected, rtol=1e-12)
    np.testing.assert_allclose(found["physical"], norm(mean - x) / norm(x), rtol=1e-12)
    expected = norm((mean - x) / PER) / np.sqrt(60)
    np.testing.assert_allclose(scored(RMSE, mean), expected, rtol=1e-12)
    for i in range(3):
        own = slice(20 * i, 20 * i + 20)
        one = norm((mean - x)[..., own]) / norm(x[..., own])
        np.testing.assert_allclose(found["by variable"][..., i], one, rtol=1e-12)


@pytest.mark.parametrize("factor, error", [(1.0, 0.0), (0.0, 1.0), (2.0, 1.0), (1.01, 0.01)])
def test_an_estimate_that_is_too_large_by_a_factor_has_that_error_in_every_norm(factor, error):
    for metric in RELATIVE.values():
        np.testing.assert_allclose(scored(metric, factor * truth()), error, atol=1e-12)


def test_the_centre_is_an_error_of_one_about_itself():
    """As a climatology of the mean alone."""
    centre = np.array([1.0, -50.0, 1000.0])
    x = truth(centre)
    mean = np.broadcast_to(centre.repeat(20), x.shape)
    for metric in RELATIVE.values():
        np.testing.assert_allclose(scored(metric, mean, x, centre=centre), 1, rtol=1e-12)
    assert (scored(RELATIVE["relative"], mean, x) < 0.5).all()


def test_units_of_a_variable_do_not_count():
    mean = truth() + PER * normal("error", CASES, TIMES, 60)
    factor = np.array([1000.0, 1.0, 1e-3])
    units = factor.repeat(20)
    for metric in (RELATIVE["relative"], RELATIVE["by variable"], RMSE, SPREAD):
        other = scored(metric, units * mean, units * truth(), std=factor * STD)
        np.testing.assert_allclose(other, scored(metric, mean), rtol=1e-12)


def test_the_error_of_the_forecast_is_its_own():
    given = {"mean": 1.1 * truth(), "background": 1.3 * truth()}
    np.testing.assert_allclose(scored(RELATIVE["relative"], **given), 0.1, rtol=1e-9)
    of = gridded.RelativeRMSE(of="background"), gridded.NormalisedRMSE(of="background")
    np.testing.assert_allclose(scored(of[0], **given), 0.3, rtol=1e-9)
    np.testing.assert_allclose(scored(of[1], **given) / scored(RMSE, **given), 3, rtol=1e-9)


def test_points_count_by_their_area():
    """An error of one std in a single row of latitude: the rmse is the root of its share."""
    rows = np.array([60.0, 30.0, 0.0, -30.0])
    weights = latitude_weights(xr.DataArray(rows, dims="lat")).values
    for row in range(4):
        error = np.zeros(SHAPE)
        error[:, row] = STD[:, None]
        found = scored(RMSE, truth() + error.ravel(), rows=rows)
        np.testing.assert_allclose(found, np.sqrt(weights[row] / 4), rtol=1e-9)


def test_the_spread_is_the_root_of_the_mean_of_variances():
    np.testing.assert_allclose(scored(SPREAD, truth(), spread=0.3), 0.3, rtol=1e-12)


# -- ensembles -----------------------------------------------------------------------------------

INDEX = np.arange(0, 60, 2)


def ensemble(members: int, size: float = 1.0, points: int = 400, **more) -> Evaluation:
    """Truth and members of one normal distribution about a centre, at many times."""
    centre = normal("centre", CASES, points, 60)
    x = centre + normal("true", CASES, points, 60)
    drawn = centre[:, :, None] + size * normal("members", CASES, points, members, 60)
    coords = {"case": range(CASES), "time": range(1, points + 1)}
    truth = xr.DataArray(PER * x, coords, SERIES)
    dims = ("run", "case", "time", "member", "sampled")
    kept = xr.DataArray((PER * drawn)[None, ..., INDEX], {**coords, "sampled": INDEX}, dims)
    kept = kept.assign_coords(run=[0], member=range(members))
    return run_of(PER * centre, truth, members=kept, **more)


def test_a_calibrated_ensemble_has_a_flat_histogram_of_ranks():
    """Expected counts n / (N + 1); the sum of squared deviations is that of χ² with N degrees."""
    counts = gridded.RankCounts()(ensemble(9)).isel(run=0).values
    expected = CASES * 400 * len(INDEX) / 10
    assert counts.sum() == 10 * expected
    assert ((counts - expected) ** 2 / expected).sum() < 9 + 5 * np.sqrt(2 * 9)


def test_an_ensemble_that_is_too_sure_has_its_truths_at_the_ends():
    run = ensemble(9, size=0.3)
    counts = gridded.RankCounts()(run).isel(run=0).values
    assert counts[[0, 9]].sum() > 0.6 * counts.sum()
    assert gridded.SampledCoverage()(run).mean() < 0.5


def test_a_calibrated_ensemble_covers_as_many_truths_as_it_says():
    run = ensemble(200, points=60)
    calibrated = float(gridded.CalibratedCoverage()(run)[0])
    assert calibrated == pytest.approx(191 / 201)  # five are left out
    assert float(gridded.SampledCoverage()(run).mean()) == pytest.approx(0.95, abs=0.012)
    # E|X - y| - ½ E|X - X'| of unit normals: (2 - 1) / √π
    expected = pytest.approx(1 / np.sqrt(np.pi), rel=0.04)
    assert float(gridded.SampledCRPS()(run).mean()) == expected


def test_ranks_count_the_members_below_the_truth():
    run = ensemble(5, points=TIMES)
    below = (run.members.values[0] < run.truth.values[:, :, None, INDEX]).sum(2)
    counts = gridded.RankCounts()(run).isel(run=0)
    np.testing.assert_array_equal(counts, np.bincount(below.ravel(), minlength=6))


def test_members_that_a_run_does_not_have_count_for_nothing():
    run = ensemble(5, points=TIMES)
    wider = ensemble(5, points=TIMES)
    wider = Evaluation(**{**vars(wider), "members": wider.members.reindex(member=range(8))})
    for metric in (gridded.RankCounts(), gridded.SampledCRPS(), gridded.SampledCoverage()):
        np.testing.assert_allclose(metric(run), metric(wider), rtol=1e-12)


def test_a_lost_trajectory_has_no_ranks_and_no_errors_and_leaves_the_others_alone():
    run = ensemble(5, points=TIMES, discard=2)
    there = (run.estimate["case"] != 1) | (run.estimate["time"] < 4)
    lost = {name: getattr(run, name).where(there) for name in ("estimate", "members")}
    lost = Evaluation(**{**vars(run), **lost})
    for metric in (RELATIVE["relative"], RMSE):
        one, whole = metric(lost), metric(run)
        assert one.isel(case=1, time=slice(3, None)).isnull().all()
        xr.testing.assert_equal(one.isel(case=0), whole.isel(case=0))
    assert gridded.MeanRMSE()(lost).isnull().values.tolist() == [[False, True]]
    assert gridded.Diverged()(lost).values.tolist() == [[0, 1]]
    assert int(gridded.RankCounts()(lost).sum()) == (4 + 1) * len(INDEX)


# -- means ---------------------------------------------------------------------------------------


def test_means_leave_out_what_is_discarded_and_some_analyses_stand_alone():
    growth = xr.DataArray(np.arange(1.0, TIMES + 1), dims="time")
    run = run_of(truth() * (1 + 0.1 * growth), discard=2)
    late = np.mean([0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(gridded.MeanRMSE()(run), late, rtol=1e-9)
    means = RMSE(run).isel(time=slice(2, None)).mean("time")
    np.testing.assert_allclose(gridded.MeanRMSE(relative=False)(run), means)
    early = np.mean([0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(gridded.MeanRMSE(first=5)(run), early)
    at = gridded.AtAnalysis()(run)
    assert at["nth"].values.tolist() == [*map(str, NTH), "last"]
    # of six analyses, the last takes the place of the tenth
    np.testing.assert_allclose(at.mean(("run", "case")), [0.1, 0.2, 0.5, 0.6, 0.6], rtol=1e-9)


# -- beside the observations ---------------------------------------------------------------------


def with_sensors(stride: int, noise: float = 0.1) -> Evaluation:
    """Observations at every stride-th point, and an analysis that moves at the sensors alone."""
    sensors = gridded.EveryKth(SHAPE, stride)
    index, x = sensors.selected(60).numpy(), truth()
    background = 1.1 * x.values
    mean = background.copy()
    mean[..., index] = x.values[..., index]
    std = noise * PER[index]
    run = run_of(mean, background=background)
    given = run.observed.assign(
        y=(("seed", "time", "obs"), x.values[..., index]),
        obs_std=("obs", std),
        stride=stride,
        interval=1,
        observes_states=1,
    )
    return Evaluation(**{**vars(run), "observed": given})


def test_observations_of_all_points_without_error_have_none():
    found = gridded.ObservedRMSE()(with_sensors(1))
    np.testing.assert_allclose(found, 0, atol=1e-12)
    mean = gridded.ObservedRMSE(mean=True)(with_sensors(1))
    np.testing.assert_allclose(mean, 0, atol=1e-12)


def test_an_increment_at_the_sensors_alone_has_none_beside_them():
    np.testing.assert_array_equal(gridded.IncrementOffSensors()(with_sensors(2)), 0)
    assert gridded.IncrementOffSensors()(with_sensors(1)).isnull().all()  # a sensor at every point


def test_off_the_sensors_the_score_is_exactly_zero_unless_they_are_interpolated():
    run = with_sensors(2)
    assert float(gridded.ScoreOffSensors()(run)[0]) == 0
    assert float(gridded.ScoreOffSensors(interpolated=True)(run)[0]) > 0.1
    assert np.isnan(float(gridded.ScoreOffSensors()(with_sensors(2, noise=0.0))[0]))
