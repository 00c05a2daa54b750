"""What a state estimator is: settings that are fitted, and then tell states from observations."""

from typing import ClassVar, NamedTuple, Protocol

from torch import Tensor

from dalib.forecasters.base import TrainingData
from dalib.streams import Generator


class Estimate(NamedTuple):
    """States given the observations up to their time.

    mean: (case, time, state); networks whose parameters have an axis `repeat` put it in front.
    std: (case, time, state), standard deviation of its error as the method sees it; None where it
        says nothing of that.
    members: (case, time, member, state), equally likely; None where there are none, or where they
        were not asked for.
    forecast_mean, forecast_std: as mean and std, before the observation of that time; None where a
        method has none.
    """

    mean: Tensor
    std: Tensor | None = None
    members: Tensor | None = None
    forecast_mean: Tensor | None = None
    forecast_std: Tensor | None = None


class FittedEstimator(Protocol):
    """An estimator that is ready."""

    def filter(self, observations: Tensor, generator: Generator | None) -> Estimate:
        """(case, time, obs), NaN where missing, -> states at the times of the observations.

        A state is estimated from what was observed up to its time and nothing later. With a stream
        for each case, an estimate does not depend on the cases beside it. A method that looks ahead
        has `smooths = True` and `smooth` in place of it; one that takes long takes `save` and
        `resume` too, see `dalib.resumable`, and says so by `resumable = True`.
        """
        ...


class StateEstimator(Protocol):
    """A frozen dataclass of settings.

    needs: what it is fitted to, as of a `Forecaster`; empty where there is nothing to fit, and
    `data` may be None.
    after_fit: names of the settings, if there are any, that a fit does not read; the fitted method
    has fields of these names.
    """

    needs: ClassVar[frozenset[str]]

    def fit(self, data: TrainingData | None, generator: Generator | None) -> FittedEstimator:
        """The estimator fitted to `data`, which stay as they are."""
        ...
