"""Means and standard deviations of the training data, kept with the network that was fed them."""

import torch
from torch import Tensor, nn

from dalib.nets.batched import per_repeat


class Scaling(nn.Module):
    """Standardisation (x - mean) / std, one mean and std per repeat and component.

    Both are buffers, (repeat, size) in float64, and are stored with the weights.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.double())
        self.register_buffer("std", std.double())

    @classmethod
    def fit(cls, training: Tensor, repeats: int = 1) -> "Scaling":
        """Moments of *training* data (..., size), the same for every repeat.

        Observations for a filter, states for a generative model: never data held out.
        """
        values = training.reshape(-1, training.shape[-1])
        values = values[values.isfinite().all(-1)]
        if len(values) < 2:
            raise ValueError(
                f"scaling needs at least 2 complete training values, got {len(values)} in an array "
                f"of shape {tuple(training.shape)}"
            )
        mean, std = values.mean(0), values.std(0)
        still = (std == 0).nonzero().flatten().tolist()
        if still:
            raise ValueError(
                f"standardising needs components that vary, but component {still[0]} is always "
                f"{values[0, still[0]]:g} in the training data; leave it out of what is learned"
            )
        return cls(mean.expand(repeats, -1).clone(), std.expand(repeats, -1).clone())

    @property
    def repeats(self) -> int:
        return self.mean.shape[0]

    @property
    def size(self) -> int:
        return self.mean.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """(repeat, ..., size), data units -> standardised, float32."""
        return ((x - per_repeat(self.mean, x)) / per_repeat(self.std, x)).to(torch.float32)

    def invert(self, x: Tensor) -> Tensor:
        """(repeat, ..., size), standardised -> data units, float64."""
        return per_repeat(self.mean, x) + per_repeat(self.std, x) * x

    def spread(self, std: Tensor) -> Tensor:
        """(repeat, ..., size), a standardised standard deviation -> data units, float64."""
        return per_repeat(self.std, std) * std


def per_channel(x: Tensor, channels: int, repeats: int = 1) -> Scaling:
    """Mean and std of each channel of training states (..., channel · point), in float64."""
    fields = x.reshape(-1, channels, x.shape[-1] // channels)
    moments = [torch.stack(torch.std_mean(fields[:, c].double())) for c in range(channels)]
    std, mean = torch.stack(moments).T
    return Scaling(mean.expand(repeats, -1).clone(), std.expand(repeats, -1).clone())


def per_variable(values: Tensor, variables: int, repeats: int = 1) -> Scaling:
    """Training states or observations (..., variable · point) divided by the std of each variable.

    Their means stay: the fields of the loss are those of the states, divided by one number each.
    """
    moments = per_channel(values, variables, repeats)
    std = moments.std[0]
    still = (std == 0).nonzero().flatten().tolist()
    if still or not std.isfinite().all():
        which = f"variable {still[0]} never changes" if still else "some values are not finite"
        raise ValueError(f"standardising needs fields that vary: {which}")
    return Scaling(torch.zeros_like(moments.mean), moments.std)


def spread(values: Tensor, variables: int) -> Tensor:
    """(..., variable · point) -> (variable · point,), of each component the std of its variable."""
    if values.shape[-1] % variables:
        raise ValueError(
            f"{variables} variables of equal size need a multiple of {variables} values, got shape "
            f"{tuple(values.shape)}"
        )
    std = per_channel(values, variables).std[0]
    return std.repeat_interleave(values.shape[-1] // variables)
