"""Relative motion on a circular orbit whose rate is to be learned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib import limits
from dalib.integrate import Exact
from dalib.maps.base import Start, forecast_rmse, mae
from dalib.streams import Generator, normal
from dalib.systems.clohessy_wiltshire import ClohessyWiltshire
from dalib.systems.runs import columns_by_run


@dataclass(frozen=True)
class OrbitMap:
    """The exact map of the equations of rendezvous, x' = exp(F_n dt) x, with n to be learned.

    Args:
        dt: sampling interval, s.
        rate: the true n, rad/s.
    """

    dt: float = 10.0
    rate: float = 0.0013

    size = ClohessyWiltshire.size
    dtype = torch.float64  # differences divided by n cancel

    def __post_init__(self) -> None:
        limits.more_than(0, dt=self.dt, rate=self.rate)

    def start(self, variance: Tensor, generator: Generator) -> Start:
        """n = |N(rate, variance)|, (run,): half of the draws would be negative otherwise."""
        draw = self.rate + variance.double().sqrt() * normal(tuple(variance.shape), generator)
        return Start({"rate": (draw.abs(), "softplus")}, {})

    def flow(self, values: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """(run, ..., 6) -> (run, ..., 6); one matrix exponential for each run."""
        F = ClohessyWiltshire(values["rate"]).propagator(self.dt)[:, None]
        return lambda x: (F.to(x) @ columns_by_run(x, len(F))).mT.reshape(x.shape)

    def truth(self) -> Callable[[Tensor], Tensor]:
        """(..., 6) -> (..., 6)."""
        return Exact(self.dt).flow(ClohessyWiltshire(self.rate))

    @torch.no_grad()
    def errors(self, values: Mapping[str, Tensor], states: Tensor) -> dict[str, Tensor]:
        """`forecast_rmse`, and `mae` = |n - rate| in rad/s; states (point, 6)."""
        return {
            "forecast_rmse": forecast_rmse(self, values, states),
            "mae": mae(values["rate"], torch.tensor(self.rate).double()),
        }
