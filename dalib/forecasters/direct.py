"""Direct forecasters: a network says a whole stretch at once, and is rolled for longer ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dalib import limits
from dalib.forecasters.base import past
from dalib.forecasters.scaling import Standard
from dalib.forecasters.trained import TrainedForecaster
from dalib.streams import Generator


class Residual(nn.Module):
    """y = LayerNorm(V relu(W x) + U x), the block of TiDE (Das et al. 2023, sec. 4)."""

    def __init__(self, size: int, hidden: int, out: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(size, hidden), nn.Linear(hidden, out)
        self.skip, self.norm = nn.Linear(size, out), nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., out)."""
        return self.norm(self.outer(torch.relu(self.inner(x))) + self.skip(x))


class TiDENetwork(nn.Module):
    """A dense encoder and decoder with a linear path beside them, for one channel (Das et al. 2023)

        ŷ = decoder_t(D(E(u)))_t + (L u)_t

    without covariates. u: a context of one channel less its last value.
    """

    def __init__(self, context: int, length: int, hidden: int) -> None:
        super().__init__()
        self.length, width = length, 8
        self.encode = Residual(context, hidden, hidden)
        self.decode = Residual(hidden, hidden, length * width)
        self.read = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.linear = nn.Linear(context, length)

    def forward(self, u: Tensor) -> Tensor:
        """(..., context) -> (..., length)."""
        steps = self.decode(self.encode(u)).unflatten(-1, (self.length, -1))
        return self.read(steps)[..., 0] + self.linear(u)


class NBEATSNetwork(nn.Module):
    """Blocks that explain a part of the past and pass on the rest (Oreshkin et al. 2020, generic)

        θ = layers(u_b),    u_{b+1} = u_b - W_b θ_b,    ŷ = Σ_b V_b θ_b

    u: a flattened context.
    """

    def __init__(self, context: int, length: int, hidden: int, blocks: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_dense(context, hidden, layers) for _ in range(blocks))
        self.back = nn.ModuleList(nn.Linear(hidden, context) for _ in range(blocks))
        self.ahead = nn.ModuleList(nn.Linear(hidden, length) for _ in range(blocks))

    def forward(self, u: Tensor) -> Tensor:
        """(..., context) -> (..., length)."""
        y = 0.0
        for layers, back, ahead in zip(self.layers, self.back, self.ahead, strict=True):
            θ = layers(u)
            u, y = u - back(θ), y + ahead(θ)
        return y


def _dense(size: int, hidden: int, layers: int) -> nn.Sequential:
    sizes = [size, *[hidden] * layers]
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    return nn.Sequential(*[part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())])


def by_channel(x: Tensor) -> Tensor:
    """(..., time, state) -> (..., state, time), a network sees each channel alone."""
    return x.mT


def jointly(x: Tensor) -> Tensor:
    """(..., time, state) -> (..., 1, time · state), a network sees all channels."""
    return x.flatten(-2).unsqueeze(-2)


def ahead(network: Callable, x: Tensor, size: int, joint: bool) -> Tensor:
    """(..., context, state) -> (..., length, state), of what differs from the last x."""
    last = x[..., -1:, :]
    y = network((jointly if joint else by_channel)(x - last))
    return last + (y[..., 0, :].unflatten(-1, (-1, size)) if joint else y.mT)


@dataclass(frozen=True)
class StretchError:
    """Mean square error of the stretch after the first `context` samples of each window."""

    context: int
    joint: bool

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        """(window, time, state), standardised, -> a scalar."""
        x = x.float()
        made = ahead(network, x[:, : self.context], x.shape[-1], self.joint)
        return (made - x[:, self.context :]).square().mean()


@dataclass(frozen=True)
class DirectForecast:
    """The weights of a network; `method` with its settings makes it again."""

    weights: Mapping[str, Tensor]
    scaling: Standard
    kind: str
    context: int
    length: int
    hidden: int
    blocks: int
    layers: int
    joint: bool

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        x = self.scaling(past(context, len(self.scaling.mean), self.context))
        x = x[:, -self.context :].float()
        with torch.device("meta"):  # no numbers are drawn for weights that are there
            network = _made(self, x.shape[-1])

        def call(u: Tensor) -> Tensor:
            return functional_call(network, dict(self.weights), (u,))

        with torch.no_grad():
            while x.shape[1] < self.context + horizon:
                x = torch.cat([x, ahead(call, x[:, -self.context :], x.shape[-1], self.joint)], 1)
        made = x[:, self.context : self.context + horizon].double()
        return self.scaling.invert(made).unsqueeze(0)


def _made(method: "DirectForecast | Direct", size: int) -> nn.Module:
    """The network of a direct forecaster for states of `size` components."""
    channels = size if method.joint else 1
    context, length = method.context * channels, method.length * channels
    if method.kind == "tide":
        return TiDENetwork(context, length, method.hidden)
    return NBEATSNetwork(context, length, method.hidden, method.blocks, method.layers)


@dataclass(frozen=True, kw_only=True)
class Direct(TrainedForecaster):
    """What direct forecasters share.

        (x_{t+1} ... x_{t+L}) = x_t + net(x_{t-C+1} - x_t, ..., x_t - x_t)

    on standardised states, rolled on its own output beyond L. The mean square error of all L
    samples is the loss.

    Attributes:
        context: C, samples that are looked at.
        length: L, samples that are said at once.
        hidden: units of a layer.
        joint: whether the network sees all channels together; else each alone, by the same weights.
    """

    context: int = 100
    length: int = 25
    hidden: int = 128
    joint: bool = True
    window: int = 0
    batch: int = 128
    rate: float = 1e-3
    kind = ""
    depth: ClassVar[tuple[int, int]] = (1, 1)  # blocks, and layers in each

    def __post_init__(self) -> None:
        limits.at_least(1, context=self.context, length=self.length, hidden=self.hidden)
        if self.window not in (0, self.context + self.length):
            raise ValueError(
                f"the window is the context and what is said of it, "
                f"{self.context + self.length}, got {self.window}; leave it out"
            )
        object.__setattr__(self, "window", self.context + self.length)
        super().__post_init__()

    def network(self, size: int) -> nn.Module:
        """With random weights."""
        return _made(self, size)

    @property
    def loss(self) -> StretchError:
        """Of the stretch after the context."""
        return StretchError(self.context, self.joint)

    def ready(self, weights: Mapping[str, Tensor], scaling: Standard) -> DirectForecast:
        """The network, rolled."""
        sizes = (self.context, self.length, self.hidden, *self.depth)
        return DirectForecast(weights, scaling, self.kind, *sizes, self.joint)


@dataclass(frozen=True, kw_only=True)
class TiDE(Direct):
    """Time-series dense encoder (Das et al. 2023), see `TiDENetwork`; each channel alone."""

    joint: bool = False
    kind = "tide"


@dataclass(frozen=True, kw_only=True)
class NBEATS(Direct):
    """N-BEATS, generic blocks (Oreshkin et al. 2020), see `NBEATSNetwork`.

    Attributes:
        blocks, layers: number of blocks, and of layers in each.
    """

    blocks: int = 9
    layers: int = 4
    kind = "nbeats"

    def __post_init__(self) -> None:
        limits.at_least(1, blocks=self.blocks, layers=self.layers)
        super().__post_init__()

    @property
    def depth(self) -> tuple[int, int]:
        """Blocks, and layers in each."""
        return self.blocks, self.layers
