"""The shallow piecewise-linear recurrent network, trained by generalised teacher forcing."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dalib import limits
from dalib.forecasters.base import free_run, past
from dalib.forecasters.ridge import ridge
from dalib.forecasters.scaling import Standard
from dalib.forecasters.trained import TrainedForecaster
from dalib.streams import Generator

CONTRACTION = 0.9  # entries of A before training: |A| < 1 bounds all orbits
RIDGE = 1e-2  # of the ridge start, relative to the number of pairs


def shallow_map(z: Tensor, w: Mapping[str, Tensor]) -> Tensor:
    """(..., state) -> (..., state), the clipped shallow map (Hess et al. 2023, eq. 3).

    F(z) = A z + W₁ [relu(W₂ z + h₂) - relu(W₂ z)] + h₁,      A diagonal

    Each bracket is bounded, by |h₂|, so that orbits stay bounded where |A| < 1.
    """
    inner = z @ w["W2"].mT
    return w["A"] * z + (torch.relu(inner + w["h2"]) - torch.relu(inner)) @ w["W1"].mT + w["h1"]


class ShallowPLRNN(nn.Module):
    """The weights of `shallow_map` for `size` states and `hidden` units."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.full((size,), CONTRACTION))
        self.W1 = nn.Parameter((2 * torch.rand(size, hidden) - 1) / hidden**0.5)
        self.h1 = nn.Parameter(torch.zeros(size))
        self.W2 = nn.Parameter((2 * torch.rand(hidden, size) - 1) / size**0.5)
        self.h2 = nn.Parameter(3 * torch.rand(hidden) - 1.5)

    def forward(self, z: Tensor) -> Tensor:
        """(..., state) -> (..., state)."""
        return shallow_map(z, dict(self.named_parameters()))


@dataclass(frozen=True)
class ForcedError:
    """Mean square error along a window of a map that is pulled towards the data (Hess et al. 2023)

        z̃_t = α x_t + (1 - α) z_t,    z_{t+1} = F(z̃_t),    L = mean |z_{t+1} - x_{t+1}|²

    before the pull. α = 1 learns single steps; with α = 0 gradients grow as orbits part.
    """

    forcing: float

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        """(window, time, state), standardised, -> a scalar."""
        x = x.float()
        z, loss = x[:, 0], 0.0
        for t in range(x.shape[1] - 1):
            z = network(torch.lerp(z, x[:, t], self.forcing))
            loss = loss + (z - x[:, t + 1]).square().mean()
        return loss / (x.shape[1] - 1)


@dataclass(frozen=True)
class PLRNNForecast:
    """The weights of a `ShallowPLRNN`. Its own state z: the standardised state."""

    weights: Mapping[str, Tensor]
    scaling: Standard

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, state), the last state."""
        return self.scaling(past(context, len(self.scaling.mean))[:, -1])

    def step(self, z: Tensor) -> Tensor:
        """(..., state) -> (..., state), in double precision."""
        return shallow_map(z, {name: w.double() for name, w in self.weights.items()})

    def state(self, z: Tensor) -> Tensor:
        """(..., state), 1 -> units of the data."""
        return self.scaling.invert(z)

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)


@dataclass(frozen=True, kw_only=True)
class PLRNN(TrainedForecaster):
    """Shallow piecewise-linear recurrent network, generalised teacher forcing (Hess et al. 2023).

    Loss and map: `ForcedError`, `shallow_map`. W₂ and h₂ are drawn, and W₁ and h₁ begin as the
    ridge regression of single steps on the features that they make; from random weights the same
    training leaves an attractor several times further from the true one.

    Attributes:
        hidden: L, units.
        forcing: α, share of the data in what the map is applied to, 0 to 1.
        ridge_start: whether W₁ and h₁ begin as a ridge regression.
    """

    hidden: int = 100
    forcing: float = 0.1
    ridge_start: bool = True
    window: int = 31
    batch: int = 128
    rate: float = 3e-3
    clip: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.at_least(1, hidden=self.hidden)
        limits.at_least(0, forcing=self.forcing)
        limits.at_most(1, forcing=self.forcing)

    def network(self, size: int) -> ShallowPLRNN:
        """With random weights."""
        return ShallowPLRNN(size, self.hidden)

    @torch.no_grad()
    def start(self, network: ShallowPLRNN, x: Tensor, generator: Generator) -> None:
        """W₁ and h₁ by ridge on single steps."""
        if not self.ridge_start:
            return
        z, after = x[:, :-1].flatten(0, 1), x[:, 1:].flatten(0, 1)
        inner = z @ network.W2.double().mT
        features = torch.relu(inner + network.h2.double()) - torch.relu(inner)
        G = torch.cat([features, torch.ones_like(z[:, :1])], -1)
        W = ridge([(G, after - network.A.double() * z)], RIDGE)
        network.W1.copy_(W[:-1].mT)
        network.h1.copy_(W[-1])

    @property
    def loss(self) -> ForcedError:
        """Along windows, forced."""
        return ForcedError(self.forcing)

    def ready(self, weights: Mapping[str, Tensor], scaling: Standard) -> PLRNNForecast:
        """The map."""
        return PLRNNForecast(weights, scaling)
