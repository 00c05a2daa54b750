"""A trained deep Kalman filter among the other filters."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Analyses, first_nan
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

    Args:
        network: a `DeepKalman` whose memory runs forward (begin, predict, update, seen).
    """

    network: Any

    def __post_init__(self) -> None:
        if self.network.backward:
            raise ValueError(
                "the network's memory runs backward, from observations to come, so it cannot "
                "filter; use a DeepKalmanSmoother, or train with backward: false"
            )

    def start(self, prior, generator: Generator | None = None) -> Latent:
        """A belief for each case of prior.mean, (..., state)."""
        return _seen(self.network, self.network.begin(prior.mean.shape[:-1]))

    @torch.no_grad()
    def forecast(self, belief: Latent, generator: Generator | None = None) -> Latent:
        """p(z_t | z_{t-1}), (repeat, ..., obs)."""
        return _seen(self.network, self.network.predict(belief.state))

    @torch.no_grad()
    def analyse(self, belief: Latent, y: Tensor, generator: Generator | None = None) -> Latent:
        """q(z_t | z_{t-1}, y_1 ... y_t); y (..., obs), the same for all repeats; NaN = missing."""
        return _seen(self.network, self.network.update(belief.state, y))

    def observe(self, x: Tensor) -> Tensor:
        """The estimate itself: it has the components that are observed."""
        return x


@dataclass(frozen=True)
class DeepKalmanSmoother:
    """Estimates from the past and the future, by a network whose memory runs backward.

    Args:
        network: a `DeepKalman` trained with `backward`.
    """

    network: Any

    @torch.no_grad()
    def smooth(self, observations: Tensor) -> Analyses:
        """Means and std of all times of `observations` (..., time, obs), (repeat, ..., time, obs).

        The forecasts are those of the transition from the smoothed state before: they know the
        future too.
        """
        rows = [
            (*_seen(self.network, updated)[:2], *_seen(self.network, predicted)[:2])
            for predicted, updated in self.network.track(observations)
        ]
        series = [torch.stack(values, -2) for values in zip(*rows, strict=True)]
        return Analyses(*series, diverged_at=first_nan(series[0]))


@torch.no_grad()
def _seen(network, state) -> Latent:
    return Latent(*network.seen(state.mean, state.std), state)
