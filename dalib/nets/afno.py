"""AFNO: a network that mixes the tokens of a field in Fourier space (Guibas et al. 2022).

The forecast model of FourCastNet (Pathak et al. 2022), for fields on a grid of latitudes and
longitudes. Every parameter has a leading axis `repeat`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import gelu, softshrink

from dalib import limits
from dalib.nets.batched import Linear
from dalib.nets.gpt import Norm
from dalib.nets.mlp import MLP
from dalib.nets.scaling import Scaling
from dalib.streams import Generator, normal

SMALL = 0.02  # standard deviation of the first positions and Fourier weights
FIELDS = 64  # forecast at once by `step`, for the sake of memory


class AFNO(nn.Module):
    """The state one time step later, from patches of all channels.

        h = W patch(x) + b + P[token]
        h <- h + F(LN(h)),   h <- h + W_2 gelu(W_1 LN(h) + b_1) + b_2         each layer
        x' = patch⁻¹(V h + c)

    with the Fourier layer F of `Fourier`. States are flat, (channel, lat, lon) within; the network
    sees and gives them standardised by channel. There is no norm before the head.

    Args:
        scaling: moments of each channel of the training states, (repeat, channel).
        grid: (lat, lon) points, multiples of `patch`.
        patch: points of a token in both directions.
        width: numbers of a token.
        depth: layers one after the other.
        blocks: of the Fourier layer, into which the width is divided.
        ratio: of the inner width of the perceptron to the width.
        threshold: of the soft shrinkage in Fourier space.
        generator: draws the first weights; without it they are 0, to be filled with stored ones.
    """

    def __init__(
        self,
        scaling: Scaling,
        grid: Sequence[int],
        patch: int = 4,
        width: int = 256,
        depth: int = 8,
        blocks: int = 8,
        ratio: int = 4,
        threshold: float = 0.01,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        limits.at_least(1, patch=patch, width=width, blocks=blocks, ratio=ratio)
        limits.at_least(0, depth=depth, threshold=threshold)
        rows, columns = grid
        if rows % patch or columns % patch:
            raise ValueError(f"a grid of {rows} x {columns} has no whole patches of {patch}")
        if width % blocks:
            raise ValueError(f"width {width} cannot be shared by {blocks} blocks")
        repeats, numbers = scaling.repeats, patch**2 * scaling.size
        self.scaling, self.patch = scaling, patch
        self.shape = (scaling.size, rows, columns)
        tokens = (rows // patch, columns // patch)
        self.embed = Linear(repeats, numbers, width, generator)
        self.positions = _normal((repeats, *tokens, width), generator)
        self.layers = nn.ModuleList(
            Layer(repeats, width, blocks, ratio, threshold, generator) for _ in range(depth)
        )
        self.head = Linear(repeats, width, numbers, generator)

    @property
    def repeats(self) -> int:
        return self.scaling.repeats

    @property
    def size(self) -> int:
        """Numbers of a state."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def forward(self, x: Tensor) -> Tensor:
        """(repeat, batch, lat, lon, channel) -> the same one step later, standardised."""
        p, (channels, rows, columns) = self.patch, self.shape
        x = x.unflatten(3, (columns // p, p)).unflatten(2, (rows // p, p))
        h = self.embed(x.transpose(3, 4).flatten(4)) + self.positions[:, None]
        for layer in self.layers:
            h = layer(h)
        x = self.head(h).unflatten(-1, (p, p, channels))
        return x.transpose(3, 4).flatten(4, 5).flatten(2, 3)

    def loss(self, batch: Tensor, fraction: float, generator: Generator | None) -> Tensor:
        """(repeat,), mean square error of the standardised fields over all steps of a window.

        batch: (repeat, batch, 1 + steps, size): with windows of two states one step is learned;
            with three the second starts from the first, as in fine-tuning.
        """
        x, *later = self._standardised(batch).unbind(2)
        if not later:
            raise ValueError("a window holds one state; give it at least the next one too")
        total = 0.0
        for truth in later:
            x = self(x)
            total = total + (x - truth).square().mean((1, 2, 3, 4))
        return total / len(later)

    @torch.no_grad()
    def report(self, batch: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        """(repeat,) each: the loss, and that of the forecast that nothing changes."""
        x = self._standardised(batch)
        still = (x[:, :, 1:] - x[:, :, :1]).square().mean((1, 2, 3, 4, 5))
        return {"loss": self.loss(batch, 1.0, generator), "still_loss": still}

    def step(self, x: Tensor) -> Tensor:
        """(..., size) in data units -> the same one step later: the map of a filter.

        With several repeats the first axis is theirs. The weights are taken as constants, so that
        gradients flow to x alone, and only where it asks for them.
        """
        if x.shape[-1] != self.size or (self.repeats > 1 and len(x) != self.repeats):
            leading = f"{self.repeats}, ..., " if self.repeats > 1 else "..., "
            raise ValueError(
                f"expected states of shape ({leading}{self.size}), that is {self.shape} flat, got "
                f"{tuple(x.shape)}"
            )
        states = x.reshape(self.repeats, -1, self.size)
        parts = [self._advanced(part) for part in states.split(max(1, FIELDS // self.repeats), 1)]
        return torch.cat(parts, 1).view(x.shape)

    def _advanced(self, states: Tensor) -> Tensor:
        constants = {name: weight.detach() for name, weight in self.named_parameters()}
        later = functional_call(self, constants, (self._standardised(states),))
        forecast = self.scaling.invert(later)
        return forecast.movedim(-1, 2).flatten(2).to(states.dtype)

    def _standardised(self, states: Tensor) -> Tensor:
        """(repeat, ..., size) -> (repeat, ..., lat, lon, channel)."""
        return self.scaling(states.unflatten(-1, self.shape).movedim(-3, -1))


class Layer(nn.Module):
    """Mixing among tokens, then a perceptron for each; each added to what it was given."""

    def __init__(
        self,
        repeats: int,
        width: int,
        blocks: int,
        ratio: int,
        threshold: float,
        generator: Generator | None,
    ) -> None:
        super().__init__()
        self.norm, self.norm2 = Norm(repeats, width), Norm(repeats, width)
        self.fourier = Fourier(repeats, width, blocks, threshold, generator)
        self.perceptron = MLP(repeats, (width, ratio * width, width), gelu, generator)

    def forward(self, h: Tensor) -> Tensor:
        """(repeat, batch, row, column, width)."""
        h = h + self.fourier(self.norm(h))
        return h + self.perceptron(self.norm2(h))


class Fourier(nn.Module):
    """A convolution as wide as the grid, by one complex perceptron for all wave numbers.

        z = rfft2(h)
        z <- shrink(W_2 relu(W_1 z + b_1) + b_2)          each block of channels, all wave numbers
        F(h) = irfft2(z) + h

    relu and shrink(a) = sign(a) max(|a| - threshold, 0) act on real and imaginary parts, the
    transforms keep lengths. Round the globe there is no seam; but parts depend on where longitudes
    begin to be counted, so F commutes with shifts only as far as nothing is cut off.
    """

    def __init__(
        self,
        repeats: int,
        width: int,
        blocks: int,
        threshold: float,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        block = width // blocks
        # the last axis holds real and imaginary parts: weights are stored as real numbers
        self.weights = _normal((repeats, 2, blocks, block, block, 2), generator)
        self.biases = _normal((repeats, 2, blocks, 1, block, 2), generator)

    def forward(self, h: Tensor) -> Tensor:
        """(repeat, batch, row, column, width)."""
        z = torch.fft.rfft2(h, dim=(2, 3), norm="ortho")
        shape, blocks = z.shape, self.weights.shape[2]
        z = z.reshape(shape[0], -1, blocks, shape[-1] // blocks).transpose(1, 2)
        z = _on_parts(torch.relu, self._affine(0, z))
        z = _on_parts(lambda part: softshrink(part, self.threshold), self._affine(1, z))
        z = z.transpose(1, 2).reshape(shape)
        return h + torch.fft.irfft2(z, s=h.shape[2:4], dim=(2, 3), norm="ortho")

    def _affine(self, layer: int, z: Tensor) -> Tensor:
        """(repeat, block, mode, size)."""
        W, b = (torch.view_as_complex(p[:, layer]) for p in (self.weights, self.biases))
        return z @ W + b


def _on_parts(function, z: Tensor) -> Tensor:
    """A real function of the real and of the imaginary part."""
    return torch.view_as_complex(function(torch.view_as_real(z)))


def _normal(shape: tuple[int, ...], generator: Generator | None) -> nn.Parameter:
    if generator is None:  # a shell, to be filled with stored weights
        return nn.Parameter(torch.zeros(shape))
    return nn.Parameter(SMALL * normal(shape, generator, torch.float32))
