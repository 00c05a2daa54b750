"""Linear maps with Gaussian noise, for which the Kalman filter is exact.

    x <- A x + q,    q ~ N(0, Q)

`matrix` is A (state, state), `noise_cov` Q (state, state). `step` is the map without the noise.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dalib import limits


class LinearMap:
    """The step of any system that has a `matrix`."""

    matrix: Tensor

    def step(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., state), the next state without noise, A x."""
        return x @ self.matrix.T.to(x)

    def jacobian(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., state, state), the derivative of the step, A everywhere."""
        return self.matrix.to(x).expand(*x.shape[:-1], *self.matrix.shape)


@dataclass(frozen=True)
class ConstantVelocity(LinearMap):
    """Position and velocity of a body pushed by white noise; the noise integrated exactly.

        A = [[1, dt], [0, 1]]    Q = noise [[dt^3/3, dt^2/2], [dt^2/2, dt]]

    `noise` is the spectral density of the acceleration, in units of velocity^2 / time.

    Attributes:
        dt: step, in model time.
        noise: spectral density of the acceleration, velocity^2 / time.
    """

    dt: float = 1.0
    noise: float = 0.1

    size = 2
    names = ("position", "velocity")

    def __post_init__(self) -> None:
        limits.more_than(0, dt=self.dt)
        limits.at_least(0, noise=self.noise)

    @cached_property
    def matrix(self) -> Tensor:
        return torch.tensor([[1.0, self.dt], [0.0, 1.0]], dtype=torch.float64)

    @cached_property
    def noise_cov(self) -> Tensor:
        dt = self.dt
        cov = torch.tensor([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]], dtype=torch.float64)
        return self.noise * cov


@dataclass(frozen=True)
class ShiftedRing(LinearMap):
    """A damped wave on a ring that moves one site a step.

        x_i <- damping x_{i-1} + N(0, noise_std^2)

    Advection at its simplest: what is seen at one site is known at the next one later.

    Attributes:
        size: sites.
        damping: factor on a site's value in a step.
        noise_std: of the model error in a step, state units.
    """

    size: int = 20
    damping: float = 0.98
    noise_std: float = 0.1

    def __post_init__(self) -> None:
        limits.at_least(1, size=self.size)
        limits.at_least(0, noise_std=self.noise_std)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(self.size))

    @cached_property
    def matrix(self) -> Tensor:
        return self.damping * torch.eye(self.size, dtype=torch.float64).roll(1, 0)

    @cached_property
    def noise_cov(self) -> Tensor:
        return self.noise_std**2 * torch.eye(self.size, dtype=torch.float64)
