"""A trained deep Kalman filter as a filter: latent means in place of samples."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.nets.dkf import DeepKalman, Moments
from dalib.streams import Generator


class Latent(NamedTuple):
    """What the network believes; mean and std as observed, in the units of the observations.

    mean, std: (repeat, ..., obs), emission of the latent Gaussian, to first order in its std.
    z, z_std: (repeat, ..., latent).
    memory: (repeat, ..., hidden), the recurrent state.
    age: forecasts since the start; before the first there is no latent state to move.
    """

    mean: Tensor
    std: Tensor
    z: Tensor
    z_std: Tensor
    memory: Tensor
    age: int


@dataclass(frozen=True)
class DeepKalmanFilter:
    """Inference network run along the observations with means in place of samples.

    The latent std is that of one step, given the mean of the step before. The prior says only how
    many cases there are: the network has learned its own. A missing value is replaced by its
    prediction; where all of an observation is missing the forecast stands. All arrays gain the
    networks' `repeat` axis in front.

    A network trained with a backward memory filters as q(z_t | z_{t-1}, y_t), the memory of the
    single observation y_t.
    """

    network: DeepKalman

    def start(self, prior, generator: Generator | None = None) -> Latent:
        """A belief for each case of prior.mean, (..., state)."""
        network = self.network
        lead = (network.scaling.repeats, *prior.mean.shape[:-1])
        first = network.first_mean
        moments = Moments(
            first.new_zeros(*lead, network.latent), first.new_zeros(*lead, network.latent)
        )
        return self._belief(moments, first.new_zeros(*lead, network.hidden), age=0)

    @torch.no_grad()
    def forecast(self, belief: Latent, generator: Generator | None = None) -> Latent:
        """p(z_t | z_{t-1}) at the mean of z_{t-1}."""
        if belief.age == 0:
            shape = belief.z.shape
            moments = Moments(*(_spread_over(value, shape) for value in self.network.first()))
        else:
            moments = Moments(
                self.network.transition_mean(belief.z), self.network.transition_std(belief.z)
            )
        return self._belief(moments, belief.memory, belief.age + 1)

    @torch.no_grad()
    def analyse(self, belief: Latent, y: Tensor, generator: Generator | None = None) -> Latent:
        """q(z_t | z_{t-1}, y_1 ... y_t); y (..., obs), the same for all repeats."""
        network = self.network
        seen = y.isfinite()
        y = torch.where(seen, y, belief.mean)
        memory = torch.zeros_like(belief.memory) if network.backward else belief.memory
        lead = memory.shape
        memory = network.memory.step(
            network.scaling(y).flatten(1, -2), memory.flatten(1, -2)
        ).view(lead)
        q = network.posterior(belief.z, memory)
        any_seen = seen.any(-1, keepdim=True)
        moments = Moments(
            torch.where(any_seen, q.mean, belief.z), torch.where(any_seen, q.std, belief.z_std)
        )
        return self._belief(moments, memory, belief.age)

    @torch.no_grad()
    def _belief(self, moments: Moments, memory: Tensor, age: int) -> Latent:
        seen = self.network.seen(moments)
        return Latent(seen.mean, seen.std, moments.mean, moments.std, memory, age)


def _spread_over(value: Tensor, shape: torch.Size) -> Tensor:
    """(repeat, 1, latent) -> `shape` = (repeat, ..., latent)."""
    return value.view(len(value), *[1] * (len(shape) - 2), -1).expand(shape)
