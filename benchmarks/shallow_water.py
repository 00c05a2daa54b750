"""A step of shallow water against plain numpy and plain tensors: CPU time per step and member.

    python -m benchmarks.shallow_water

A basin of 150 x 150 points, on one thread. numpy steps one member through whole arrays: as the
published solver does, in float64, the upwind flux through each face computed for the cells on both
of its sides; and leaner, each flux once, in the precision of ours. Tensors are those of the
differentiable step, all members at once. Ours advances the members 40 steps at a time in place, and
for comparison one step at a time. Members are noisy, a forecast after its first cycle, or smooth,
bumps left to themselves: signs without order cost numpy's `where` much time.

The target is that of ours in float32, as the experiment runs, to numpy as published.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dalib.memory import keep_freed_memory
from dalib.streams import normal, stream, uniform
from dalib.systems.shallow_water import Bump, ShallowWater

MEMBERS, STEPS = 20, 40
TARGET = 5.0


def noisy(system: ShallowWater) -> Tensor:
    """(member, size), the bump and noise that ensembles start from, one cycle later."""
    bump = Bump(system, centre=(5e5, 1e6 / 3), noise_std=0.05)
    noise = normal((MEMBERS, bump.normals), stream("bench", "noise"))
    return system.advance(bump.states(torch.empty(MEMBERS, 0), noise), STEPS)


def smooth(system: ShallowWater) -> Tensor:
    """(member, size), one bump each, ten cycles later."""
    bump = Bump(system)
    places = uniform((MEMBERS, bump.uniforms), stream("bench", "places"))
    return system.advance(bump.states(places, normal((MEMBERS, 0), None)), 10 * STEPS)


def numpy_steps(system: ShallowWater, x: np.ndarray, steps: int, twice: bool = True) -> np.ndarray:
    """(3, x, y) -> (3, x, y), in the precision of x; each flux is computed once or twice."""
    number = x.dtype.type
    g, H, c = number(system.gravity), number(system.depth), number(system.dt / system.dx)
    f = system.coriolis + system.beta * system.coordinates.numpy()
    a = (f * system.dt).astype(number)
    b = a**2 / 4

    def flux(speed, behind, ahead):
        return speed * np.where(speed > 0, behind + H, ahead + H)

    u, v, eta = x
    for _ in range(steps):
        west, east, south, north = eta[:-1], eta[1:], eta[:, :-1], eta[:, 1:]
        u_star, v_star = u.copy(), v.copy()
        u_star[:-1] -= g * c * (east - west)
        v_star[:, :-1] -= g * c * (north - south)
        u, v = (u_star - b * u + a * v) / (1 + b), (v_star - b * v - a * u) / (1 + b)
        u[-1], v[:, -1] = 0, 0

        leaving_x, leaving_y = flux(u[:-1], west, east), flux(v[:, :-1], south, north)
        entering_x = flux(u[:-1], west, east) if twice else leaving_x
        entering_y = flux(v[:, :-1], south, north) if twice else leaving_y
        outflow = np.zeros_like(eta)
        outflow[:-1] += leaving_x
        outflow[1:] -= entering_x
        outflow[:, :-1] += leaving_y
        outflow[:, 1:] -= entering_y
        eta = eta - c * outflow
    return np.stack((u, v, eta))


def tensor_steps(system: ShallowWater, x: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        x = system.differentiable_step(x)
    return x


def single_steps(system: ShallowWater, x: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        x = system.step(x)
    return x


def microseconds(run: Callable[[], object], steps: int) -> float:
    """CPU time of a run per step and member."""
    begin = time.process_time()
    run()
    return (time.process_time() - begin) / steps * 1e6


def turn(system: ShallowWater, x: Tensor) -> tuple[float, ...]:
    """Microseconds per step and member: numpy as published, leaner, tensors, single steps, ours."""
    one, work = x[0].reshape(system.shape).numpy(), STEPS * MEMBERS
    published = one.astype(np.float64)
    return (
        microseconds(lambda: numpy_steps(system, published, 3 * STEPS), 3 * STEPS),
        microseconds(lambda: numpy_steps(system, one, 3 * STEPS, twice=False), 3 * STEPS),
        microseconds(lambda: tensor_steps(system, x, STEPS // 4), work // 4),
        microseconds(lambda: single_steps(system, x, STEPS // 2), work // 2),
        microseconds(lambda: system.advance(x, STEPS), work),
    )


def compared(system: ShallowWater, name: str, x: Tensor, pairs: int) -> bool:
    """Print the medians over the turns; True when the ratio that has a target reaches it."""
    expected = numpy_steps(system, x[0].double().reshape(system.shape).numpy(), STEPS)
    error = abs(system.advance(x, STEPS)[0].reshape(system.shape).numpy() - expected).max()
    turns = [turn(system, x) for _ in range(pairs + 1)][1:]  # the first warms up
    published, lean, tensors, single = (
        statistics.median(t[i] / t[-1] for t in turns) for i in range(4)
    )
    verdict = "-"
    if x.dtype == torch.float32:
        verdict = "PASS" if published >= TARGET else "MISSED"
    print(
        f"| {name}, {str(x.dtype).removeprefix('torch.')} |",
        *(f"{statistics.median(times):.0f} |" for times in zip(*turns, strict=True)),
        f"{published:.1f} | {lean:.1f} | {tensors:.1f} | {single:.1f} | {verdict} | {error:.0e} |",
        flush=True,
    )
    return verdict != "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="turns; the median ratio counts")
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    keep_freed_memory()
    system = ShallowWater()
    print(
        "| members | numpy as published, us | leaner numpy | tensors | ours, single steps | ours "
        f"| ratio to numpy as published, target {TARGET:g} | to leaner numpy | to tensors "
        "| to single steps | verdict | largest difference, m or m/s |\n" + 12 * "| --- " + "|"
    )
    passed = [
        compared(system, start.__name__, start(system).to(dtype), pairs)
        for start in (noisy, smooth)
        for dtype in (torch.float32, torch.float64)
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
