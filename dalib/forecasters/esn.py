"""Echo state networks: a random recurrent network of which only the readout is trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, complete, free_run, past
from dalib.forecasters.ridge import ridge
from dalib.forecasters.scaling import Standard
from dalib.streams import Generator, each, uniform

BLOCK = 1024  # samples between two additions to the sums of the ridge


@dataclass(frozen=True)
class Reservoir:
    """s' = (1 - a) s + a tanh(s W + x U + b), driven by a standardised state x.

    recurrent: (unit, unit), W.
    inputs: (state, unit), U.
    bias: (unit,), b.
    leak: a.
    """

    recurrent: Tensor
    inputs: Tensor
    bias: Tensor
    leak: float

    def __call__(self, s: Tensor, x: Tensor) -> Tensor:
        """(..., unit), (..., state) -> (..., unit)."""
        new = torch.tanh(s @ self.recurrent + x @ self.inputs + self.bias)
        return (1 - self.leak) * s + self.leak * new


@dataclass(frozen=True)
class ESNForecast:
    """A reservoir with its readout (feature, state). Its own state z is that of the reservoir."""

    reservoir: Reservoir
    readout: Tensor
    scaling: Standard
    washout: int

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, unit), the reservoir driven by the context from 0."""
        x = self.scaling(past(context, len(self.scaling.mean), self.washout + 1))
        s = x.new_zeros(len(x), len(self.reservoir.bias))
        for t in range(x.shape[1] - 1):
            s = self.reservoir(s, x[:, t])
        return torch.cat([s, x[:, -1]], -1)

    def step(self, z: Tensor) -> Tensor:
        """(..., unit + state): the reservoir fed with the last output, and what it reads."""
        units = len(self.reservoir.bias)
        s = self.reservoir(z[..., :units], z[..., units:])
        return torch.cat([s, features(s) @ self.readout], -1)

    def state(self, z: Tensor) -> Tensor:
        """(..., unit + state) -> (..., state)."""
        return self.scaling.invert(z[..., len(self.reservoir.bias) :])

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)


@dataclass(frozen=True)
class ESN:
    """Echo state network (Jaeger 2001; Lukoševičius 2012 for practice), readout as in Pathak et al.

        s_{t+1} = (1 - a) s_t + a tanh(s_t W + x_t U + b)
        x_{t+1} = [1, s_{t+1}, s_{t+1}²] V

    on standardised states. W has `degree` entries a unit, uniform, scaled to the spectral radius
    ρ; U is uniform in ±σ_in, b in ±`bias`. V is the ridge regression on the training series, the
    reservoir driven by it, without the first `washout` samples of each. A forecast drives the
    reservoir with its context and then with its own output. The squares (Pathak et al. 2018 square
    half of the units) break the symmetry s -> -s that a tanh reservoir has and Lorenz-63 has not.

    Args:
        units: N, size of the reservoir.
        radius: ρ, largest |eigenvalue| of W.
        input_scale: σ_in, half the width of the weights of the input.
        bias: half the width of b.
        leak: a, in (0, 1]; 1 for no memory but the recurrent one.
        degree: mean number of units that feed a unit; None for all.
        penalty: λ of the ridge.
        washout: samples after which a reservoir has forgotten that it began at 0; contexts are
            longer.
    """

    units: int = 500
    radius: float = 0.4
    input_scale: float = 0.5
    bias: float = 0.5
    leak: float = 1.0
    degree: int | None = 10
    penalty: float = 1e-6
    washout: int = 50
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        if self.units < 1 or self.washout < 0 or self.penalty < 0 or self.radius < 0:
            raise ValueError(
                "an ESN has at least 1 unit, and neither `washout`, `penalty` nor `radius` is "
                f"negative, got {self.units}, {self.washout}, {self.penalty}, {self.radius}"
            )
        if not 0 < self.leak <= 1:
            raise ValueError(f"leak must lie in (0, 1], 1 for no leak, got {self.leak}")

    def fit(self, data: TrainingData, generator: Generator) -> ESNForecast:
        series = complete(data.train, "the training data")
        if series.shape[1] < self.washout + 2:
            raise ValueError(
                f"a washout of {self.washout} needs training series of at least "
                f"{self.washout + 2} samples, got {series.shape[1]}; lower `washout`"
            )
        scaling = Standard.of(series)
        reservoir = self.reservoir(series.shape[-1], generator)
        readout = ridge(self._pairs(reservoir, scaling(series)), self.penalty)
        return ESNForecast(reservoir, readout, scaling, self.washout)

    def reservoir(self, size: int, generator: Generator) -> Reservoir:
        """A reservoir for states of `size` components."""
        (one,) = each(generator)
        N = self.units
        W = 2 * uniform((N, N), one) - 1
        if self.degree is not None:
            W = W * (uniform((N, N), one) * N < self.degree)
        U = self.input_scale * (2 * uniform((size, N), one) - 1)
        b = self.bias * (2 * uniform((N,), one) - 1)
        return Reservoir(W * (self.radius / spectral_radius(W)), U, b, self.leak)

    def _pairs(self, reservoir: Reservoir, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of features and of the states that they stand for, x (case, time, state)."""
        s = x.new_zeros(len(x), len(reservoir.bias))
        kept: list[Tensor] = []
        last = x.shape[1] - 1
        for t in range(last):
            s = reservoir(s, x[:, t])
            if t >= self.washout:
                kept.append(s)
            if kept and (len(kept) * len(x) >= BLOCK or t == last - 1):
                G = features(torch.stack(kept, 1)).flatten(0, 1)
                yield G, x[:, t + 2 - len(kept) : t + 2].flatten(0, 1)
                kept = []


def features(s: Tensor) -> Tensor:
    """(..., unit) -> (..., 1 + 2 unit), [1, s, s²]."""
    return torch.cat([torch.ones_like(s[..., :1]), s, s.square()], -1)


def spectral_radius(W: Tensor) -> float:
    """Largest |eigenvalue| of W (n, n): as a rule a complex pair, so no power iteration ends."""
    radius = torch.linalg.eigvals(W).abs().max().item()
    if not (radius > 0 and math.isfinite(radius)):
        raise ValueError(
            f"a reservoir of {len(W)} units has the spectral radius {radius}; give more units or a "
            "larger `degree`"
        )
    return radius
