"""Stochastic EnKF on Lorenz-96 against DAPPER: CPU time per seed and cycle, and the errors.

    python -m benchmarks.lorenz96_enkf

The experiment of Sakov and Oke (2008): d = 40, dt 0.05, all observed with unit variance, N = 40,
inflation 1.06. Both sides do the same work: forecasts, analyses, and the errors of their means
(DAPPER's `error_only`), in float64 on one thread. DAPPER runs one seed at a time, dalib 64 at once.
"""

import argparse
import sys
import time

import torch

from benchmarks.accuracy_filters import SAKOV08, prior, twin
from benchmarks.peer import Peer, Turn, compare
from dalib.filters import cycle
from dalib.filters.enkf import EnKF
from dalib.memory import keep_freed_memory
from dalib.observe import Identity
from dalib.streams import streams

MEMBERS, INFLATION = 40, 1.06
SEEDS, CYCLES, BURN_IN = 64, 1000, 400
TARGET = 7.0


def ours(turn: int) -> Turn:
    """All seeds at once."""
    start = prior(SAKOV08)
    truth, y = twin(SAKOV08, SEEDS, CYCLES - BURN_IN)
    filter = EnKF(
        step=SAKOV08.step,
        observe=Identity(SAKOV08.system.size),
        obs_std=SAKOV08.obs_std,
        members=MEMBERS,
        inflation=INFLATION,
    )
    generator = streams("bench", range(SEEDS), f"filter {turn}")
    errors = torch.zeros(SEEDS, dtype=torch.float64)
    begin = time.process_time()
    for k, (forecast, analysis) in enumerate(cycle(filter, start, y, generator)):
        _, error = (
            (belief.mean - truth[:, k]).square().mean(-1).sqrt() for belief in (forecast, analysis)
        )
        if k >= BURN_IN:
            errors += error
    seconds = time.process_time() - begin
    return Turn(seconds / SEEDS / CYCLES * 1e6, (errors / (CYCLES - BURN_IN)).tolist())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8, help="turns; the median ratio counts")
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    keep_freed_memory()
    dapper = Peer("dapper")
    each = SEEDS // pairs

    def theirs(turn: int) -> Turn:
        return dapper(
            seeds=list(range(turn * each, (turn + 1) * each)),
            cycles=CYCLES,
            burn_in=BURN_IN,
            members=MEMBERS,
            inflation=INFLATION,
        )

    return 0 if compare(ours, theirs, pairs, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
