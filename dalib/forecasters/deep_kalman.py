"""Forecasts and free runs of a trained deep Kalman filter."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.nets.dkf import DeepKalman, LatentState
from dalib.streams import Generator, normal


class FreeRun(NamedTuple):
    """Trajectories without observations.

    states: (repeat, chain, time, obs), in the units of the observations; NaN after a chain left.
    clipped: (repeat,), the share of chains that left.
    """

    states: Tensor
    clipped: Tensor


@dataclass(frozen=True)
class DeepKalmanForecaster:
    """The generative part of the network, started where its inference part is.

    Args:
        network: the trained network.
        noisy: let free runs have the learned noise of the transition; without it only their start
            is random, and the mean is iterated.
        escape: a chain whose |z| exceeds this has left, and is stopped: the residual transition
            is not bounded.
    """

    network: DeepKalman
    noisy: bool = True
    escape: float = 50.0

    @torch.no_grad()
    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """Means iterated: (case, time, obs) -> (repeat, 1, case, horizon, obs)."""
        *_, (_, state) = self.network.track(context)
        return self.iterate(state, horizon).unsqueeze(1)

    @torch.no_grad()
    def analysis(self, context: Tensor) -> Tensor:
        """What forecasts of a context start from: (case, time, obs) -> (repeat, case, obs)."""
        *_, (_, state) = self.network.track(context)
        return self.network.scaling.invert(self.network.emission(state.mean))

    @torch.no_grad()
    def iterate(self, state: LatentState, horizon: int) -> Tensor:
        """Emissions of the iterated transition mean, (repeat, ..., horizon, obs)."""
        means = []
        for _ in range(horizon):
            state = self.network.predict(state)
            means.append(state.mean)
        return self.network.scaling.invert(self.network.emission(torch.stack(means, -2)))

    @torch.no_grad()
    def free_run(
        self, chains: int, count: int, generator: Generator, *, discard: int = 100
    ) -> FreeRun:
        """`count` samples of each chain after `discard`, from draws of p(z_1)."""
        network = self.network
        shape = (network.scaling.repeats, chains, network.latent)

        def draw(mean: Tensor, std: Tensor) -> Tensor:
            return mean + std * normal(shape, generator, torch.float32).to(mean)

        z = draw(*network.first())
        alive = torch.ones_like(z[..., :1], dtype=torch.bool)
        path = []
        for k in range(discard + count):
            if k >= discard:
                path.append(torch.where(alive, z, torch.nan))
            ahead = network.transition_mean(z)
            if self.noisy:
                ahead = draw(ahead, network.transition_std(z))
            z = torch.where(alive, ahead, z)
            alive = alive & (torch.linalg.vector_norm(z, dim=-1, keepdim=True) <= self.escape)
        states = network.scaling.invert(network.emission(torch.stack(path, 2)))
        return FreeRun(states, 1 - alive.squeeze(-1).double().mean(1))
