"""Times as people have them: dates of any calendar, differences, numbers; are the steps equal?

A filter takes one step of its model from each time to the next, whatever stands beside them.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

ONE_STEP = "a filter takes one step of its model from each time to the next"
CLOSE = 1e-6  # steps that are equal, as a share of one


def coordinate(time: Any, count: int) -> xr.Variable:
    """("time",): times of xarray (whatever their dimension is called), pandas, numpy or a list.

    Differences of time become seconds; all others stay what they are.

    Raises:
        ValueError: they are not one axis of `count` times, have a time zone, or are texts.
    """
    if isinstance(time, xr.DataArray | xr.Variable):
        values, attrs = time.values, dict(time.attrs)
    else:
        if isinstance(time, pd.PeriodIndex):
            time = time.to_timestamp()
        if getattr(time, "tz", None) is not None:
            raise ValueError(
                f"times have the zone {time.tz}, which no file keeps: time.tz_convert(None) are "
                "those of UTC"
            )
        values, attrs = np.asarray(time), {}
    if values.shape != (count,):
        raise ValueError(f"expected {count} times along one axis, found shape {values.shape}")
    if values.dtype.kind in "US" or (values.dtype.kind == "O" and not are_dates(values)):
        raise ValueError(
            f"expected dates or numbers as times, found {str(values[0])!r}; "
            "pandas.to_datetime(...) makes dates of texts"
        )
    if values.dtype.kind == "m":
        values = values / np.timedelta64(1, "s")
        attrs = {"long_name": "time"} | attrs | {"units": "s"}
    if are_dates(values):
        attrs = {name: value for name, value in attrs.items() if name not in ("units", "calendar")}
    return xr.Variable("time", values, attrs)


def are_dates(values: np.ndarray) -> bool:
    """Dates of numpy, or of the calendars of cftime (noleap, 360_day, ...)."""
    return values.dtype.kind == "M" or (
        values.dtype.kind == "O" and values.size > 0 and hasattr(values.flat[0], "calendar")
    )


def unequal(values: np.ndarray) -> str:
    """What is wrong with times that are not in equal steps; "" where nothing is.

    Steps of calendar months and years count as equal.
    """
    if len(values) < 2 or values.dtype.kind not in "Mmiuf" and not are_dates(values):
        return ""
    if pd.isnull(values).any():
        return f"the time at index {int(pd.isnull(values).argmax())} is missing; {ONE_STEP}"
    seconds = _seconds(values)
    steps = np.diff(seconds)
    if (steps <= 0).any() and not (steps < 0).all():
        first = int((steps <= 0).argmax())
        if steps[first] == 0:
            return (
                f"the time {values[first]} is there twice (index {first} and {first + 1}); "
                f"{ONE_STEP}: ds.drop_duplicates('time')"
            )
        return (
            f"the time {values[first + 1]} comes after {values[first]} (index {first + 1}); "
            f"{ONE_STEP}: ds.sortby('time')"
        )
    rounding = 4 * np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    usual = Counter(np.round(steps, 9).tolist()).most_common(1)[0][0]
    off = abs(steps - usual) > CLOSE * abs(usual) + rounding * np.abs(seconds).max()
    if not off.any() or _monthly(values):
        return ""
    first = int(off.argmax())
    return (
        f"the times are not in equal steps: {_said(steps[first], values)} after {values[first]}, "
        f"where {_said(usual, values)} is usual ({int(off.sum())} such); {ONE_STEP}: fill gaps "
        "with NaN, ds.reindex(time=...), or thin what is denser"
    )


def _seconds(values: np.ndarray) -> np.ndarray:
    """Numbers as they are; of dates and differences, seconds since the first."""
    if values.dtype.kind in "iuf":
        return values.astype(float)
    since = values - values[0]
    if values.dtype.kind == "O":
        return np.array([difference.total_seconds() for difference in since])
    return since / np.timedelta64(1, "s")


def _monthly(values: np.ndarray) -> bool:
    """Whether dates are so many calendar months apart, at the same day and hour or at the end."""
    if not are_dates(values):
        return False
    for dates in (values, values + _day(values)):
        if values.dtype.kind == "M":
            month = dates.astype("M8[M]")
            rest, number = dates - month, month.astype(int)
        else:
            number = np.array([12 * date.year + date.month for date in dates])
            rest = np.array([date.strftime("%d %H:%M:%S") for date in dates])
        apart = np.diff(number)
        if (apart == apart[0]).all() and apart[0] > 0 and (rest == rest[0]).all():
            return True
    return False


def _day(values: np.ndarray) -> Any:
    one = np.timedelta64(1, "D")
    return one if values.dtype.kind == "M" else one.item()


def _said(step: float, values: np.ndarray) -> str:
    """A step with its unit, where it has one."""
    if values.dtype.kind in "iuf":
        return f"{step:g}"
    lengths = {"day": 86400.0, "hour": 3600.0, "minute": 60.0, "second": 1.0}
    unit = next((name for name, length in lengths.items() if step % length == 0), "second")
    count = step / lengths[unit]
    return f"{count:g} {unit}{'' if count == 1 else 's'}"
