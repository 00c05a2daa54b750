"""The ensemble score filter: in blocks against whole arrays, and one analysis of a million.

    python -m benchmarks.ensf                # some seconds: blocks against whole arrays, scaling
    python -m benchmarks.ensf --million      # also d = 1e6: time and memory, up to two minutes

Members N = 20, K = 100 steps, all components observed, by an arctangent where nothing else is said,
float32, one thread. "Whole arrays" is the sampler as its equations are written, each operation on
all components and into new memory; "every step" is ours with `composed=False`.

What is seen as it is takes all steps at once, and the target is for that. Step by step a block
needs random numbers, 2.7 ns a component, and perhaps an arctangent, 2.5 ns, as whole arrays do:
of 4 and 7.5 ns in all, so that three times is out of reach there.
"""

import argparse
import resource
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from dalib.filters import Ensemble
from dalib.filters.ensf import EnSF
from dalib.filters.ensf_sampler import Diffusion, damping
from dalib.observe import Arctan, Identity
from dalib.streams import normal, stream

MEMBERS, ERROR = 20, 0.1
FULL, MILLION, FEW = 67_500, 1_000_000, 10_000
FASTER, CONSTANT, MEMORY = 3.0, 0.20, 1024  # targets: factor, share, MiB beyond the ensemble


def filter(observe, composed: bool = True) -> EnSF:
    return EnSF(step=lambda x: x, observe=observe, obs_std=ERROR, scale=1.0, composed=composed)


def problem(size: int, observe) -> tuple[Ensemble, Tensor]:
    """Members and an observation."""
    truth = 3 * normal((size,), stream("bench", "truth"), torch.float32)
    E = truth + normal((MEMBERS, size), stream("bench", "members"), torch.float32)
    error = ERROR * normal((size,), stream("bench", "errors"), torch.float32)
    return Ensemble(E), observe(truth) + error


def whole(E: Tensor, pull: Callable[[Tensor], Tensor]) -> Tensor:
    """The analysis as the equations are written, on whole arrays."""
    diffusion, generator = Diffusion(), stream("bench", "whole")
    z = torch.randn(E.shape, generator=generator)
    delta = 1 / diffusion.steps
    for i in range(diffusion.steps):
        tau = 1 - i * delta
        alpha, beta2 = diffusion.alpha(tau), diffusion.variance(tau)
        f, g2 = diffusion.rate(tau), diffusion.noise_variance(tau)
        s = -(z - alpha * E) / beta2 + damping(tau) * pull(z)
        s = torch.clip(s, -1000, 1000)
        xi = torch.randn(z.shape, generator=generator)
        z = z - delta * (f * z - g2 * s) + (delta * g2) ** 0.5 * xi
    return z


def score(observe, y: Tensor) -> Callable[[Tensor], Tensor]:
    """∇ log p(y | z)."""
    if isinstance(observe, Identity):
        return lambda z: (y - z) / ERROR**2
    return lambda z: (y - torch.atan(z)) / ERROR**2 / (1 + z**2)


def seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def analysed(size: int, observe, composed: bool = True) -> float:
    """CPU seconds of one analysis."""
    belief, y = problem(size, observe)
    ensf = filter(observe, composed)
    return seconds(lambda: ensf.analyse(belief, y, stream("bench", "blocks")))


def blocks_against_whole(pairs: int) -> bool:
    """Turn about, medians."""
    faster = {}
    for observe in (Identity(FULL), Arctan()):
        (E,), y = problem(FULL, observe)
        took = {"at once": [], "every step": [], "whole": []}
        for _ in range(pairs):
            took["at once"].append(analysed(FULL, observe))
            took["every step"].append(analysed(FULL, observe, composed=False))
            took["whole"].append(seconds(partial(whole, E, score(observe, y))))
        name, arrays = type(observe).__name__, median(took.pop("whole"))
        for how in ("at once", "every step")[isinstance(observe, Arctan) :]:
            blocks = median(took[how])
            faster[name, how] = arrays / blocks
            print(
                f"d = {FULL}, {name}: {blocks:.3f} CPU s in blocks, {how}, {arrays:.2f} s in whole "
                f"arrays, {faster[name, how]:.1f} times (target {FASTER:g})"
            )
    return faster["Identity", "at once"] >= FASTER


def scaling(size: int) -> bool:
    """CPU time of a component at d = 1e4 and at `size`, the least of several."""
    few = min(analysed(FEW, Arctan()) for _ in range(5)) / FEW
    many = min(analysed(size, Arctan()) for _ in range(1 if size == MILLION else 3)) / size
    print(f"us a component: {1e6 * few:.2f} at d = {FEW}, {1e6 * many:.2f} at d = {size}")
    return abs(many / few - 1) <= CONSTANT


def million() -> bool:
    """One analysis with a million components: time, and memory beyond that before it."""
    belief, y = problem(MILLION, Arctan())
    took, beyond = watched(lambda: filter(Arctan()).analyse(belief, y, stream("bench", "million")))
    size = belief.members.numel() * 4 / 2**20
    print(f"d = {MILLION}: {took:.1f} CPU s, {beyond:.0f} MiB beyond an ensemble of {size:.0f}")
    return beyond <= MEMORY


def watched(call: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of a call, and the most MiB that the process held beyond those before it."""
    before = peak = _resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        took = seconds(call)
    finally:
        done.set()
        watcher.join()
    return took, peak - before


def _resident() -> float:
    """MiB that the process holds now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="turns; the median ratio counts")
    parser.add_argument("--million", action="store_true", help="also one analysis at d = 1e6")
    options = parser.parse_args()
    torch.set_num_threads(1)
    passed = [blocks_against_whole(options.pairs)]
    if options.million:
        passed += [million(), scaling(MILLION)]
    else:
        passed.append(scaling(FULL))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
