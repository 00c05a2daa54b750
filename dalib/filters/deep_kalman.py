"""A trained deep Kalman filter among the other filters."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from dalib.streams import Generator


class Latent(NamedTuple):
    """What the network believes, seen through its emission, and its own state.

    mean, std: (repeat, ..., obs), in the units of the observations; the std is that of one step,
    given the mean of the step before.
    """

    mean: Tensor
    std: Tensor
    state: Any


@dataclass(frozen=True)
class DeepKalmanFilter:
    """The inference network run along the observations, with means in place of samples.

    All arrays gain the network's `repeat` axis in front. Of the prior only the number of cases is
    used: the network has learned its own. The estimate has the components that are observed.
    A network trained as a smoother filters with the memory of the single observation y_t.

    Args:
        network: a `DeepKalman` (begin, predict, update, seen).
    """

    network: Any

    def start(self, prior, generator: Generator | None = None) -> Latent:
        """A belief for each case of prior.mean, (..., state)."""
        return self._belief(self.network.begin(prior.mean.shape[:-1]))

    def forecast(self, belief: Latent, generator: Generator | None = None) -> Latent:
        """p(z_t | z_{t-1}), (repeat, ..., obs)."""
        return self._belief(self.network.predict(belief.state))

    def analyse(self, belief: Latent, y: Tensor, generator: Generator | None = None) -> Latent:
        """q(z_t | z_{t-1}, y_1 ... y_t); y (..., obs), the same for all repeats; NaN = missing."""
        return self._belief(self.network.update(belief.state, y))

    def observe(self, x: Tensor) -> Tensor:
        """The estimate itself: it has the components that are observed."""
        return x

    def _belief(self, state) -> Latent:
        return Latent(*self.network.seen(state.mean, state.std), state)
