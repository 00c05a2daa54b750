"""Largest Lyapunov exponents by the tangent map, beside published ones."""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.anchors.checks import Check, Measured, mean_of
from dalib.integrate import RK4
from dalib.lyapunov import lyapunov_spectrum
from dalib.streams import normal_like, stream
from dalib.systems.lorenz import Lorenz63, Lorenz96

SCHOTZ = "Schötz and Boers 2025, arXiv 2507.09652"
NOT_CLOSER = 0.01  # their intervals for Lorenz-96 are narrower than two independent codes agree
ORBITS = 400


def checks() -> Iterator[Check]:
    """Lorenz-63, and Lorenz-96 of five to eight sites."""
    yield _check("Lorenz-63", 0.90642, Lorenz63(), [0.0, 1.0, 25.0], 0.01, 400.0)
    for size, published in ((5, 0.46705), (6, 0.94633), (7, 1.26520), (8, 1.59180)):
        start = [8.0] * (size - 1) + [8.5]
        name = f"Lorenz-96, F = 8, {size} sites"
        yield _check(name, published, Lorenz96(size, 8.0), start, 0.02, 200.0)


def _check(
    name: str, published: float, system, start: list[float], dt: float, span: float
) -> Check:
    return Check(
        "Lyapunov exponents",
        f"largest exponent of {name}, per time unit",
        published,
        SCHOTZ,
        lambda: exponent(system, start, dt, span),
        cost=40,
    )


def exponent(system, start: list[float], dt: float, span: float) -> Measured:
    """The mean over many orbits, each of `span` time units after 40 to reach the attractor."""
    x = torch.tensor(start, dtype=torch.float64).expand(ORBITS, -1)
    x = x + 0.5 * normal_like(x, stream("exponents"))
    method = RK4(dt)
    x = RK4(dt, round(40 / dt)).flow(system)(x)
    count = round(span / dt) // 10 * 10
    found = lyapunov_spectrum(
        method.tangent(system), x, count, 10, interval=dt, discard=round(10 / dt) // 10 * 10
    )
    mean, interval, _ = mean_of(np.asarray(found[:, 0]))
    note = f"{ORBITS} orbits of {span:g} time units, RK4 with step {dt}"
    return Measured(mean, NOT_CLOSER, interval, note)
