"""What a forecaster is: settings that are fitted to a past, and then say what follows.

    fitted = forecaster.fit(data, generator)
    ahead = fitted.forecast(context, horizon, generator)

A forecaster is a frozen dataclass of settings, what it becomes a frozen dataclass of arrays that
`dalib.fitted` saves and loads. All states are in the units of the data: who needs standardised
ones takes mean and standard deviation from what it is fitted to, and keeps them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from dalib.resumable import Save
from dalib.streams import Generator, each

NEEDS = frozenset({"states", "observations", "tokens", "equations"})


@dataclass(frozen=True)
class TrainingData:
    """What a method is fitted to; only what it `needs` is there.

    Args:
        train: (case, time, state), what is learned from; NaN = missing; None for a method that
            needs the equations alone.
        valid: (case, time, state), independent of it, for stopping early and for choosing between
            settings; None where there is none.
        interval: model time between two samples.
        system: the equations, as in `dalib.systems`; None for a method that does not need them.
    """

    train: Tensor | None = None
    valid: Tensor | None = None
    interval: float = 1.0
    system: Any = None

    def __post_init__(self) -> None:
        if self.train is not None:
            check_series(self.train, "the training data")
        if self.valid is not None:
            check_series(self.valid, "the validation data")
            if self.train is not None and self.valid.shape[-1] != self.train.shape[-1]:
                raise ValueError(
                    f"the validation data have {self.valid.shape[-1]} components and the training "
                    f"data {self.train.shape[-1]}; give both of the same system"
                )
        if not (self.interval > 0 and math.isfinite(self.interval)):
            raise ValueError(f"the sampling interval must be positive, got {self.interval}")


class Fitted(Protocol):
    """A forecaster that is ready: a frozen dataclass of arrays, numbers and texts."""

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None) -> Tensor:
        """([repeat,] member, case, horizon, state), the `horizon` samples after the context.

        context (case, time, state): the past, NaN where it is missing; a method that cannot do
        without refuses it. A point forecast has one member; networks whose parameters have an axis
        `repeat` put it in front. A method whose long runs are not its forecasts has
        `free_run(context, count, generator)` (case, count, state) too, and one that tells where it
        starts `analysis(context)` (case, state).
        """
        ...


class Forecaster(Protocol):
    """A frozen dataclass of settings.

    needs: what it is fitted to, some of `NEEDS`; empty where there is nothing to fit, and `data`
    may be None.
    after_fit: names of the settings, if there are any, that a fit does not read; the fitted method
    has fields of these names.
    """

    needs: ClassVar[frozenset[str]]

    def fit(self, data: TrainingData, generator: Generator | None) -> Fitted:
        """The forecaster fitted to `data`, which stay as they are.

        A method whose fit is long takes `save` and `resume` too, see `dalib.train.fit`.
        """
        ...


@runtime_checkable
class OneStepMap(Protocol):
    """A fitted forecaster that iterates a differentiable map z' = F(z) of its own state z.

    `torch.func.jacrev(fitted.step)` at a single z is the Jacobian, by which
    `dalib.lyapunov` finds the exponents of what was learned.
    """

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, z), where the context leads."""
        ...

    def step(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., z), one sampling interval later."""
        ...

    def state(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., state), in the units of the data."""
        ...


def free_run(fitted: OneStepMap, context: Tensor, horizon: int) -> Tensor:
    """(case, time, state) -> (member = 1, case, horizon, state): the map fed with its own output.

    z_0 = start(context),   z_{h+1} = F(z_h),   x̂_h = state(z_h),   h = 1 ... horizon
    """
    states = []
    with torch.no_grad():
        z = fitted.start(context)
        for _ in range(horizon):
            z = fitted.step(z)
            states.append(fitted.state(z))
    return torch.stack(states, -2).unsqueeze(0)


def fit_each(
    forecaster: Forecaster,
    data: TrainingData | Sequence[TrainingData] | None,
    generator: Generator,
    *,
    save: Save | None = None,
    resume: dict | None = None,
) -> list[Fitted]:
    """The forecaster fitted once for each stream of `generator`: replicates.

    A method that trains several at once, to the same values, has `fit_each` of its own; any other
    is fitted to one after the other.

    Args:
        data: for all of them, or one for each.
        save, resume: of a method with `fit_each`, whose fit is long, see `dalib.resumable`; others
            begin again.
    """
    generators = each(generator)
    sets = [data] * len(generators) if isinstance(data, TrainingData | None) else list(data)
    if len(sets) != len(generators):
        raise ValueError(f"{len(generators)} streams need as many data sets, got {len(sets)}")
    if hasattr(forecaster, "fit_each"):
        return forecaster.fit_each(sets, generator, save=save, resume=resume)
    return [forecaster.fit(one, own) for one, own in zip(sets, generators, strict=True)]


# -- what methods refuse -------------------------------------------------------------------------


def check_series(values: Any, what: str) -> None:
    """Refuse what is no tensor (case, time, state) of floating-point numbers."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{what}: a {type(values).__name__}; give a tensor: torch.as_tensor(...)")
    if values.ndim != 3 or not values.numel():
        shape, remedy = tuple(values.shape), ""
        if values.ndim == 2:
            remedy = "; a single series is x[None], one component x[..., None]"
        raise ValueError(f"{what} have shape {shape}, expected (case, time, state){remedy}")
    if not values.is_floating_point():
        raise TypeError(f"{what} are of type {values.dtype}; give floating-point: .double()")


def complete(values: Tensor, what: str) -> Tensor:
    """`values` (case, time, state) in double precision; a missing or infinite value is refused."""
    check_series(values, what)
    bad = ~values.isfinite()
    if bad.any():
        case, time, component = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{what} must be complete, but {int(bad.sum())} of {values.numel()} values are missing "
            f"or infinite, the first in case {case} at time {time}, component {component}; fill "
            "them, or take a method for incomplete data"
        )
    return values.double()


def past(context: Tensor, size: int, needed: int = 1) -> Tensor:
    """A context (case, time, `size`) of at least `needed` times, complete, in double precision."""
    context = complete(context, "the context")
    if context.shape[-1] != size:
        raise ValueError(
            f"the context has {context.shape[-1]} components, but the forecaster was fitted to "
            f"{size}; give (case, time, {size}), got {tuple(context.shape)}"
        )
    if context.shape[1] < needed:
        raise ValueError(
            f"the forecaster looks at the last {needed} samples, but the context has "
            f"{context.shape[1]}; give a longer context"
        )
    return context
