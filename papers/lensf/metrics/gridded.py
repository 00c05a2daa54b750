"""Metrics of filters of gridded states: errors over all points, and ensembles at some of them.

Errors are in units of the standard deviation σ of each variable over training states; relative ones
are shares of the size of the truth's departure from the mean μ of its variable (0 unless the case
centres its states),

    √ (mean_v mean_p w ((m - x) / σ)² / mean_v mean_p w ((x - μ) / σ)²)

with means over variables v and points p; w is the area of a point on the sphere, 1 on a plane.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import xarray as xr

from dalib import arrays
from dalib.filters.ensf import likelihood_score
from dalib.metrics.base import Evaluation, require
from dalib.metrics.probabilistic import calibrated_coverage, coverage, crps
from dalib.metrics.sphere import latitude_weights
from dalib.observe import EveryKth

LEVEL = 0.95  # of the central interval
EARLY = 5  # analyses whose mean says how fast a filter finds the truth
NTH = (1, 2, 5, 10)  # analyses that are reported on by themselves, and the last
SERIES = ("run", "case", "time")
ESTIMATES = {"estimate": "analysis mean", "background": "forecast mean"}


class Grid(NamedTuple):
    """Sizes of a gridded state: (variable, x, y), σ and μ (variable,), w (x, 1) or 1."""

    shape: tuple[int, int, int]
    std: np.ndarray
    centre: np.ndarray
    area: np.ndarray | float

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Grid":
        """That of the states whose observations stand beside them."""
        observed = evaluation.observed
        shape = arrays.shape_of(observed, evaluation.truth.sizes["state"])
        area: np.ndarray | float = 1.0
        if on_sphere(observed):
            area = latitude_weights(observed["grid_x"]).values[:, None]
        std, centre = np.ones(shape[0]), np.zeros(shape[0])
        if "state_std" in observed:
            std, centre = observed.state_std.values, observed.state_mean.values
        return cls(shape, std, centre, area)

    def squares(self, values: np.ndarray) -> np.ndarray:
        """(..., state) -> (..., variable), weighted mean squares over points in units of σ."""
        maps = values.reshape(*values.shape[:-1], *self.shape).astype(np.float64)
        return ((maps / np.reshape(self.std, (-1, 1, 1))) ** 2 * self.area).mean((-2, -1))


def on_sphere(observed: xr.Dataset) -> bool:
    """Whether rows of the grid are latitudes."""
    return "grid_x" in observed and observed["grid_x"].attrs["units"] == "degrees_north"


def squares_of(evaluation: Evaluation, name: str) -> np.ndarray:
    """(run, case, time, variable), mean squares of what is called `name`, found once for all.

    name: "estimate" or "background", of its error; "size", of the truth's departure from the mean.
    """
    found = evaluation.__dict__.setdefault("_squares", {})
    if name not in found:
        grid, x = Grid.of(evaluation), ordered(evaluation.truth)
        if name == "size":
            points = grid.shape[1] * grid.shape[2]
            values = x - np.repeat(grid.centre, points)
        else:
            values = ordered(getattr(evaluation, name)) - x
        found[name] = grid.squares(values)
    return found[name]


def ordered(states: xr.DataArray) -> np.ndarray:
    """(run, case, time, state)."""
    states = states if "run" in states.dims else states.expand_dims("run")
    return states.transpose(*SERIES, "state").values


def series(evaluation: Evaluation, values: np.ndarray, long_name: str) -> xr.DataArray:
    """(run, case, time, ...) with the coordinates of the estimate."""
    like = evaluation.estimate
    dims = (*SERIES, "variable")[: values.ndim]
    coords = {name: like[name] for name in dims if name in like.coords}
    if "variable" in dims and "variable" in evaluation.observed.coords:
        coords["variable"] = evaluation.observed["variable"].values
    return xr.DataArray(values, coords, dims, attrs={"units": "1", "long_name": long_name})


def relative(evaluation: Evaluation, of: str) -> np.ndarray:
    """(run, case, time), the relative error of the formula above."""
    error, size = squares_of(evaluation, of), squares_of(evaluation, "size")
    return np.sqrt(error.mean(-1) / size.mean(-1))


# -- errors --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RelativeRMSE:
    """Relative error at every time.

    Args:
        of: "estimate", the analysis, or "background", the forecast that it starts from.
        physical: weigh variables by σ², as their own units do.
        by_variable: of each variable by itself.
    """

    of: str = "estimate"
    physical: bool = False
    by_variable: bool = False
    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "background", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        error, size = squares_of(evaluation, self.of), squares_of(evaluation, "size")
        text = f"relative RMSE of the {ESTIMATES[self.of]}"
        if self.by_variable:
            return series(evaluation, np.sqrt(error / size), f"{text}, each variable")
        if self.physical:
            σ2 = Grid.of(evaluation).std ** 2
            values = np.sqrt((error * σ2).sum(-1) / (size * σ2).sum(-1))
            return series(evaluation, values, f"{text} in physical units")
        return series(evaluation, relative(evaluation, self.of), text)


@dataclass(frozen=True)
class NormalisedRMSE:
    """Error at every time in standard deviations; `of` as in `RelativeRMSE`."""

    of: str = "estimate"
    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "background", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        values = np.sqrt(squares_of(evaluation, self.of).mean(-1))
        text = f"RMSE of the {ESTIMATES[self.of]} in standard deviations"
        return series(evaluation, values, text)


@dataclass(frozen=True)
class MeanRMSE:
    """Mean over the times after those that the case discards, or over the first `first`.

    Args:
        relative: the relative error; else in standard deviations.
    """

    first: int | None = None
    relative: bool = True
    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        if self.relative:
            values, kind = relative(evaluation, "estimate"), "relative RMSE"
        else:
            values = np.sqrt(squares_of(evaluation, "estimate").mean(-1))
            kind = "RMSE in standard deviations"
        when = f"the first {self.first} analyses" if self.first else "the late analyses"
        part = values[..., : self.first] if self.first else values[..., evaluation.discard :]
        return series(evaluation, part.mean(-1), f"mean {kind} over {when}")


@dataclass(frozen=True)
class AtAnalysis:
    """Relative error of the n-th analysis, (nth): of `NTH` and the last."""

    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        values = relative(evaluation, "estimate")
        times = values.shape[-1]
        chosen = values[..., [min(n, times) - 1 for n in (*NTH, times)]]
        text = "relative RMSE of the n-th analysis"
        found = series(evaluation, values.mean(-1), text).expand_dims(nth=len(NTH) + 1, axis=-1)
        return found.copy(data=chosen).assign_coords(nth=[*map(str, NTH), "last"])


@dataclass(frozen=True)
class Spread:
    """Root mean variance of the analysis over points and variables, in standard deviations."""

    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "spread"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        values = evaluation.spread.transpose(*SERIES, "variable").values
        text = "spread of the analysis in standard deviations"
        return series(evaluation, np.sqrt((values**2).mean(-1)), text)


# -- ensembles -----------------------------------------------------------------------------------


def at_sampled(evaluation: Evaluation) -> tuple[xr.DataArray, xr.DataArray]:
    """Members (..., member, sampled) and truth (..., sampled) in standard deviations."""
    grid, E = Grid.of(evaluation), evaluation.members.dropna("member", how="all")
    index = E["sampled"].values
    σ = xr.DataArray(grid.std[index // (grid.shape[1] * grid.shape[2])], dims="sampled")
    truth = evaluation.truth.transpose(..., "state")
    x = xr.DataArray(truth.values[..., index], dims=(*truth.dims[:-1], "sampled"))
    return E.drop_vars(list(E.coords)) / σ, x / σ


@dataclass(frozen=True)
class SampledCRPS:
    """CRPS of members at the components where they were kept, in standard deviations."""

    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "members", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        E, x = at_sampled(evaluation)
        values = crps(E, x).mean("sampled").transpose(*SERIES).values
        text = "continuous ranked probability score in standard deviations"
        return series(evaluation, values, text)


@dataclass(frozen=True)
class SampledCoverage:
    """Share of truths within the central interval of the members where they were kept."""

    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "members", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        E, x = at_sampled(evaluation)
        values = coverage(E, x, LEVEL).mean("sampled").transpose(*SERIES).values
        return series(evaluation, values, "share of truths within the central interval of members")


@dataclass(frozen=True)
class CalibratedCoverage:
    """What so few members cover of truths that are like them, (run)."""

    asks: ClassVar[frozenset[str]] = frozenset({"members"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        count = evaluation.members.dropna("member", how="all").sizes["member"]
        text = "that share for truths that are like the members"
        attrs = {"units": "1", "long_name": text}
        run = evaluation.members["run"]
        return xr.DataArray(
            [calibrated_coverage(count, LEVEL)], {"run": run}, ("run",), attrs=attrs
        )


@dataclass(frozen=True)
class RankCounts:
    """Times that the truth had each rank among the members, (rank), of those that count."""

    asks: ClassVar[frozenset[str]] = frozenset({"members", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        E, x = at_sampled(evaluation)
        ranks = (x > E).sum("member").where(E.notnull().all("member"))
        late = ranks.isel(time=slice(evaluation.discard, None)).values
        late = late[np.isfinite(late)].astype(int)
        counts = np.bincount(late, minlength=E.sizes["member"] + 1).astype(float)
        attrs = {"units": "1", "long_name": "times that the truth had this rank among the members"}
        run = evaluation.members["run"]
        coords = {"run": run, "rank": np.arange(len(counts))}
        return xr.DataArray(counts[None], coords, ("run", "rank"), attrs=attrs)


@dataclass(frozen=True)
class Diverged:
    """1 where a trajectory was lost, (run, case)."""

    asks: ClassVar[frozenset[str]] = frozenset({"estimate"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        lost = ~np.isfinite(evaluation.estimate.transpose(*SERIES, "state").values).all((-2, -1))
        return series(evaluation, lost.astype(float), "1 where the filter diverged")


@dataclass(frozen=True)
class Size:
    """Components of a state."""

    asks: ClassVar[frozenset[str]] = frozenset({"truth"})
    of_truth: ClassVar[bool] = True

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        attrs = {"units": "1", "long_name": "components of the state"}
        return xr.DataArray(evaluation.truth.sizes["state"], attrs=attrs)


# -- beside the observations ---------------------------------------------------------------------


def points_observed(evaluation: Evaluation) -> EveryKth | None:
    """The sensors, where they observe variables as they are, on a plane."""
    observed = evaluation.observed
    if "observes_states" not in observed or not int(observed.observes_states):
        return None
    return (
        None if on_sphere(observed) else EveryKth(Grid.of(evaluation).shape, int(observed.stride))
    )


@dataclass(frozen=True)
class ObservedRMSE:
    """Relative error of the observations themselves, interpolated to all points.

    NaN where there are none, and where they are no points of the state.

    Args:
        mean: over the times that count and have observations.
    """

    mean: bool = False
    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        values = _once(evaluation, "_observed", lambda: self._errors(evaluation))
        text = "relative RMSE of the interpolated observations themselves"
        if not self.mean:
            return series(evaluation, values, text)
        late = xr.DataArray(values[..., evaluation.discard :], dims=SERIES).mean("time").values
        return series(evaluation, late, f"mean {text}, late")

    def _errors(self, evaluation: Evaluation) -> np.ndarray:
        sensors, x = points_observed(evaluation), ordered(evaluation.truth)
        if sensors is None:
            return np.full(x.shape[:-1], np.nan)
        y = torch.as_tensor(evaluation.observed.y.transpose("seed", "time", "obs").values)
        maps = (y if sensors.k == 1 else sensors.interpolated(y)).double().numpy()[None]
        error = Grid.of(evaluation).squares(maps - x)
        return np.sqrt(error.mean(-1) / squares_of(evaluation, "size").mean(-1))


@dataclass(frozen=True)
class IncrementOffSensors:
    """Root mean square of the first increment at points without sensor over that at the sensors.

    In standard deviations, (run, case); NaN where all points are observed.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"estimate", "background", "truth", "observed"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        text = "first increment at points without sensor over that at the sensors"
        sensors, estimate = points_observed(evaluation), ordered(evaluation.estimate)
        if sensors is None:
            return series(evaluation, np.full(estimate.shape[:2], np.nan), text)
        when = int(evaluation.observed.interval) - 1  # of the first analysis
        moved = estimate[:, :, when] - ordered(evaluation.background)[:, :, when]
        return series(evaluation, off_sensors(sensors, moved, Grid.of(evaluation)), text)


@dataclass(frozen=True)
class ScoreOffSensors:
    """Largest |∇ log p(y | x)| at points without sensor over the largest of all, (run).

    Of the first observation at the mean of the first forecast of the first trajectory; NaN where
    observations are exact, which have no such gradient.

    Args:
        interpolated: as if the observations interpolated to all points had been made there.
    """

    interpolated: bool = False
    asks: ClassVar[frozenset[str]] = frozenset({"background", "observed", "truth"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        kind = ", of interpolated observations" if self.interpolated else ""
        text = f"largest gradient of the log likelihood off the sensors, relative{kind}"
        attrs = {"units": "1", "long_name": text}
        run = evaluation.background["run"]
        return xr.DataArray([self._share(evaluation)], {"run": run}, ("run",), attrs=attrs)

    def _share(self, evaluation: Evaluation) -> float:
        sensors, observed = points_observed(evaluation), evaluation.observed
        std = torch.as_tensor(observed.obs_std.values)
        x = torch.as_tensor(ordered(evaluation.background)[0, 0, 0])
        y = torch.as_tensor(observed.y.transpose("seed", "time", "obs").values[0, 0]).to(x)
        if sensors is None or not std.min() > 0 or y.isnan().any() or sensors.k == 1:
            return np.nan
        operator = sensors
        if self.interpolated:
            y, std = sensors.interpolated(y), sensors.interpolated(std[None])[0]
            operator = sensors.everywhere
        score = likelihood_score(operator, y, std.to(x), len(x))(x[None])[0].abs().numpy()
        away = np.ones(len(score), bool)
        away[sensors.selected(len(score)).numpy()] = False
        return float(score[away].max(initial=0.0) / score.max())


def off_sensors(sensors: EveryKth, values: np.ndarray, grid: Grid) -> np.ndarray:
    """(...,), root mean square of (..., state) in σ of variables, off the sensors over there."""
    σ = np.repeat(grid.std, grid.shape[1] * grid.shape[2])
    squares = (values.astype(np.float64) / σ) ** 2
    there = np.zeros(squares.shape[-1], bool)
    there[sensors.selected(squares.shape[-1]).numpy()] = True
    with np.errstate(invalid="ignore", divide="ignore"):
        off = squares[..., ~there].mean(-1) if (~there).any() else np.nan
        return np.sqrt(off / squares[..., there].mean(-1))


def _once(evaluation: Evaluation, name: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, found once for all metrics of an evaluation."""
    if name not in evaluation.__dict__:
        evaluation.__dict__[name] = make()
    return evaluation.__dict__[name]
