"""Observations as users have them: any times, values of numpy, pandas, xarray or torch.

What a filter needs follows from them: one axis of times with NaN where a value is missing, and for
each time the calls of the model's step that lead to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from dalib import times as dates
from dalib.filters.steps import Move, Schedule, takes_interval
from dalib.observe import Subset

WHOLE = 1e-6  # a share of the step's interval by which a number of steps may fail to be whole


@dataclass(frozen=True, eq=False)
class Observations:
    """A series of observations, what they see and how large their errors are.

    Times may be irregular, and two observations may have the same. At each time the model is moved
    over what has passed since the time before: by one call of a step that takes `interval`, else by
    as many steps as the `interval` goes into it. An observation at `start` meets the prior itself.

    Attributes:
        times: (time,), numbers in model time, or dates; not going backwards.
        values: (..., time, obs), NaN where missing; or a list with one (obs,) for each time, whose
            numbers may differ.
        operator: h, (..., state) -> (..., obs); a list, one for each time, where they differ. None
            for that of the filter.
        error: standard deviation, a number or (obs,); or covariance (obs, obs) or
            (time, obs, obs); a list, one for each time, where numbers differ. None for that of the
            filter.
        start: time of the prior; by default one step before the first observation.
        interval: model time, or difference of dates, of one step; by default that of equal steps.
        unit: of model time where times are dates, a difference of dates; a step is then told times
            in it, counted from `start`. Times that are numbers are told as they are.
        labels: of xarray, those of leading axes and of values.
    """

    times: Any
    values: Any
    operator: Callable[[Tensor], Tensor] | Sequence[Callable] | None = None
    error: Any = None
    start: Any = None
    interval: Any = None
    unit: Any = np.timedelta64(1, "s")
    labels: "Labels | None" = None

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        times = np.asarray(dates.coordinate(self.times, len(self.times)).values)
        if not dates.are_dates(times):
            times = times.astype(float)
            if not np.isfinite(times).all():
                raise ValueError("times are not finite; give a number or a date for each")
        if times.dtype.kind == "M" and np.isnat(times).any():
            raise ValueError("times have dates that are none (NaT); leave these observations out")
        back = np.flatnonzero(times[1:] < times[:-1])
        if len(back):
            k = int(back[0])
            raise ValueError(
                f"times go backwards, from {times[k]} to {times[k + 1]} at index {k + 1}; sort "
                "observations by time"
            )
        put("times", times)
        if _differ(self.values):
            _make_equal(self, put)
        values = torch.tensor(np.asarray(self.values)) if _is_array(self.values) else self.values
        if not isinstance(values, Tensor):
            raise TypeError(
                f"values are a {type(values).__name__}; give an array (time, obs), or a list with "
                "an array (obs,) for each time"
            )
        if values.ndim < 2 or values.shape[-2] != len(times):
            raise ValueError(
                f"there are {len(times)} times, but values have shape {tuple(values.shape)}; give "
                f"({len(times)}, obs), with leading axes for several series: one value at each "
                "time is y[:, None]"
            )
        put("values", values.double() if not values.is_floating_point() else values)
        if isinstance(self.operator, Sequence):
            put("operator", Changing(tuple(self.operator)))

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> "Observations":
        """Some successive times; the prior is then at the last time before them."""
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise TypeError("observations are taken in slices, observations[10:20]")
        first, last, _ = part.indices(len(self))
        start = self.times[first - 1] if first else self.start
        if isinstance(self.operator, Changing):
            given = {"operator": self.operator.operators[first:last]}
        else:
            given = {}
        if isinstance(self.error, Tensor) and self.error.ndim == 3 and len(self.error) > 1:
            given["error"] = self.error[first:last]
        return replace(
            self,
            times=self.times[first:last],
            values=self.values[..., first:last, :],
            start=start,
            interval=self._known_interval(),
            **given,
        )

    def on(self, times: Any) -> "Observations":
        """The same on all of `times` too, with nothing observed where there was none: forecasts."""
        more = np.asarray(dates.coordinate(times, len(times)).values)
        more = more if dates.are_dates(more) else more.astype(float)
        more = np.setdiff1d(more, self.times)
        whole = np.concatenate([self.times, more])
        order = np.argsort(whole, kind="stable")
        rows = torch.as_tensor(order)
        gone = self.values.new_full(
            (*self.values.shape[:-2], len(more), self.values.shape[-1]), np.nan
        )
        given: dict[str, Any] = {}
        if isinstance(self.operator, Changing):
            last = self.operator.operators[-1]
            every = (*self.operator.operators, *[last] * len(more))
            given["operator"] = [every[i] for i in order]
        if isinstance(self.error, Tensor) and self.error.ndim == 3 and len(self.error) > 1:
            one = torch.eye(self.error.shape[-1], dtype=self.error.dtype)
            given["error"] = torch.cat([self.error, one.expand(len(more), -1, -1)])[rows]
        start = self._start() if self.start is None else self.start
        return replace(
            self,
            times=whole[order],
            values=torch.cat([self.values, gone], -2).index_select(-2, rows),
            start=start,
            interval=self._known_interval(),
            **given,
        )

    def in_equal_steps(self) -> "Observations":
        """The same at each step of the model, NaN where nothing was observed: for smoothers."""
        start, one = self._start(), self.step_interval()
        passed = self._model_time(self.times - start)
        step = float(self._model_time(np.asarray([one]))[0])
        counts = np.round(passed / step).astype(int)
        off = np.flatnonzero((np.abs(passed - counts * step) > WHOLE * step) | (counts < 1))
        if len(off) or len(np.unique(counts)) < len(counts):
            k = int(off[0]) if len(off) else int(np.flatnonzero(np.diff(counts) == 0)[0]) + 1
            raise ValueError(
                f"a smoother takes one step of {one} after the other from the prior at {start}, "
                f"and one observation after each; that at {self.times[k]} is no such time"
            )
        if len(counts) == counts[-1]:
            return self
        gone = np.setdiff1d(np.arange(1, counts[-1] + 1), counts)
        return self.on(start + gone * one)

    # -- what a filter is given ------------------------------------------------------------------

    def given(self, filter: Any) -> Any:
        """The filter with operator and errors of these observations."""
        own: dict[str, Any] = {}
        if self.operator is not None:
            own["observe"] = self.operator
        if self.error is not None:
            error = _tensor(self.error)
            matrix = isinstance(error, Tensor) and error.ndim > 1
            own |= {"obs_std": None if matrix else error, "obs_cov": error if matrix else None}
        fields = getattr(filter, "__dataclass_fields__", {})
        if unknown := [name for name in own if name not in fields and own[name] is not None]:
            raise TypeError(
                f"{type(filter).__name__} has no {' and no '.join(unknown)}; leave operator and "
                "error out of the observations"
            )
        own = {name: value for name, value in own.items() if name in fields}
        return replace(filter, **own) if own else filter

    def schedule(self, filter: Any) -> Schedule:
        """Of each time, the calls of the filter's step that lead to it."""
        if self.start is None and self.interval is None and not dates.unequal(self.times):
            return self._one_each()
        start = self._start()
        before = np.concatenate([np.asarray([start], dtype=self.times.dtype), self.times[:-1]])
        if self.times[0] < start:
            raise ValueError(
                f"the first observation, at {self.times[0]}, is before the prior, at {start}; "
                "give a start that is not later"
            )
        begin = self._model_time(before - start) + (0.0 if self._dated() else float(start))
        passed = self._model_time(self.times - before)
        if takes_interval(filter):
            return tuple(
                (Move(float(t), float(dt)),) if dt > 0 else ()
                for t, dt in zip(begin, passed, strict=True)
            )
        one = float(self._model_time(np.asarray([self.step_interval()]))[0])
        counts = np.round(passed / one).astype(int)
        off = np.flatnonzero(np.abs(passed - counts * one) > WHOLE * one)
        if len(off):
            k = int(off[0])
            raise ValueError(
                f"{self.times[k] - before[k]} pass before the time {self.times[k]}, which is "
                f"{passed[k] / one:.6g} steps of {self.step_interval()}; give a step that takes "
                "`interval`, or the interval of its step"
            )
        return tuple(
            tuple(Move(float(t + j * one), one) for j in range(count))
            for t, count in zip(begin, counts, strict=True)
        )

    def _one_each(self) -> Schedule:
        """One call each for times in equal steps, those of calendar months too."""
        one = self.times[1:2] - self.times[:1]
        if not len(one):
            self.step_interval()  # which refuses it
        passed = self._model_time(np.concatenate([one, np.diff(self.times)]))
        begin = np.cumsum(passed) - passed
        if not self._dated():
            begin = self.times - passed
        return tuple((Move(float(t), float(dt)),) for t, dt in zip(begin, passed, strict=True))

    def step_interval(self) -> Any:
        """Of one call of the step: as given, or that of times in equal steps."""
        if self.interval is not None:
            return self.interval
        steps = np.diff(self.times)
        if not len(steps) or dates.unequal(self.times):
            raise ValueError(
                "times are not in equal steps; give the interval of one step of the model, in the "
                "units of times, or a step that takes `interval` and the start of the prior"
            )
        return steps[0]

    def _known_interval(self) -> Any:
        """Of one step, None where only a step that takes `interval` would know."""
        if self.interval is None and (len(self) < 2 or dates.unequal(self.times)):
            return None
        return self.step_interval()

    def _start(self) -> Any:
        if self.start is not None:
            return np.asarray(self.start, dtype=self.times.dtype)[()]
        return self.times[0] - self.step_interval()

    def _dated(self) -> bool:
        return dates.are_dates(self.times)

    def _model_time(self, passed: np.ndarray) -> np.ndarray:
        """Differences of times as numbers of model time."""
        if passed.dtype.kind == "m":
            return passed / np.timedelta64(pd.Timedelta(self.unit))
        if passed.dtype.kind == "O":
            return np.asarray([p / pd.Timedelta(self.unit).to_pytimedelta() for p in passed])
        return passed.astype(float)

    # -- where they come from --------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        series: xr.DataArray | pd.DataFrame | pd.Series,
        operator: Any = None,
        error: Any = None,
        **others: Any,
    ) -> "Observations":
        """Those of xarray, with dimensions `time` and a last one of values, or of pandas.

        others: `start`, `interval`, `unit`.
        """
        if isinstance(series, pd.Series):
            series = series.to_frame()
        if isinstance(series, pd.DataFrame):
            series = xr.DataArray(
                series.to_numpy(dtype=float),
                {"time": series.index, "obs": [str(c) for c in series.columns]},
                ("time", "obs"),
            )
        if not isinstance(series, xr.DataArray):
            raise TypeError(
                f"a {type(series).__name__}; give a DataArray with the dimension time, or a "
                "DataFrame indexed by time"
            )
        if "time" not in series.dims or "time" not in series.coords:
            raise ValueError(
                f"dimensions are {series.dims}; one is to be called time and have coordinates: "
                'array.rename(t="time")'
            )
        if series.ndim == 1:
            series = series.expand_dims("obs", -1)
        *leading, last = [dim for dim in series.dims if dim != "time"]
        series = series.transpose(*leading, "time", last)
        labels = Labels(
            tuple(map(str, leading)),
            {str(d): series.coords[d].variable for d in leading if d in series.coords},
            str(last),
            series.coords[last].variable if last in series.coords else None,
            dict(series.attrs),
            dict(series["time"].attrs),
        )
        given = {"operator": operator, "error": error, "labels": labels, **others}
        return cls(series["time"].values, torch.tensor(series.values), **given)


@dataclass(frozen=True, eq=False)
class Labels:
    """Of xarray: names and coordinates of leading axes and of values, attributes of both."""

    leading: tuple[str, ...] = ()
    coords: dict[str, xr.Variable] = field(default_factory=dict)
    obs: str = "obs"
    obs_coord: xr.Variable | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    time_attrs: dict[str, Any] = field(default_factory=dict)


class Changing:
    """Operators that differ from time to time; `at(k)` is the k-th, counted from 0."""

    def __init__(self, operators: tuple[Callable, ...]) -> None:
        self.operators = operators

    def at(self, k: int) -> Callable:
        """The operator of one time."""
        return self.operators[k]

    def __call__(self, x: Tensor) -> Tensor:
        """Refused: which one is meant?"""
        raise TypeError("operators differ from time to time; at(k) is the k-th")


class Filled:
    """h with zeros behind it, (..., state) -> (..., obs); where they stand nothing is observed."""

    def __init__(self, observe: Callable, size: int) -> None:
        self.observe, self.size = observe, size

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., size)."""
        h = self.observe(x)
        return torch.cat([h, h.new_zeros(*h.shape[:-1], self.size - h.shape[-1])], -1)


def _filled(operator: Callable, count: int, size: int) -> Callable:
    """An operator of `count` values as one of `size`."""
    if count == size:
        return operator
    if isinstance(operator, Subset) and operator.index:  # stays one that selects
        return Subset((*operator.index, *[operator.index[0]] * (size - count)))
    return Filled(operator, size)


def _is_array(values: Any) -> bool:
    if isinstance(values, np.ndarray | xr.DataArray | pd.DataFrame):
        return True
    return isinstance(values, list | tuple)


def _differ(values: Any) -> bool:
    """Whether there is an array for each time, in a list."""
    return isinstance(values, list | tuple) and len({np.shape(one) for one in values}) > 1


def _make_equal(given: Observations, put: Callable) -> None:
    """Values of different number as rows with NaN behind, and operators and errors likewise."""
    rows = [torch.as_tensor(one, dtype=torch.float64).reshape(-1) for one in given.values]
    counts = [len(row) for row in rows]
    size = max(counts)
    for name in ("operator", "error"):
        each = getattr(given, name)
        if isinstance(each, Sequence) and len(each) != len(rows):
            raise ValueError(
                f"there are {len(rows)} times, but {name} is a list of {len(each)}; give one for "
                "each time"
            )
    if not isinstance(given.operator, Sequence):
        raise ValueError(
            f"numbers of values differ, from {min(counts)} to {size}; give operator as a list, one "
            "for each time"
        )
    pad = torch.nn.functional.pad
    put("values", torch.stack([pad(row, (0, size - len(row)), value=torch.nan) for row in rows]))
    pairs = zip(given.operator, counts, strict=True)
    put("operator", [_filled(operator, count, size) for operator, count in pairs])
    if isinstance(given.error, Sequence):
        put(
            "error",
            torch.stack(
                [_matrix(one, count, size) for one, count in zip(given.error, counts, strict=True)]
            ),
        )


def _matrix(error: Any, count: int, size: int) -> Tensor:
    """(size, size), the covariance of `count` errors, and independent ones of unit variance."""
    error = torch.as_tensor(error, dtype=torch.float64)
    cov = error if error.ndim == 2 else error.square().expand(count).diag()
    whole = torch.eye(size, dtype=torch.float64)
    whole[:count, :count] = cov
    return whole


def _tensor(value: Any) -> Any:
    """Arrays and lists as tensors; numbers and tensors as they are."""
    if isinstance(value, int | float | Tensor):
        return value
    return torch.as_tensor(np.asarray(value, dtype=float))
