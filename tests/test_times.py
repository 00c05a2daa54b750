"""Times of any calendar are kept; steps that are not equal are never taken for such in silence."""

import cftime
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from dalib import arrays, io, times
from dalib.filters.base import Analyses

COUNT = 4
HOURS = pd.date_range("2019-03-01", periods=24, freq="h").to_numpy()


def analyses(time):
    """The dataset of estimates at `time`, of two components."""
    x = torch.zeros(COUNT, 2, dtype=torch.float64)
    found = Analyses(x, x, x, x, torch.tensor(-1))
    return arrays.analyses_dataset(found, time=time, names=["a", "b"])


def calendar(name, year=2000):
    return [cftime.datetime(year, 2, day, calendar=name) for day in range(25, 25 + COUNT)]


KEPT = {
    "dates of pandas": (pd.date_range("2019-03-01", periods=COUNT, freq="6h"), None),
    "months of pandas": (pd.period_range("2019-01", periods=COUNT, freq="M"), None),
    "dates ten times a second": (HOURS[0] + np.arange(COUNT) * np.timedelta64(100, "ms"), None),
    "numbers": ([0.5, 1.0, 1.5, 2.0], [0.5, 1.0, 1.5, 2.0]),
    "differences": (pd.timedelta_range("1h", periods=COUNT, freq="1h"), [3600, 7200, 10800, 14400]),
    "noleap": (calendar("noleap"), calendar("noleap")),
    "360_day": (calendar("360_day"), calendar("360_day")),
    "before 1582": (calendar("standard", 1500), calendar("standard", 1500)),
    "numpy before 1582": (
        np.array(["1500-02-25", "1500-02-26", "1500-02-27", "1500-02-28"], "M8[s]"),
        calendar("proleptic_gregorian", 1500),
    ),
    "another dimension": (xr.DataArray(HOURS[:COUNT], dims="t", coords={"t": HOURS[:COUNT]}), None),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KEPT)
def test_times_are_kept_in_a_file(tmp_path, kind):
    given, expected = KEPT[kind]
    made = analyses(given)
    io.write(made, tmp_path / "a.nc", title="analyses")
    found = io.read(tmp_path / "a.nc")["time"].values
    if expected is None:
        given = given.to_timestamp() if isinstance(given, pd.PeriodIndex) else given
        expected = np.asarray(getattr(given, "values", given))
    assert found.tolist() == np.asarray(expected).astype(found.dtype).tolist()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (HOURS[:3], r"expected 4 times along one axis, found shape \(3,\)"),
        (np.zeros((4, 1)), r"found shape \(4, 1\)"),
        (["2019-03-01"] * 4, "expected dates or numbers as times, found '2019-03-01'"),
        (pd.date_range("2019", periods=4, tz="UTC"), "times have the zone UTC"),
    ],
)
def test_what_are_no_times_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        analyses(given)


def moved(change):
    t = HOURS.copy()
    change(t)
    return t


UNEQUAL = {
    "twice": (moved(lambda t: t.__setitem__(5, t[4])), "is there twice (index 4 and 5)"),
    "exchanged": (moved(lambda t: t.__setitem__([10, 11], t[[11, 10]])), "ds.sortby('time')"),
    "gap": (
        moved(lambda t: t.__setitem__(slice(20, None), t[20:] + np.timedelta64(3, "D"))),
        "where 1 hour is usual (1 such)",
    ),
    "missing": (moved(lambda t: t.__setitem__(3, "NaT")), "the time at index 3 is missing"),
    "numbers": (np.array([0.0, 0.1, 0.2, 0.4]), "0.2 after 0.2, where 0.1 is usual (1 such)"),
    "noleap": (np.array(calendar("noleap"))[[0, 1, 3]], "not in equal steps"),
}


@pytest.mark.parametrize("kind", UNEQUAL)
def test_unequal_times_are_refused_before_and_told_after(kind):
    values, said = UNEQUAL[kind]
    assert said in times.unequal(values)
    y = xr.DataArray(np.zeros(len(values)), {"time": values}, ("time",))
    with pytest.raises(ValueError) as caught:
        arrays.to_tensor(y)
    assert said in str(caught.value)
    assert len(arrays.to_tensor(y.drop_vars("time"))) == len(values)


def test_a_result_under_unequal_times_comes_with_a_warning():
    with pytest.warns(UserWarning, match="not in equal steps"):
        assert analyses([0.0, 1.0, 2.0, 4.0]).sizes["time"] == COUNT


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2001-01-15", periods=30, freq="MS").to_numpy(),
        pd.date_range("2001-01-31", periods=30, freq="ME").to_numpy(),
        pd.date_range("2001", periods=9, freq="YS").to_numpy(),
        np.array([cftime.datetime(2000, m, 16, calendar="noleap") for m in range(1, 13)]),
        np.arange(1000, dtype=np.float32) * np.float32(0.1),
        0.05 * np.arange(10_000),
        np.arange(5)[::-1],
        HOURS[:1],
        np.array(["a", "b", "d"]),
    ],
)
def test_steps_that_are_equal_pass(values):
    assert times.unequal(values) == ""


@pytest.mark.parametrize(
    ("start", "interval", "expected"),
    [(0.0, 0.05, 0.0), (0.025, 0.05, 0.025), (0.5, 1.0, 0.5), (0.3, 0.2, 0.3), (0.15, 0.05, 0.15)],
)
def test_a_truth_starts_when_it_is_said_to(start, interval, expected):
    x = torch.zeros(1, 3, 2, dtype=torch.float64)
    made = arrays.truth_dataset(x, seeds=[0], interval=interval, names=["a", "b"], start=start)
    assert made.time.values == pytest.approx(expected + interval * np.arange(3), rel=1e-15)


def test_times_on_the_grid_are_the_same_products_in_every_file():
    x = torch.zeros(1, 100, 2, dtype=torch.float64)
    whole = arrays.truth_dataset(x, seeds=[0], interval=0.05, names=["a", "b"])
    late = arrays.truth_dataset(x[:, 1:], seeds=[0], interval=0.05, names=["a", "b"], start=0.05)
    assert (whole.time.values[1:] == late.time.values).all()
