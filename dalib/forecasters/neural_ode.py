"""Neural ordinary differential equations: a network is the right-hand side."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dalib import limits
from dalib.forecasters.base import free_run, past
from dalib.forecasters.scaling import Standard
from dalib.forecasters.trained import TrainedForecaster
from dalib.integrate import rk4_step
from dalib.streams import Generator


class VectorField(nn.Module):
    """f(x) = W₃ tanh(W₂ tanh(W₁ x + b₁) + b₂) + b₃, per sampling interval."""

    def __init__(self, size: int, units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, units), nn.Tanh(), nn.Linear(units, units), nn.Tanh()
        )
        self.readout = nn.Linear(units, size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., state), one step of Runge and Kutta over a sampling interval."""
        return rk4_step(self.rate, x, 1.0)

    def rate(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., state), the right-hand side."""
        return self.readout(self.layers(x))


def rollout_error(network: nn.Module, x: Tensor) -> Tensor:
    """Mean square error of the orbit from the first sample of each window (window, time, state)."""
    x = x.float()
    z, loss = x[:, 0], 0.0
    for t in range(1, x.shape[1]):
        z = network(z)
        loss = loss + (z - x[:, t]).square().mean()
    return loss / (x.shape[1] - 1)


@dataclass(frozen=True)
class NeuralODEForecast:
    """The weights of a `VectorField`. Its own state z: the standardised state.

    substeps: steps of Runge and Kutta in a sampling interval.
    """

    weights: Mapping[str, Tensor]
    scaling: Standard
    substeps: int = 1

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, state), the last state."""
        return self.scaling(past(context, len(self.scaling.mean))[:, -1])

    def step(self, z: Tensor) -> Tensor:
        """(..., state) -> (..., state), one sampling interval later."""
        return self.advance(z, 1.0)

    def advance(self, z: Tensor, intervals: float) -> Tensor:
        """(..., state) -> (..., state), after any number of sampling intervals, whole or not."""
        steps = max(1, round(abs(intervals) * self.substeps))
        for _ in range(steps):
            z = rk4_step(self._rate, z, intervals / steps)
        return z

    def state(self, z: Tensor) -> Tensor:
        """(..., state), 1 -> units of the data."""
        return self.scaling.invert(z)

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)

    def _rate(self, x: Tensor) -> Tensor:
        w = {name: value.double() for name, value in self.weights.items()}
        for layer in (0, 2):
            x = torch.tanh(x @ w[f"layers.{layer}.weight"].mT + w[f"layers.{layer}.bias"])
        return x @ w["readout.weight"].mT + w["readout.bias"]


@dataclass(frozen=True, kw_only=True)
class NeuralODE(TrainedForecaster):
    """Neural ODE (Chen et al. 2018; Kidger 2022): dx/dt = f(x) with a network f.

        z_0 = x_0,    z_{t+1} = RK4(f, z_t),    L = mean_t |z_t - x_t|²

    over windows, gradients through the solver. What is learned is a flow: it can be integrated over
    other intervals than that of the data.

    Attributes:
        units: in each of the two layers of f.
    """

    units: int = 64
    window: int = 11
    batch: int = 128
    rate: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.at_least(1, units=self.units)

    def network(self, size: int) -> VectorField:
        """With random weights."""
        return VectorField(size, self.units)

    @property
    def loss(self):
        """Of orbits."""
        return rollout_error

    def ready(self, weights: Mapping[str, Tensor], scaling: Standard) -> NeuralODEForecast:
        """The flow."""
        return NeuralODEForecast(weights, scaling)
