"""True trajectories on the attractor, as metrics take them."""

import functools

import torch
import xarray as xr

from dalib.integrate import RK4, trajectory
from dalib.systems.lorenz import Lorenz63


@functools.cache
def lorenz63(cases: int, samples: int, dt: float, steps: int = 1, seed: int = 0) -> xr.DataArray:
    """(case, time, state), independent trajectories after a spin-up of 60 time units."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(cases, 3, dtype=torch.float64, generator=generator) * 5
    start[:, 2] += 20
    spun = trajectory(RK4(0.02).flow(Lorenz63()), start, 3000)[:, -1]
    states = trajectory(RK4(dt, steps).flow(Lorenz63()), spun, samples - 1)
    return xr.DataArray(states.numpy(), dims=("case", "time", "state"))
