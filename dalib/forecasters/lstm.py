"""Long short-term memory: a recurrent network trained on true states, run on its own output."""

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


class LSTMNetwork(nn.Module):
    """Standardised states to the standardised increments that follow them, in float32.

    step_std: (size,) in float64, standard deviation of an increment of standardised states.
    """

    def __init__(self, size: int, units: int, layers: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(size, units, layers, batch_first=True)
        self.readout = nn.Linear(units, size)
        self.register_buffer("step_std", torch.ones(size, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """(case, time, size) -> (case, time, size), each output from all states up to its time."""
        return self.readout(self.recurrent(x.float())[0])


@dataclass(frozen=True)
class LSTMForecast:
    """The weights of an `LSTMNetwork`. Its own state z: h and c of all layers, and the last x."""

    weights: Mapping[str, Tensor]
    scaling: Standard
    units: int
    layers: int
    washout: int

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, z), the network driven by the context from no memory."""
        x = self.scaling(past(context, len(self.scaling.mean), self.washout + 1))
        memory = x.new_zeros(len(x), 2 * self.layers * self.units)
        for t in range(x.shape[1] - 1):
            memory, _ = self._driven(memory, x[:, t])
        return torch.cat([memory, x[:, -1]], -1)

    def step(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., z): the network fed with the last output."""
        memory, x = z.split([2 * self.layers * self.units, len(self.scaling.mean)], -1)
        memory, y = self._driven(memory, x)
        return torch.cat([memory, x + self.weights["step_std"] * y], -1)

    def state(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., state)."""
        return self.scaling.invert(z[..., -len(self.scaling.mean) :])

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)

    def _driven(self, memory: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 · layer · unit), (..., state) -> the memory after x, and the output y.

        i, f, o = σ(W x + R h + b)          input, forget and output gates
        g       = tanh(W_g x + R_g h + b_g)
        c <- f c + i g,   h <- o tanh(c)    and h is the x of the next layer
        y       = V h + v                   of the last

        A single step is written out since torch.func cannot differentiate nn.LSTM; double
        precision costs nothing here.
        """
        w = self.weights
        kept, h = [], x
        for layer, own in enumerate(memory.unflatten(-1, (self.layers, 2, -1)).unbind(-3)):
            before, c = own.unbind(-2)
            W, R = (w[f"recurrent.weight_{k}h_l{layer}"].double() for k in "ih")
            b = sum(w[f"recurrent.bias_{k}h_l{layer}"].double() for k in "ih")
            i, f, g, o = (h @ W.T + before @ R.T + b).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            kept += [h, c]
        y = h @ w["readout.weight"].double().T + w["readout.bias"].double()
        return torch.cat(kept, -1), y


@dataclass(frozen=True, kw_only=True)
class LSTM(TrainedForecaster):
    """An LSTM (Hochreiter and Schmidhuber 1997; with the forget gates of Gers et al. 2000).

        y_t = net(x_1 ... x_t) ≈ (x_{t+1} - x_t) / std(x_{t+1} - x_t)      standardised x

    Teacher forcing: in training every x_t is that of the data, and the mean square error of
    y_t, t > washout, is the loss. A forecast is fed with its own x_{t+1} = x_t + std · y_t.

    Attributes:
        units, layers: sizes of the network.
        washout: outputs at the start of a window that do not count, while the memory fills;
            contexts are longer.
    """

    units: int = 64
    layers: int = 1
    window: int = 60
    steps: int = 6000
    rate: float = 1e-2
    washout: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.at_least(1, units=self.units, layers=self.layers)
        check_washout(self.washout, self.window)

    def network(self, size: int) -> LSTMNetwork:
        """With random weights."""
        return LSTMNetwork(size, self.units, self.layers)

    @torch.no_grad()
    def start(self, network: LSTMNetwork, x: Tensor, generator: Generator) -> None:
        """The scale of the increments."""
        network.step_std.copy_(increment_std(x))

    @property
    def loss(self) -> IncrementError:
        """With true states as input."""
        return IncrementError(self.washout)

    def ready(self, weights: Mapping[str, Tensor], scaling: Standard) -> LSTMForecast:
        """The network, fed with its own output."""
        return LSTMForecast(weights, scaling, self.units, self.layers, self.washout)
