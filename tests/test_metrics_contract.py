"""What holds for every metric of the registry, whatever its formula."""

import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dalib import build, io
from dalib.metrics import predictability, reference
from dalib.metrics.base import Evaluation, Metric, Score
from dalib.registry import METRICS

RUNS, CASES, LEADS, MEMBERS, STATES = 3, 2, 40, 8, 3
UNITS = {"units": "m"}


def noise(*dims, seed=0, scale=1.0):
    """Draws of N(0, scale²) with the lengths that the dimensions have here."""
    lengths = {
        "run": RUNS,
        "case": CASES,
        "lead": LEADS,
        "time": 150,
        "member": MEMBERS,
        "state": STATES,
        "channel": 2,
        "lat": 5,
        "lon": 4,
    }
    draws = np.random.default_rng(seed).normal(size=[lengths[d] for d in dims])
    return xr.DataArray(scale * draws, dims=dims)


def evaluation():
    """Forecasts that follow the truth ever less, and climates of red noise."""
    truth = noise("case", "lead", "state", seed=1).assign_attrs(UNITS)
    growth = xr.DataArray(np.linspace(0.01, 1, LEADS), dims="lead")
    members = truth + growth * noise("run", "case", "lead", "state", "member", seed=2)
    return Evaluation(
        estimate=members.mean("member"),
        members=members,
        spread=members.std("member", ddof=1),
        truth=truth,
        training=noise("time", "state", seed=3),
        interval=0.1,
        lyapunov=0.9,
        period=0.7,
        free_run=noise("run", "case", "time", "state", seed=4),
        climate=noise("case", "time", "state", seed=5).assign_attrs(UNITS),
        exponent=xr.DataArray([0.8, 0.9, 1.0], dims="run"),
        parameters=xr.DataArray([0.0, 9.0, 99.0], dims="run"),
        fit_seconds=xr.DataArray([0.0, 0.1, 10.0], dims="run"),
        forecast_seconds=xr.DataArray([1e-6, 1e-5, 1e-4], dims="run"),
    )


GRIDDED = ("weighted_rmse", "relative_rmse", "anomaly_correlation")


def gridded():
    """Forecasts of maps."""
    at = {"lat": np.linspace(-60.0, 60.0, 5)}
    truth = noise("case", "lead", "channel", "lat", "lon", seed=1).assign_coords(at)
    error = noise("run", "case", "lead", "channel", "lat", "lon", seed=2, scale=0.1)
    climatology = noise("channel", "lat", "lon", seed=3, scale=0.1).assign_coords(at)
    return Evaluation(
        estimate=truth + error, truth=truth.assign_attrs(UNITS), climatology=climatology
    )


def whole_of(kind):
    return gridded() if kind in GRIDDED else evaluation()


def made(kind):
    return build.make("metric", {"kind": kind})


def score(kind, of=None):
    return made(kind)(of or whole_of(kind))


def arrays_of_runs(whole):
    """{field: array} of what each run has for itself."""
    values = {f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, xr.DataArray) and "run" in value.dims
    }


def ruined(whole, run=1):
    """The same, with everything of one run not finite."""
    lost = np.arange(RUNS) == run
    lost = {
        name: array.where(~xr.DataArray(lost, dims="run"))
        for name, array in arrays_of_runs(whole).items()
    }
    return dataclasses.replace(whole, **lost)


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_keeps_the_dimensions_that_it_declares(kind):
    values = score(kind)
    assert values.dims == made(kind).keeps(whole_of(kind))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_has_units_and_a_name(kind):
    values = score(kind)
    assert values.attrs["units"] and values.attrs["long_name"]
    assert isinstance(made(kind), Score) and isinstance(made(kind), Metric)


@pytest.mark.parametrize("kind", METRICS)
def test_a_run_that_diverged_changes_no_other_run(kind):
    before, after = score(kind), score(kind, ruined(whole_of(kind)))
    if "run" in before.dims:
        rest = [0, 2]
        np.testing.assert_array_equal(after.isel(run=rest).values, before.isel(run=rest).values)


@pytest.mark.parametrize("kind", METRICS)
def test_a_run_that_diverged_has_the_worst_value(kind):
    """What only counts or depends on the truth alone says so: `worst` is None."""
    worst = made(kind).worst
    if worst is not None:
        np.testing.assert_array_equal(score(kind, ruined(whole_of(kind))).isel(run=1), worst)


@pytest.mark.parametrize("kind", METRICS)
def test_runs_may_be_evaluated_together_or_one_by_one(kind):
    whole, metric = whole_of(kind), made(kind)
    together = metric(whole)
    if "run" not in together.dims:
        return
    for run in range(RUNS):
        part = {name: array.isel(run=[run]) for name, array in arrays_of_runs(whole).items()}
        alone = metric(dataclasses.replace(whole, **part))
        np.testing.assert_allclose(alone.values[0], together.isel(run=run).values, rtol=1e-12)


@pytest.mark.parametrize("kind", METRICS)
def test_what_is_asked_for_is_needed_and_nothing_else_is(kind):
    whole, metric = whole_of(kind), made(kind)
    needed = {ask: getattr(whole, ask) for ask in metric.asks | metric.takes}
    xr.testing.assert_identical(
        metric(Evaluation(**needed)).drop_attrs(), metric(whole).drop_attrs()
    )
    for ask in metric.asks:
        with pytest.raises(ValueError, match=f"asks for .*{ask}.*, but {ask} is None"):
            metric(dataclasses.replace(whole, **{ask: None}))


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_can_be_written_and_read(kind, tmp_path):
    values = score(kind).rename(kind)
    if kind == "vpt":
        values = predictability.VPT((0.2, 0.4))(evaluation()).rename(kind)
    io.write(values.to_dataset(), tmp_path / "scores.nc", title="scores")
    read = io.read(tmp_path / "scores.nc")[kind]
    xr.testing.assert_equal(read, values)
    assert read.attrs["units"] == values.attrs["units"]


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_is_frozen_and_states_its_formula(kind):
    metric = made(kind)
    assert dataclasses.is_dataclass(metric) and metric.__dataclass_params__.frozen
    text = inspect.getdoc(metric.function)
    assert "\n    " in text and "Range: " in text, "a formula, indented, and a range"


def test_an_array_without_a_dimension_that_it_needs_is_refused():
    with pytest.raises(
        ValueError, match=r"estimate needs the dimensions run; run missing in \(cas"
    ):
        Evaluation(estimate=noise("case", "lead", "state"))


def test_arrays_with_other_dimensions_than_expected_are_refused():
    whole = evaluation()
    wrong = dataclasses.replace(whole, truth=whole.truth.expand_dims(level=2))
    with pytest.raises(ValueError, match=r"RMSE keeps \(run, case\), but its values have .*level"):
        score("rmse", wrong)


def test_coordinates_must_agree_exactly():
    whole = evaluation()
    late = dataclasses.replace(
        whole,
        estimate=whole.estimate.assign_coords(lead=np.arange(LEADS) + 0.5),
        truth=whole.truth.assign_coords(lead=np.arange(LEADS)),
    )
    with pytest.raises(ValueError, match="lead"):
        score("rmse", late)


def test_the_page_of_metrics_is_current():
    page = Path(__file__).parents[1] / "docs/metrics.md"
    assert page.read_text() == reference.markdown(), (
        "run: python -m dalib.metrics.reference > docs/metrics.md"
    )
    assert all(f"### `{name}`" in page.read_text() for name in METRICS)


@dataclasses.dataclass(frozen=True)
class Bias(Metric):
    """A metric of a user: the mean error."""

    asks = frozenset({"estimate", "truth"})
    long_name = "bias"
    over = ("case", "lead", "state")

    def of(self, evaluation):
        return (evaluation.estimate - evaluation.truth).mean(self.over)


def test_a_metric_may_be_the_users_own():
    metric = build.make("metric", {"kind": f"{__name__}:Bias"})
    assert metric(evaluation()).dims == ("run",)
    with pytest.raises(ValueError, match="Bias asks for estimate, truth, but truth is None"):
        metric(dataclasses.replace(evaluation(), truth=None))


def test_a_metric_that_asks_for_what_no_evaluation_has_is_refused():
    class Wrong(Bias):
        asks = frozenset({"estimate", "weather"})

    with pytest.raises(ValueError, match="Wrong asks for weather: no field of Evaluation"):
        Wrong()(evaluation())
