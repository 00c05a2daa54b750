"""Mean and standard deviation of what a forecaster was fitted to."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Standard:
    """z = (x - mean) / std, both (state,), from the training data alone."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Standard":
        """The moments of x (..., state) over all other axes."""
        values = x.flatten(0, -2)
        if len(values) < 2:
            raise ValueError(f"standardising needs at least 2 training samples, got {len(values)}")
        std = values.std(0)
        still = (std == 0).nonzero().flatten().tolist()
        if still:
            raise ValueError(
                f"standardising needs components that vary, but component {still[0]} is always "
                f"{values[0, still[0]]:g} in the training data; leave it out of what is learned"
            )
        return cls(values.mean(0), std)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., state), units of the data -> 1."""
        return (x - self.mean) / self.std

    def invert(self, z: Tensor) -> Tensor:
        """(..., state), 1 -> units of the data."""
        return self.mean + self.std * z
