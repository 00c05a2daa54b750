"""Long expressive memory: a recurrent network with time constants of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dalib import limits
from dalib.forecasters.base import free_run, past
from dalib.forecasters.scaling import Standard
from dalib.forecasters.trained import (
    IncrementError,
    TrainedForecaster,
    check_washout,
    increment_std,
)
from dalib.streams import Generator


def lem_cell(y: Tensor, z: Tensor, x: Tensor, w: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(..., unit), (..., unit), (..., state) -> y, z after x (Rusch et al. 2022, eq. 3), Δ = 1.

    a = σ(W₁ y + V₁ x + b₁),    b = σ(W₂ y + V₂ x + b₂)
    z <- (1 - a) z + a tanh(W_z y + V_z x + b_z)
    y <- (1 - b) y + b tanh(W_y z + V_y x + b_y)                with the new z
    """
    a, b, moved = (y @ w["W"].mT + x @ w["V"].mT + w["b"]).chunk(3, -1)
    a, b = a.sigmoid(), b.sigmoid()
    z = (1 - a) * z + a * moved.tanh()
    return (1 - b) * y + b * torch.tanh(z @ w["Wy"].mT + x @ w["Vy"].mT + w["by"]), z


class LEMNetwork(nn.Module):
    """Standardised states to the standardised increments that follow them."""

    def __init__(self, size: int, units: int) -> None:
        super().__init__()
        shapes = {
            **{"W": (3 * units, units), "V": (3 * units, size), "b": (3 * units,)},
            **{"Wy": (units, units), "Vy": (units, size), "by": (units,)},
            **{"readout": (size, units), "bias": (size,)},
        }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter((2 * torch.rand(shape) - 1) / units**0.5))
        self.register_buffer("step_std", torch.ones(size, dtype=torch.float64))
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        """(case, time, size) -> (case, time, size), each output from all states up to its time."""
        w = dict(self.named_parameters())
        x = x.float()
        y = z = x.new_zeros(len(x), self.units)
        outputs = []
        for t in range(x.shape[1]):
            y, z = lem_cell(y, z, x[:, t], w)
            outputs.append(y @ w["readout"].mT + w["bias"])
        return torch.stack(outputs, 1)


@dataclass(frozen=True)
class LEMForecast:
    """The weights of a `LEMNetwork`. Its own state: y, z and the last x."""

    weights: Mapping[str, Tensor]
    scaling: Standard
    units: int
    washout: int

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, 2 · unit + state), driven by the context from no memory."""
        x = self.scaling(past(context, len(self.scaling.mean), self.washout + 1))
        memory = x.new_zeros(len(x), 2 * self.units)
        for t in range(x.shape[1] - 1):
            memory = self._driven(memory, x[:, t])
        return torch.cat([memory, x[:, -1]], -1)

    def step(self, z: Tensor) -> Tensor:
        """(..., 2 · unit + state): the network fed with the last output."""
        memory, x = z.split([2 * self.units, len(self.scaling.mean)], -1)
        memory = self._driven(memory, x)
        w = self.weights
        increment = memory[..., : self.units] @ w["readout"].double().mT + w["bias"].double()
        return torch.cat([memory, x + w["step_std"] * increment], -1)

    def state(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., state)."""
        return self.scaling.invert(z[..., -len(self.scaling.mean) :])

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)

    def _driven(self, memory: Tensor, x: Tensor) -> Tensor:
        y, z = memory.split(self.units, -1)
        double = {name: value.double() for name, value in self.weights.items()}
        return torch.cat(lem_cell(y, z, x, double), -1)


@dataclass(frozen=True, kw_only=True)
class LEM(TrainedForecaster):
    """Long expressive memory (Rusch et al. 2022), see `lem_cell`.

        net(x_1 ... x_t) ≈ (x_{t+1} - x_t) / std(x_{t+1} - x_t)      standardised x

    trained with true states as input; a forecast is fed with its own.

    Attributes:
        units: of y and of z.
        washout: outputs at the start of a window that do not count, while the memory fills;
            contexts are longer.
    """

    units: int = 32
    washout: int = 10
    window: int = 40
    rate: float = 9e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.at_least(1, units=self.units)
        check_washout(self.washout, self.window)

    def network(self, size: int) -> LEMNetwork:
        """With weights uniform in ±1/√units."""
        return LEMNetwork(size, self.units)

    @torch.no_grad()
    def start(self, network: LEMNetwork, x: Tensor, generator: Generator) -> None:
        """The scale of the increments."""
        network.step_std.copy_(increment_std(x))

    @property
    def loss(self) -> IncrementError:
        """With true states as input."""
        return IncrementError(self.washout)

    def ready(self, weights: Mapping[str, Tensor], scaling: Standard) -> LEMForecast:
        """The network."""
        return LEMForecast(weights, scaling, self.units, self.washout)
