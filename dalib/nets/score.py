"""The score of noised data, learned by denoising."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from dalib import limits
from dalib.nets.mlp import MLP
from dalib.nets.scaling import Scaling
from dalib.streams import Generator, normal, uniform

FREQUENCIES = tuple(0.5 * (1 + j) for j in range(8))  # 0.5, 1 ... 4, per unit of ln σ


class Score(nn.Module):
    """Score of data blurred by Gaussian noise σ, variance-exploding (Song & Ermon 2019).

        s(x, σ) = N(x / √(1 + σ²), sin ω_j ln σ, cos ω_j ln σ) / σ
        L = E ‖σ s(x + σ ε, σ) + ε‖²,   ln σ uniform on [ln σ_min, ln σ_max]

    x is standardised and (repeat, sample, size). The network gives the noise and not the score,
    because the score grows as 1/σ. The floor of L is the noise no one can tell from the data.

    Args:
        scaling: moments of the training states.
        hidden: width of the three hidden layers.
        sigma_min, sigma_max: range of noise, in standard deviations of the data.
        generator: draws the first weights; without it they are 0, to be filled with stored ones.
    """

    def __init__(
        self,
        scaling: Scaling,
        hidden: int = 128,
        sigma_min: float = 0.02,
        sigma_max: float = 3.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        limits.at_least(1, hidden=hidden)
        limits.more_than(0, sigma_min=sigma_min, sigma_max=sigma_max)
        self.scaling = scaling
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        inputs = scaling.size + 2 * len(FREQUENCIES)
        sizes = (inputs, hidden, hidden, hidden, scaling.size)
        self.network = MLP(scaling.repeats, sizes, silu, generator)

    @property
    def repeats(self) -> int:
        return self.scaling.repeats

    @property
    def size(self) -> int:
        return self.scaling.size

    @property
    def device(self) -> torch.device:
        return self.scaling.mean.device

    def noise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """-σ s(x, σ): the best guess of -ε, (repeat, sample, size); sigma broadcasts to x."""
        phase = sigma.log() * torch.tensor(FREQUENCIES, device=x.device)
        features = torch.cat([phase.sin(), phase.cos()], -1).expand(*x.shape[:-1], -1)
        return self.network(torch.cat([x / (1 + sigma.square()).sqrt(), features], -1))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """s(x, σ), (repeat, sample, size), per standardised unit."""
        return self.noise(x, sigma) / sigma

    def loss(self, x: Tensor, fraction: float, generator: Generator | None) -> Tensor:
        """(repeat,), denoising score matching with weight σ²; x (repeat, sample, size) unscaled."""
        x = self.scaling(x)
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        level = uniform((*x.shape[:-1], 1), generator, torch.float32).to(x.device)
        sigma = (low + (high - low) * level).exp()
        epsilon = normal(x.shape, generator, torch.float32).to(x.device)
        return (self.noise(x + sigma * epsilon, sigma) + epsilon).square().sum(-1).mean(-1)

    @torch.no_grad()
    def report(self, x: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        """The loss, (repeat,)."""
        return {"loss": self.loss(x, 1.0, generator)}
