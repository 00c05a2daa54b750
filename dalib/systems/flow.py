"""The derivative of a drift that is a formula: nothing but the formula need be written."""

import torch
from torch import Tensor
from torch.func import jvp, vmap


class Flow:
    """A system dx/dt = f(x), with a Jacobian by forward-mode derivatives of its `drift`."""

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        raise NotImplementedError(f"{type(self).__name__} does not say how fast its state changes")

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size, size), the derivative of the drift, exact to rounding."""
        return derivative(self.drift, x)


def derivative(f, x: Tensor) -> Tensor:
    """df/dx (..., n, size) of f: (..., size) -> (..., n) that treats leading axes alike.

    One product of the Jacobian with each unit vector, all side by side.
    """
    units = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return vmap(lambda unit: jvp(f, (x,), (unit.expand_as(x),))[1], out_dims=-1)(units)
