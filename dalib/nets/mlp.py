"""Fully connected networks with a leading `repeat` axis."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from dalib.nets.batched import Linear
from dalib.streams import Generator


class MLP(nn.Module):
    """Linear layers of the given sizes with an activation between them.

    (repeat, ..., sizes[0]) -> (repeat, ..., sizes[-1]).
    """

    def __init__(
        self,
        repeats: int,
        sizes: Sequence[int],
        activation: Callable[[Tensor], Tensor],
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(
            Linear(repeats, inputs, outputs, generator)
            for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)
