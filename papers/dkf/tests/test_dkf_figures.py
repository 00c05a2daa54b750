"""Figures: the same data give the same bytes, and everything that should be drawn is there."""

import itertools

import matplotlib
import numpy as np
import pytest
import xarray as xr
from drawing import check_redrawn
from matplotlib.figure import Figure

from papers.dkf import style
from papers.dkf.figures import curves, phase, samples, scores, series

rng = np.random.default_rng


def described(dims, values, name="quantity"):
    return (dims, np.asarray(values, float), {"units": "1", "long_name": name})


def truth(seeds=3, times=220, interval=0.05):
    x = np.cumsum(rng(0).normal(size=(seeds, times, 3)), 1)
    time = described("time", interval * np.arange(times), "model time")
    return xr.Dataset(
        {"x": described(("seed", "time", "state"), x, "true state")},
        {"seed": np.arange(seeds), "time": time, "state": ["x", "y", "z"]},
    )


def observations():
    y = truth().x.isel(time=slice(1, None)).rename(state="obs")
    return xr.Dataset({"y": y.where(y.time < 8.0)})


def estimates():
    mean = truth().x.isel(time=slice(1, None)).rename(seed="case")
    means = {"ekf": mean + 0.1, "particle": mean + 0.2, "dkf": mean + 0.5}
    return {name: xr.Dataset({"mean": m}) for name, m in means.items()}


def filters():
    data = series.filters_data(truth(), observations(), estimates(), length=10.0)
    error = abs(data.estimate - data.truth).sum("state")
    return data.assign(error=error.assign_attrs(units="1", long_name="error norm"))


def history():
    values = described(("replicate", "check"), rng(0).normal(size=(3, 7)), "negative elbo")
    return xr.Dataset(
        {"train_negative_elbo": values, "valid_negative_elbo": values},
        {"replicate": [0, 1, 2], "check": 50 * np.arange(7)},
    )


def langevin():
    states = rng(0).normal(size=(6, 40, 3)) + [0, 0, 25]
    dims = ("level", "sample", "state")
    level = described("level", [3, 1.1, 0.4, 0.15, 0.05, 0.02], "noise level")
    return xr.Dataset(
        {"snapshots": described(dims, states)}, {"level": level, "state": ["x", "y", "z"]}
    )


def runs(methods, replicates=1, **axes):
    """Coordinates along `run` of a study, every method at all values in all replicates."""
    found = list(itertools.product(methods, range(replicates), *axes.values()))
    names = ("method", "replicate", *axes)
    columns = dict(zip(names, zip(*found, strict=True), strict=True))
    columns["is_base"] = [1] * len(found)
    return {name: ("run", list(column)) for name, column in columns.items()}


def overview():
    def analyses(methods):
        coords = runs(methods, 2) | {"case": np.arange(5)}
        rmse = described(("run", "case"), 1 + rng(0).random((2 * len(methods), 5)))
        return xr.Dataset({"rmse": rmse, "obs_rmse": described("case", np.ones(5))}, coords)

    error = described(("run", "lead"), rng(0).random((4, 4)), "median error")
    worse = described(("run", "lead"), 2 + rng(1).random((4, 4)), "RMS error")
    noisy = ["with noise", "without noise"]
    prefixes = ("", "equations_", "persistence_")
    forecasts = xr.Dataset(
        {f"{prefix}median_error": error for prefix in prefixes}
        | {f"{prefix}rms_error": worse for prefix in prefixes},
        runs(["dkf"], 2, method_noisy=noisy)
        | {"lead": described("lead", [0.1, 0.2, 0.3, 0.4], "lead time")},
    )
    ratio = described("run", 1 + rng(0).random(6))
    drawn = xr.Dataset(
        {
            "w1": ratio,
            "w1_floors": described("set", [0.9, 1.0, 1.1]),
            "nearest_median": ratio,
            "noisy_nearest_median": described("run", [0.05, 0.3, 1.2] * 2),
        },
        runs(["langevin", "reverse_sde"], method_noise_std=[0.0, 0.5, 2.0]),
    )
    return scores.overview_data(
        {"filters": analyses(["ekf", "own"]), "filters_clean": analyses(["dkf", "ekf"])},
        forecasts,
        drawn,
        {"filters": "noise"},
    )


FIGURES = {
    "fig1": (lambda: phase.trajectory_data(truth()), phase.trajectory_figure),
    "fig2a": (lambda: curves.learning_data(history()), curves.learning_figure),
    "fig2b": (filters, series.filters_figure),
    "fig4": (lambda: samples.levels_data(langevin(), truth()), samples.levels_figure),
    "overview": (overview, scores.overview_figure),
}
over_figures = pytest.mark.parametrize(("data", "draw"), FIGURES.values(), ids=FIGURES)


@over_figures
def test_the_file_beside_a_figure_holds_all_that_is_drawn(data, draw, tmp_path):
    check_redrawn(data(), draw, tmp_path)


@over_figures
def test_drawing_changes_no_global_setting(data, draw):
    before = dict(matplotlib.rcParams)
    assert isinstance(draw(data()), Figure)
    assert dict(matplotlib.rcParams) == before


def test_every_axis_is_labelled():
    for data, draw in FIGURES.values():
        fig = draw(data())
        shared = fig.get_supxlabel() and fig.get_supylabel()
        assert shared or all(ax.get_ylabel() for ax in fig.axes)


def test_filters_are_shown_before_and_after_the_last_observation():
    data = filters()
    assert series.last_observed(data) == pytest.approx(7.95)
    assert float(data.time[-1] - data.time[0]) == pytest.approx(10.0)
    assert data.method.values.tolist() == ["ekf", "particle", "dkf"]
    assert np.isfinite(data.estimate).all() and np.isfinite(data.truth).all()


def test_six_levels_are_six_panels():
    data = samples.levels_data(langevin(), truth())
    assert len(samples.levels_figure(data).axes) == 6
    assert data.truth.sizes["sample"] == data.snapshots.sizes["sample"]
    few = truth().isel(seed=[0], time=[0])
    with pytest.raises(ValueError, match="true states are needed beside the samples, but there"):
        samples.levels_data(langevin(), few)


def test_all_errors_of_forecasts_are_within_their_panel():
    """The root mean square is the larger."""
    data = overview()
    panel = scores.overview_figure(data).axes[1]
    assert panel.get_ylabel() == "error of the forecast"
    assert panel.get_ylim()[0] == 0 and panel.get_ylim()[1] > float(data.rms_error.max())


def test_a_lost_run_counts_as_the_worst_and_a_seed_of_other_cases_does_not():
    data = overview()
    data["rmse"] = data.rmse.where(data.seed != 4)
    data["obs_rmse"] = data.obs_rmse.where((data.seed != 4) | (data.case == "filters"))
    ax = scores.overview_figure(data).axes[0]
    assert [text.get_text() for text in ax.texts if "lost" in text.get_text()] == ["20% lost"] * 2
    few, many = np.array([1.0, 2.0, np.nan]), np.array([1.0, np.nan, np.nan])
    for values, median in ((few, 2.0), (many, np.inf)):
        ax = Figure().subplots()
        scores.strip(ax, 0.0, values, "k")
        assert ax.lines[1].get_ydata()[0] == median


def test_cases_keep_their_order_and_methods_that_of_the_style():
    data = overview()
    assert data.case.values.tolist() == ["filters", "filters_clean"]
    assert data.description.values.tolist() == ["noise", "filters_clean"]  # one has no label
    assert data.method.values.tolist() == ["ekf", "dkf", "own"]


def test_a_method_has_one_colour_and_different_methods_differ():
    together = [["truth", "observations", "ekf", "particle", "dkf"], ["langevin", "reverse_sde"]]
    for methods in together:
        assert len({style.colour(m) for m in methods}) == len(methods)
