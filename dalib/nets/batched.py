"""Layers whose parameters carry a leading `repeat` axis: many trainings as one tensor.

Repeat r sees only its own slice of the data and of the parameters, so a batch of repeats computes
what each of them would compute alone.
"""

import math

import torch
from torch import Tensor, nn

from dalib.streams import Generator, uniform


def weights(shape: tuple[int, ...], fan_in: int, generator: Generator | None) -> nn.Parameter:
    """`shape`, uniform within ±1/√fan_in (as in torch.nn); zero without a generator."""
    if generator is None:  # a shell, to be filled with stored weights
        return nn.Parameter(torch.zeros(shape))
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(bound * (2 * uniform(shape, generator, torch.float32) - 1))


def per_repeat(values: Tensor, like: Tensor) -> Tensor:
    """(repeat, n) -> (repeat, 1, ..., 1, n) with the number of axes of `like`."""
    return values.view(len(values), *[1] * (like.ndim - 2), -1)


class Linear(nn.Module):
    """x W + b for each repeat: (repeat, ..., inputs) -> (repeat, ..., outputs)."""

    def __init__(
        self, repeats: int, inputs: int, outputs: int, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.weight = weights((repeats, inputs, outputs), inputs, generator)
        self.bias = weights((repeats, 1, outputs), inputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return torch.baddbmm(self.bias, x, self.weight)
        return torch.baddbmm(self.bias, x.flatten(1, -2), self.weight).unflatten(1, x.shape[1:-1])

    def fill(self, weight: float, bias: float) -> "Linear":
        """Set all weights and all biases to two numbers; returns the layer."""
        nn.init.constant_(self.weight, weight)
        nn.init.constant_(self.bias, bias)
        return self


class GRU(nn.Module):
    """Gated recurrent unit, gates in the order of torch.nn.GRU (Cho et al. 2014).

    r  = σ(W_r x + b_r + V_r h + c_r)            reset
    u  = σ(W_u x + b_u + V_u h + c_u)            update
    n  = tanh(W_n x + b_n + r (V_n h + c_n))     candidate
    h' = (1 - u) n + u h
    """

    def __init__(
        self, repeats: int, inputs: int, hidden: int, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_x = weights((repeats, inputs, 3 * hidden), hidden, generator)
        self.weight_h = weights((repeats, hidden, 3 * hidden), hidden, generator)
        self.bias_x = weights((repeats, 1, 3 * hidden), hidden, generator)
        self.bias_h = weights((repeats, 1, 3 * hidden), hidden, generator)

    def forward(self, x: Tensor) -> Tensor:
        """(repeat, time, case, inputs) -> (repeat, time, case, hidden), from h = 0."""
        projected = torch.baddbmm(self.bias_x, x.flatten(1, 2), self.weight_x)
        projected = projected.unflatten(1, x.shape[1:3])  # one product for all times
        h = x.new_zeros(x.shape[0], x.shape[2], self.hidden)
        states = []
        for at_time in projected.unbind(1):
            h = self._advance(at_time, h)
            states.append(h)
        return torch.stack(states, 1)

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """(repeat, ..., inputs), (repeat, ..., hidden) -> (repeat, ..., hidden)."""
        projected = torch.baddbmm(self.bias_x, x.flatten(1, -2), self.weight_x)
        return self._advance(projected, h.flatten(1, -2)).view(h.shape)

    def _advance(self, projected: Tensor, h: Tensor) -> Tensor:
        recurrent = torch.baddbmm(self.bias_h, h, self.weight_h)
        gates_x, candidate_x = projected.split([2 * self.hidden, self.hidden], -1)
        gates_h, candidate_h = recurrent.split([2 * self.hidden, self.hidden], -1)
        r, u = torch.sigmoid(gates_x + gates_h).chunk(2, -1)
        n = torch.tanh(torch.addcmul(candidate_x, r, candidate_h))
        return torch.lerp(n, h, u)
