"""Twin experiments on rings and maps whose errors are published: flames, two scales, an ocean.

Truth, observations and ensembles are redrawn for each seed. The error is the root mean square over
all components at analysis times, averaged over time after the burn-in; settings and published
figures are those of DAPPER's settings files, the reference is compared with the median over seeds.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.rows import Row
from dalib.filters import Ensemble, Filter, Gaussian, assimilate
from dalib.filters.etkf import ETKF
from dalib.filters.finite_size import EnKFN
from dalib.filters.letkf import LETKF
from dalib.filters.variational import Climatology, OptimalInterpolation
from dalib.integrate import ETDRK4, RK4, trajectory
from dalib.localise import Grid, Ring
from dalib.observe import Identity, MovingSubset, Subset, noisy
from dalib.streams import integers, normal, stream, streams
from dalib.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from dalib.systems.quasi_geostrophic import QuasiGeostrophic
from dalib.systems.two_scale import TwoScaleLorenz96

SECTION = "4c"
GRID, TRACK, CYCLES = 129, 300, 50  # of the ocean


@dataclass(frozen=True)
class Twin:
    """A model, what is seen of it, and where truth and members start.

    `starts(seeds, members, purpose)` draws (seed, member, state), for "truth" or "members".
    """

    name: str
    step: Callable[[Tensor], Tensor]
    observe: Any
    obs_std: float
    starts: Callable[[range, int, str], Tensor]
    burn_in: int  # cycles

    def truth(self, seeds: range, cycles: int) -> tuple[Tensor, Tensor]:
        """States (seed, time, state) and observations (seed, time, obs)."""
        start = self.starts(seeds, 1, "truth")[:, 0]
        states = trajectory(self.step, start, self.burn_in + cycles)[:, 1:]
        generator = streams(self.name, seeds, "observations")
        return states, noisy(self.observe, states, self.obs_std, generator)

    def errors(self, filter: Filter, seeds: range, cycles: int) -> Tensor:
        """(seed,), of the analysis; infinite where the filter diverged."""
        truth, y = self.truth(seeds, cycles)
        prior = Ensemble(self.starts(seeds, getattr(filter, "members", 2), "members"))
        if not hasattr(filter, "members"):  # which needs no more than a belief of the right shape
            prior = Gaussian(prior.mean, prior.cov)
        analyses = assimilate(filter, prior, y, streams(self.name, seeds, "filter"))
        error = (analyses.mean - truth)[:, self.burn_in :].square().mean(-1).sqrt().mean(-1)
        return error.nan_to_num(torch.inf)


def around(mean: Tensor, variance: float, name: str) -> Callable[[range, int, str], Tensor]:
    """Truths and members from N(mean, variance I)."""

    def starts(seeds: range, members: int, purpose: str) -> Tensor:
        noise = normal((len(seeds), members, len(mean)), streams(name, seeds, f"start {purpose}"))
        return mean + math.sqrt(variance) * noise

    return starts


def climate(step: Callable[[Tensor], Tensor], start: Tensor, spinup: int, count: int) -> Gaussian:
    """Mean and covariance of free runs from `start` (run, state).

    Waves that are damped at once and a mean that is kept have no variance: 1e-6 is added.
    """
    states = trajectory(step, start, spinup + count)[:, spinup:].flatten(0, 1)
    return Gaussian(states.mean(0), states.T.cov() + 1e-6 * torch.eye(states.shape[-1]))


# Kuramoto-Sivashinsky, Bocquet and Farchi (2019): steps of 0.5, all seen every second, R = I


@cache
def flames() -> tuple[Twin, Gaussian]:
    system = KuramotoSivashinsky()
    step = ETDRK4(0.5, 2).flow(system)
    x = torch.arange(1, system.size + 1).double() / system.size * system.length
    first = (x / 16).cos() * (1 + (x / 16).sin())  # Kassam and Trefethen
    mean = trajectory(step, first, 150)[-1]
    name = "Kuramoto-Sivashinsky"
    spread = mean + 0.1 * normal((100, system.size), stream(name, "climate"))
    starts = around(mean, 0.001, name)
    twin = Twin(name, step, Identity(system.size), 1.0, starts, 400)
    return twin, climate(step, spread, 300, 300)


def flames_letkf(members: int, radius: float, inflation: float, rotate: bool = True) -> Filter:
    twin, _ = flames()
    return LETKF(
        step=twin.step,
        observe=twin.observe,
        obs_std=twin.obs_std,
        members=members,
        inflation=inflation,
        rotate=rotate,
        localisation=Ring(radius).on(128),
        most=None,
    )


def flames_etkf(members: int, inflation: float) -> Filter:
    twin, _ = flames()
    return ETKF(
        step=twin.step,
        observe=twin.observe,
        obs_std=twin.obs_std,
        members=members,
        inflation=inflation,
        rotate=True,
    )


def flames_still(kind: type) -> Filter:
    twin, background = flames()
    return kind(observe=twin.observe, obs_std=twin.obs_std, background=background)


def flames_error(make: Callable[[], Filter], seeds: int = 16, cycles: int = 1000) -> Tensor:
    return flames()[0].errors(make(), range(seeds), cycles)


# two-scale Lorenz-96, Wilks (2005): slow variables seen every 0.05, R = 0.1 I


@cache
def two_scales() -> tuple[Twin, Gaussian]:
    system = TwoScaleLorenz96()
    step = RK4(0.005, 10).flow(system)
    name = "two-scale Lorenz-96"
    mean = torch.zeros(system.size).double()
    mean[0] = 1
    spread = mean + 0.1 * normal((50, system.size), stream(name, "climate"))
    starts = around(mean, 0.01, name)
    seen = Subset(tuple(range(system.slow)))
    twin = Twin(name, step, seen, math.sqrt(0.1), starts, 120)
    return twin, climate(step, spread, 100, 200)


def two_scales_climatology() -> Filter:
    twin, background = two_scales()
    return Climatology(observe=twin.observe, obs_std=twin.obs_std, background=background)


def two_scales_finite(members: int) -> Filter:
    twin, _ = two_scales()
    given = {"step": twin.step, "observe": twin.observe, "obs_std": twin.obs_std}
    return EnKFN(**given, members=members)


def two_scales_error(make: Callable[[], Filter], seeds: int = 16, cycles: int = 1000) -> Tensor:
    return two_scales()[0].errors(make(), range(seeds), cycles)


# quasi-geostrophic, Sakov and Oke (2008): 300 places on lines that move, every 5, R = 4 I


@cache
def free_ocean() -> Tensor:
    """(sample, state) in single precision, 50 time units apart after 3500, of eight free runs."""
    ocean = QuasiGeostrophic(GRID)
    step = RK4(1.25, 4).flow(ocean)
    waves = normal((8, 4, 4), stream("ocean", "start"), torch.float32)
    k = torch.arange(1, 5)[:, None] * torch.linspace(0, math.pi, GRID)
    x = (k.sin().T @ waves @ k.sin()).flatten(-2)
    for _ in range(700):
        x = step(x)
    samples = []
    for _ in range(50):
        for _ in range(10):
            x = step(x)
        samples.append(x)
    return torch.cat(samples)


def drawn(seeds: range, members: int, purpose: str) -> Tensor:
    """(seed, member, state) of the free runs."""
    generator = streams("ocean", seeds, f"start {purpose}")
    return free_ocean()[integers(len(free_ocean()), (len(seeds), members), generator)]


def track(cycles: int) -> MovingSubset:
    """Every 55th point of the state, from an offset that is drawn for each time."""
    every = GRID**2 // TRACK
    first = torch.linspace(0, GRID**2, TRACK + 1)[:-1].long()
    offsets = integers(every, (cycles,), stream("ocean", "track"))
    return MovingSubset(tuple(tuple((first + o).tolist()) for o in offsets))


@cache
def ocean(cycles: int = CYCLES) -> Twin:
    step = RK4(1.25, 4).flow(QuasiGeostrophic(GRID))
    return Twin("ocean", step, track(50 + cycles), 2.0, drawn, 50)


def ocean_letkf(members: int, inflation: float, radius: float) -> Filter:
    twin = ocean()
    return LETKF(
        step=twin.step,
        observe=twin.observe,
        obs_std=twin.obs_std,
        members=members,
        inflation=inflation,
        localisation=Grid((GRID, GRID), radius).on(GRID**2),
        most=None,
    )


def ocean_error(make: Callable[[], Filter], seeds: int = 16, cycles: int = CYCLES) -> Tensor:
    """Four seeds at a time, for the memory that their series take."""
    parts = (range(first, min(first + 4, seeds)) for first in range(0, seeds, 4))
    return torch.cat([ocean(cycles).errors(make(), part, cycles) for part in parts])


def rows() -> Iterator[Row]:
    """All figures, in the order of cost."""

    def row(setting: str, method: str, published: float, measure: Callable) -> Row:
        return Row(SECTION, setting, method, published, 0.06 * published, measure)

    fire, two = "Kuramoto-Sivashinsky", "two-scale Lorenz-96"
    still = partial(flames_error, partial(flames_still, OptimalInterpolation))
    yield row(fire, "OI", 0.5, still)
    etkf = partial(flames_etkf, 20, 1.03)
    yield row(fire, "ETKF N=20 1.03 rot", 0.115, partial(flames_error, etkf))
    letkf = partial(flames_letkf, 16, 51 / 1.82, 1.02)
    yield row(fire, "LETKF N=16 1.02 rot c=51", 0.11, partial(flames_error, letkf))
    yield row(two, "climatology", 0.93, partial(two_scales_error, two_scales_climatology))
    finite = partial(two_scales_error, partial(two_scales_finite, 20))
    yield row(two, "EnKF-N N=20", 0.27, finite)
    letkf = partial(ocean_letkf, 25, 1.04, 10.0)
    yield row("quasi-geostrophic", "LETKF N=25 1.04 r=10", 0.64, partial(ocean_error, letkf))
