"""Figures of the systems themselves: Lyapunov exponents, climates, conservation, orders."""

import math
from collections.abc import Callable, Iterator
from functools import cache

from torch import Tensor

from benchmarks.rows import Row
from dalib.integrate import RK4, Iterate
from dalib.lyapunov import kaplan_yorke, lyapunov_spectrum
from dalib.simulate import Start, simulate
from dalib.streams import normal, stream, streams
from dalib.systems.clohessy_wiltshire import ClohessyWiltshire
from dalib.systems.henon import Henon
from dalib.systems.lorenz import Lorenz63, Lorenz96
from dalib.systems.rossler import Rossler

SECTION = "1"
# The exponent that the flow itself makes vanish scatters by 0.004 over these run lengths, the
# smallest positive one is 0.036.
POSITIVE = 0.015


def truth(system, integrator, mean, std, seeds: int, samples: int, spinup: int) -> Tensor:
    """(seed, time, state), from N(mean, std^2) and a spin-up of so many intervals."""
    name = f"accuracy/{type(system).__name__}"
    return simulate(
        integrator.flow(system),
        Start(mean, std),
        samples,
        seeds=range(seeds),
        spinup=spinup,
        generator=streams(name, range(seeds), "truth"),
    )


def spectrum(system, integrator, mean, std, *, spinup, seeds, count, every, discard) -> Tensor:
    """(seed, state), Lyapunov exponents in descending order."""
    x0 = truth(system, integrator, mean, std, seeds, 0, spinup)[:, -1]
    return lyapunov_spectrum(
        integrator.tangent(system),
        x0,
        count,
        every,
        interval=integrator.interval,
        discard=discard,
    )


@cache
def lorenz63_spectrum() -> Tensor:
    """64 seeds, 200 time units each."""
    return spectrum(
        Lorenz63(),
        RK4(0.01),
        [0, 0, 25],
        5.0,
        spinup=1000,
        seeds=64,
        count=20_000,
        every=10,
        discard=500,
    )


@cache
def henon_spectrum() -> Tensor:
    """64 seeds, 100 000 steps each."""
    return spectrum(
        Henon(),
        Iterate(),
        [0.1, 0.1],
        0.05,
        spinup=100,
        seeds=64,
        count=100_000,
        every=4,
        discard=100,
    )


@cache
def lorenz96_spectrum() -> Tensor:
    """16 seeds, 1000 time units each."""
    return spectrum(
        Lorenz96(),
        RK4(0.05),
        [8.0] * 40,
        1.0,
        spinup=400,
        seeds=16,
        count=20_000,
        every=5,
        discard=200,
    )


@cache
def lorenz63_climate() -> Tensor:
    """(seed, 5000, state), 500 time units of each of 64 seeds."""
    return truth(Lorenz63(), RK4(0.01, 10), [0, 0, 25], 5.0, 64, 5000, 100)


@cache
def lorenz96_climate() -> Tensor:
    """(seed, 1000, state), 100 time units of each of 64 seeds."""
    return truth(Lorenz96(), RK4(0.05, 2), [8.0] * 40, 1.0, 64, 1000, 100)


def energy_of_the_advection() -> Tensor:
    """(seed,), |x . advection| / |x|^3 of random states: round-off where energy is conserved."""
    x = 5 * normal((16, 40), streams("accuracy/advection", range(16), "states"))
    advection = Lorenz96(forcing=0.0).drift(x) + x
    return (x * advection).sum(-1).abs() / x.norm(dim=-1) ** 3


def order_of_rk4(system) -> Tensor:
    """(seed,), log2 of the ratio of errors with a step and with half of it, over 0.4 time units."""
    x0 = 3 * normal((16, system.size), stream("accuracy/order", type(system).__name__))

    def end(steps: int) -> Tensor:
        return RK4(0.4 / steps, steps).flow(system)(x0)

    exact = end(4096)
    coarse, fine = ((end(steps) - exact).norm(dim=-1) for steps in (64, 128))
    return (coarse / fine).log2()


def lorenz63() -> Iterator[Row]:
    def row(quantity: str, expected: float, tolerance: float, measure: Callable) -> Row:
        return Row(SECTION, "Lorenz-63", quantity, expected, tolerance, measure)

    for i, (value, tolerance) in enumerate(((0.906, 0.01), (0.0, 0.01), (-14.57, 0.02))):
        yield row(f"exponent {i + 1}", value, tolerance, lambda i=i: lorenz63_spectrum()[:, i])
    yield row("sum of exponents", -13 - 2 / 3, 1e-3, lambda: lorenz63_spectrum().sum(-1))
    yield row("Kaplan-Yorke dimension", 2.062, 0.005, lambda: kaplan_yorke(lorenz63_spectrum()))
    yield row("mean of z", 23.55, 0.005 * 23.55, lambda: lorenz63_climate()[..., 2].mean(-1))
    for i, (name, value) in enumerate((("x", 7.93), ("y", 9.01), ("z", 8.62))):
        yield row(
            f"standard deviation of {name}",
            value,
            0.01 * value,
            lambda i=i: (
                lorenz63_climate()[..., i].square().mean(-1).sqrt()
                if i < 2  # their mean is 0 by symmetry
                else lorenz63_climate()[..., i].std(-1)
            ),
        )


def henon() -> Iterator[Row]:
    def row(quantity: str, expected: float, tolerance: float, measure: Callable) -> Row:
        return Row(SECTION, "Hénon", quantity, expected, tolerance, measure)

    for i, value in enumerate((0.4192, -1.6232)):
        yield row(f"exponent {i + 1}", value, 1e-3, lambda i=i: henon_spectrum()[:, i])
    yield row("sum of exponents", math.log(0.3), 1e-6, lambda: henon_spectrum().sum(-1))
    yield row("Kaplan-Yorke dimension", 1.258, 1e-3, lambda: kaplan_yorke(henon_spectrum()))


def lorenz96() -> Iterator[Row]:
    def row(quantity: str, expected: float, tolerance: float, measure: Callable) -> Row:
        return Row(SECTION, "Lorenz-96, d = 40", quantity, expected, tolerance, measure)

    yield row("largest exponent", 1.68, 0.03, lambda: lorenz96_spectrum()[:, 0])
    yield row("positive exponents", 13, 0, lambda: (lorenz96_spectrum() > POSITIVE).sum(-1))
    yield row("Kaplan-Yorke dimension", 27.1, 0.4, lambda: kaplan_yorke(lorenz96_spectrum()))
    yield row("sum of exponents", -40, 0.05, lambda: lorenz96_spectrum().sum(-1))
    yield row("mean", 2.34, 0.005 * 2.34, lambda: lorenz96_climate().mean((1, 2)))
    yield row("standard deviation", 3.64, 0.005 * 3.64, lambda: lorenz96_climate().std((1, 2)))
    yield row("energy made by advection, relative", 0, 1e-15, energy_of_the_advection)


def orders() -> Iterator[Row]:
    for system in (Lorenz63(), Lorenz96(), Rossler(), ClohessyWiltshire(0.4)):
        name = type(system).__name__
        yield Row(SECTION, name, "order of RK4", 4, 0.1, lambda s=system: order_of_rk4(s))


def rows() -> Iterator[Row]:
    """All figures of the systems."""
    yield from lorenz63()
    yield from henon()
    yield from lorenz96()
    yield from orders()
