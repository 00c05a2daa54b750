"""The network that corrects a tendency on a ring, batched over runs."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad, relu

from dalib.nets.batched import weights
from dalib.streams import Generator

REACH = 2  # neighbours in a window, on either side
# Shape of one run's numbers, and the inputs of a unit of that layer.
SHAPES: Mapping[str, tuple[tuple[int, ...], int]] = {
    "weight1": ((72, 1, 5), 5),
    "bias1": ((72,), 5),
    "weight2": ((37, 48, 5), 240),
    "bias2": ((37,), 240),
    "weight3": ((1, 37, 1), 37),
    "bias3": ((1,), 37),
}


class RingNetwork(NamedTuple):
    """Three convolutions along the ring with a product between them (Adrian et al. 2026, app.).

        (a, b, c) = relu(W1 * x + b1)         24 channels each, from windows of 5 sites
        h         = relu(W2 * (a, b c) + b2)  37 channels, from windows of 5 sites
        G(x)      = W3 h + b3                 one

    The weights of all runs, each with a leading `run` axis: 9,387 numbers a run.
    """

    weight1: Tensor
    bias1: Tensor
    weight2: Tensor
    bias2: Tensor
    weight3: Tensor
    bias3: Tensor

    @classmethod
    def draw(cls, runs: int, generator: Generator | None) -> "RingNetwork":
        """First weights, uniform within ±1/√fan_in, each run's from its own stream."""
        return cls(
            **{
                name: weights((runs, *shape), fan_in, generator).detach()
                for name, (shape, fan_in) in SHAPES.items()
            }
        )

    def __call__(self, x: Tensor) -> Tensor:
        """(run, ..., site) -> (run, ..., site), the correction of each site.

        The points of a run stand in one line, so that two of the layers are matrix products.
        """
        runs, sites = len(x), x.shape[-1]
        w = _windows(x.reshape(runs, -1, sites))
        h = relu(torch.baddbmm(self.bias1[..., None], self.weight1.flatten(2), w))
        a, b, c = h.chunk(3, 1)
        h = torch.cat([a, b * c], 1).flatten(0, 1)  # every run convolves channels of its own
        h = conv1d(h, self.weight2.flatten(0, 1), self.bias2.flatten(), groups=runs)
        h = relu(h).unflatten(0, (runs, -1))
        G = torch.baddbmm(self.bias3[..., None], self.weight3.flatten(2), h)
        G = pad(G, (0, 2 * REACH)).view(runs, -1, sites + 2 * REACH)
        return G[..., :sites].reshape(x.shape)  # without the windows over two points


def _windows(x: Tensor) -> Tensor:
    """(run, point, site) -> (run, 5, point · (site + 4)): windows around each site of a point, and
    around two sites of the other end on either side, so that the next layer closes the ring too.
    """
    ring = torch.cat([x[..., -2 * REACH :], x, x[..., : 2 * REACH]], -1)
    windows = ring.unfold(-1, x.shape[-1] + 2 * REACH, 1)  # (run, point, 5, site + 4)
    return windows.movedim(-2, 1).flatten(2)
