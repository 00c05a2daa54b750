"""What a metric is: from all that is known of some runs to labelled numbers with units.

A metric of the registry is a frozen dataclass of settings. `asks` names the fields of `Evaluation`
that it uses, `function` is the formula (a plain function of arrays, with the documentation), `of`
applies the one to the other. A study names its metrics; what none of them asks for is not read.

A non-finite estimate is infinitely wrong: it gives the worst value that a metric has (infinity for
an error, 0 for a coverage), never a gap that a later mean might skip. A missing truth gives NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import xarray as xr

ORDER = (
    "run",
    "case",
    "time",
    "lead",
    "check",
    "channel",
    "lat",
    "lon",
    "state",
)  # of dimensions kept
STATE = "units of the state"  # as `units` of a metric: those of the truth
LABELS = {  # of the dimensions that metrics add
    "threshold": "threshold of the normalised error",
    "level": "share of a calibrated truth that an interval should hold",
    "rank": "members below the truth",
    "order": "tokens that are given",
}


@dataclass(frozen=True)
class Evaluation:
    """Runs of one study on one case, with what they are compared with; None is what nobody asked.

    Forecasts lie along `lead`, analyses along `time`. What has no dimension `run` (a truth, say) is
    shared by all runs; coordinates that two arrays share must agree exactly. All runs have the same
    number of members. NaN in an estimate, a member or a free run means that it diverged.
    """

    estimate: xr.DataArray | None = None
    """(run, case, lead or time, state), the best single estimate: a forecast or an analysis."""
    members: xr.DataArray | None = None
    """(run, case, lead or time, state, member), the ensemble."""
    spread: xr.DataArray | None = None
    """As `estimate`: the standard deviation that a method gives itself."""
    background: xr.DataArray | None = None
    """(run, case, time, state), of an analysis the estimate before the observation of its time."""
    background_spread: xr.DataArray | None = None
    """As `background`: the standard deviation that a method gives it."""
    start: xr.DataArray | None = None
    """(run, case, state), what forecasts start from, of methods that tell."""
    truth: xr.DataArray | None = None
    """([run,] case, lead or time, state); NaN where unknown. Its `units` are the state's."""
    observations: xr.DataArray | None = None
    """([run,] case, time, obs); NaN where missing."""
    obs_std: xr.DataArray | None = None
    """([run,] obs), standard deviation of their errors."""
    free_run: xr.DataArray | None = None
    """(run, case, time, state), long runs on the attractor; or samples, along `time`."""
    climate: xr.DataArray | None = None
    """([run,] [case,] time, state), what `free_run` is compared with: independent true runs."""
    training: xr.DataArray | None = None
    """([run,] [case,] time, state), the truth from which methods were fitted."""
    reference: xr.DataArray | None = None
    """([run,] case, time, state), further true trajectories: the validation part."""
    step: Callable[[np.ndarray], np.ndarray] | None = None
    """(..., state) -> (..., state), the true map over one sampling interval."""
    discard: int = 0
    """Of analyses at all times, how many means over time leave out, while a method starts."""
    observed: xr.Dataset | None = None
    """The file of the observations of gridded states: y, with the layout of the states."""
    codec: Any = None
    """The fitted codec of a method that works in its latent space."""
    values: Mapping[str, Any] | None = None
    """{axis: value} of the run: what is varied, such as method.members."""
    interval: float | None = None
    """Model time between two samples."""
    lyapunov: float | xr.DataArray | None = None
    """The system's largest Lyapunov exponent, per unit of model time; a number or (run,)."""
    period: float | None = None
    """The system's period in model time; without it, `mean_period` of the training truth."""
    exponent: xr.DataArray | None = None
    """(run,), largest Lyapunov exponent of a method's own one-step map; NaN where it has none."""
    climatology: xr.DataArray | None = None
    """(state), or without `time` and `lead`: the mean from which anomalies depart."""
    history: xr.Dataset | None = None
    """(run, check) or (run, check, state), what a fit reported while it went on."""
    parameters: xr.DataArray | None = None
    """(run,), how many numbers were fitted."""
    fit_seconds: xr.DataArray | None = None
    """(run,), wall time of the fit."""
    forecast_seconds: xr.DataArray | None = None
    """(run,), wall time of one step of one forecast."""
    fitted: Any | None = None
    """What the method of a single run has become in its fit."""
    coded: "Coded | None" = None
    """The truth through the codec of `fitted`."""
    dynamics: "Dynamics | None" = None
    """The equations of the case."""
    starts: Sequence[int] | None = None
    """Of forecasts: how many states of a true trajectory come before each of its starts."""
    experiment: str | None = None
    """The first name of the random streams that a metric draws from."""

    def __post_init__(self):
        for name, dims in NEEDED_DIMS.items():
            array = getattr(self, name)
            missing = [d for d in dims if array is not None and d not in array.dims]
            if missing:
                raise ValueError(
                    f"Evaluation.{name} needs the dimensions {', '.join(dims)}; "
                    f"{', '.join(missing)} missing in ({', '.join(map(str, array.dims))})"
                )

    @property
    def units(self) -> str:
        """Of the state."""
        known = (self.truth, self.climate, self.training, self.estimate, self.free_run)
        return next((a.attrs["units"] for a in known if a is not None and "units" in a.attrs), "1")

    @property
    def along(self) -> str:
        """The dimension along which estimates follow each other: lead of forecasts, else time."""
        return "lead" if "lead" in self.truth.dims else "time"

    @property
    def std(self) -> xr.DataArray:
        """([run,] state), standard deviation of each variable on the training truth."""
        std = self.training.std(_sampled(self.training))
        if not (std > 0).all():
            raise ValueError(
                "a variable of the training truth is constant: errors cannot be given in its "
                f"standard deviations, which are {std.values.round(6).tolist()}"
            )
        return std

    @property
    def mean(self) -> xr.DataArray:
        """([run,] state), mean of each variable on the training truth."""
        return self.training.mean(_sampled(self.training))


def _sampled(array: xr.DataArray) -> list[str]:
    """The dimensions along which the states of an array lie."""
    return [str(dim) for dim in array.dims if dim not in ("run", "state")]


NEEDED_DIMS = {
    "estimate": ("run",),
    "spread": ("run",),
    "background": ("run",),
    "background_spread": ("run",),
    "start": ("run", "case", "state"),
    "observations": ("case", "time", "obs"),
    "obs_std": ("obs",),
    "reference": ("time", "state"),
    "history": ("run", "check"),
    "members": ("run", "member"),
    "free_run": ("run", "time", "state"),
    "climate": ("time", "state"),
    "training": ("time",),
    "exponent": ("run",),
    "parameters": ("run",),
    "fit_seconds": ("run",),
    "forecast_seconds": ("run",),
}


@dataclass(frozen=True, eq=False)
class Known:
    """What several metrics and runs share is computed once."""

    found: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """`compute()`, at the first call of this name."""
        if name not in self.found:
            self.found[name] = compute()
        return self.found[name]


@dataclass(frozen=True, eq=False)
class Coded(Known):
    """The truth through a codec of states.

    codec: as it was fitted.
    encode: (..., state) -> (...), tokens, of arrays.
    centres: (token, state), the states that tokens stand for.
    states: (case, time, state), the test part, exact.
    train, test: (case, time), tokens of the training and of the test part.
    """

    codec: Any
    encode: Callable[[np.ndarray], np.ndarray]
    centres: np.ndarray
    states: np.ndarray
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Dynamics(Known):
    """The equations of a case.

    system: as in `dalib.systems`.
    step, tangent: the map over one sampling interval, and it with its derivative; None where the
        system gives none.
    interval: in model time.
    """

    system: Any
    step: Callable
    tangent: Callable | None
    interval: float


@runtime_checkable
class Score(Protocol):
    """What the evaluation needs of a metric; `Metric` is the usual way to have it."""

    asks: ClassVar[frozenset[str]]

    def __call__(self, evaluation: Evaluation) -> xr.DataArray | xr.Dataset:
        """A labelled array with the attributes `units` and `long_name`; or several by their names,
        that are computed together. What has no dimension `run` is of a single run.
        """
        ...


class Metric:
    """A metric that checks what it is given and what it returns."""

    asks: ClassVar[frozenset[str]] = frozenset()  # fields of Evaluation
    takes: ClassVar[frozenset[str]] = frozenset()  # fields that it uses where they are given
    function: ClassVar[Callable[..., xr.DataArray]]  # the formula
    units: ClassVar[str] = "1"
    long_name: ClassVar[str]
    worst: ClassVar[float | None] = np.inf  # of a run that diverged; None where it does not matter
    scored: ClassVar[str] = "estimate"  # the field whose dimensions the result keeps ...
    over: ClassVar[Sequence[str]] = ()  # ... but for these
    adds: ClassVar[Sequence[str]] = ()  # and the metric's own
    of_truth: ClassVar[bool] = False  # whether it says something of the truth alone: scored once

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        with xr.set_options(arithmetic_join="exact", keep_attrs=False):
            values = self.of(evaluation)
        kept = self.keeps(evaluation)
        if set(values.dims) != set(kept):
            raise ValueError(
                f"{type(self).__name__} keeps ({', '.join(kept)}), but its values have "
                f"({', '.join(map(str, values.dims))}): give it arrays as Evaluation says"
            )
        units = evaluation.units if self.units == STATE else self.units
        named = {"units": units, "long_name": self.long_name}
        values = values.transpose(*kept).rename(None).assign_attrs({**values.attrs, **named})
        for dim in set(self.adds) & set(values.coords):
            values[dim].attrs = {"units": "1", "long_name": LABELS.get(dim, dim)}
        return values

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        """The formula, applied to the fields that the metric asks for."""
        raise NotImplementedError

    def keeps(self, evaluation: Evaluation) -> tuple[str, ...]:
        """The dimensions of the result, in this order."""
        dims = getattr(evaluation, self.scored).dims
        return (*(d for d in ORDER if d in dims and d not in self.over), *self.adds)


def require(evaluation: Evaluation, asks: frozenset[str], name: str) -> None:
    """Refuse an evaluation in which something is None that a metric asks for."""
    unknown = asks - {one.name for one in fields(Evaluation)}
    if unknown:
        raise ValueError(f"{name} asks for {', '.join(sorted(unknown))}: no field of Evaluation")
    missing = sorted(ask for ask in asks if getattr(evaluation, ask) is None)
    if missing:
        raise ValueError(
            f"{name} asks for {', '.join(sorted(asks))}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} None; give it to the Evaluation, or take the "
            "metric out of the study"
        )


def infinite(estimate: xr.DataArray) -> xr.DataArray:
    """Infinity for every NaN: what diverged is infinitely far from the truth."""
    return estimate.where(estimate.notnull(), np.inf)


def present(dims: Sequence[str], array: xr.DataArray) -> list[str]:
    """Those of the dimensions that an array has."""
    return [dim for dim in dims if dim in array.dims]
