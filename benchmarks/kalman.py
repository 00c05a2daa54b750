"""Kalman filter and RTS smoother against filterpy and pykalman: CPU time, of equal results.

    python -m benchmarks.kalman

A target in the plane with constant velocity, four components of which the two positions are seen at
200 times, in float64 on one thread. The others smooth one series at a time, dalib 64 at once too.
First all smoothed means are compared. RTS goes from time to time, ParallelRTS by scans over them.
"""

import argparse
import statistics
import sys
import time

import torch
from torch import Tensor

from benchmarks.peer import Peer
from dalib.filters import Gaussian
from dalib.memory import keep_freed_memory
from dalib.observe import Linear
from dalib.smoothers import smooth
from dalib.smoothers.parallel import ParallelRTS
from dalib.smoothers.rts import RTS
from dalib.streams import normal, streams

TIMES, MANY = 200, 64
AGREE = 1e-8
MOST, LEAST = 1.5, 7.0  # times as slow for one series; as fast a series for 64
PAIR = torch.eye(2).double()
F = torch.kron(torch.tensor([[1.0, 0.1], [0.0, 1.0]]).double(), PAIR)
Q = torch.kron(torch.tensor([[1e-3 / 3, 5e-3], [5e-3, 0.1]]).double(), PAIR)
H = torch.kron(torch.tensor([[1.0, 0.0]]).double(), PAIR)
OBS_STD = 0.5
PRIOR = Gaussian(torch.zeros(4).double(), torch.eye(4).double())
MODEL = {"matrix": F, "noise_cov": Q, "observe": Linear(H), "obs_std": OBS_STD}
OURS = {"RTS": RTS(**MODEL), "ParallelRTS": ParallelRTS(**MODEL)}


def observations(seeds: int) -> Tensor:
    """(seed, time, 2) of true tracks."""
    x, states = normal((seeds, 4), streams("kalman", range(seeds), "start")), []
    noise = normal((seeds, TIMES, 4), streams("kalman", range(seeds), "noise"))
    for q in (noise @ torch.linalg.cholesky(Q).T).unbind(1):
        x = x @ F.T + q
        states.append(x)
    y = torch.stack(states, 1) @ H.T
    return y + OBS_STD * normal(tuple(y.shape), streams("kalman", range(seeds), "errors"))


def ours(name: str, y: Tensor) -> tuple[float, Tensor]:
    """Microseconds a series and time, and the means of the last series."""
    begin = time.process_time()
    found = smooth(OURS[name], PRIOR, y)
    seconds = time.process_time() - begin
    return seconds / (len(y) * TIMES) * 1e6, found.mean[-1].flatten()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="of which the medians count")
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    keep_freed_memory()
    peer = Peer("kalman")
    model = {"F": F, "Q": Q, "H": H, "R": OBS_STD**2 * PAIR, "mean": PRIOR.mean, "cov": PRIOR.cov}
    model = {name: value.tolist() for name, value in model.items()}
    series = {1: observations(1), MANY: observations(MANY)}
    times = {}
    for turn in range(turns + 1):  # the first warms up, and is compared
        for seeds, y in series.items():
            found = {name: ours(name, y) for name in OURS}
            for package in ("filterpy", "pykalman"):
                answer = peer(package=package, y=y.tolist(), **model)
                found[package] = answer.microseconds, F.new_tensor(answer.errors)
            for name, (microseconds, means) in found.items():
                if (off := (means - found["RTS"][1]).abs().max()) > AGREE:
                    print(f"{name} differs by {off:.2g}")
                    return 1
                if turn:
                    times.setdefault((name, seeds), []).append(microseconds)
    return _report({key: statistics.median(values) for key, values in times.items()}, turns)


def _report(times: dict[tuple[str, int], float], turns: int) -> int:
    print(f"all smoothed means agree to {AGREE:g}; us a series and time, medians of {turns} turns")
    print("| method | one series | 64 series |\n| --- | --- | --- |")
    names = list(dict.fromkeys(name for name, _ in times))
    for name in names:
        print(f"| {name} | {times[name, 1]:.1f} | {times[name, MANY]:.2f} |")
    best = {
        seeds: [min(times[n, seeds] for n in names if (n in OURS) == own) for own in (True, False)]
        for seeds in (1, MANY)
    }
    slower, faster = best[1][0] / best[1][1], best[MANY][1] / best[MANY][0]
    print(f"\none series: {slower:.2f} times the fastest other (at most {MOST:g})")
    print(f"64 series: {faster:.1f} times faster than the fastest other (at least {LEAST:g})")
    return 0 if slower <= MOST and faster >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
