"""Bootstrap particle filter on Lorenz-63 against `particles`: CPU time and errors.

    python -m benchmarks.particle

All three components observed every 0.05 with error 1, model noise 0.1, 1000 particles, systematic
resampling below half of them. Both sides filter the same observations and compute the mean of the
analysis, in float64 on one thread; `particles` runs one seed at a time, dalib 64 at once.
"""

import argparse
import sys
import time

import torch

from benchmarks.accuracy_filters import NOISY, prior, twin
from benchmarks.peer import Peer, Turn, compare
from dalib.filters import Gaussian, cycle
from dalib.filters.particle import BootstrapParticle
from dalib.memory import keep_freed_memory
from dalib.streams import streams

MEMBERS, SEEDS, CYCLES, DISCARD = 1000, 64, 200, 50
TARGET = 2.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8, help="turns; the median ratio counts")
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    keep_freed_memory()
    truth, y = twin(NOISY, SEEDS, CYCLES - NOISY.burn_in)
    start = Gaussian(truth[:, 0], prior(NOISY).cov)
    particles, each = Peer("particles"), SEEDS // pairs

    def theirs(turn: int) -> Turn:
        some = slice(turn * each, (turn + 1) * each)
        return particles(
            truth=truth[some].tolist(),
            observations=y[some].tolist(),
            members=MEMBERS,
            discard=DISCARD,
            dt=NOISY.dt,
            steps=NOISY.steps,
            prior_std=NOISY.start_variance**0.5,
            noise_std=NOISY.model_noise_std,
            error_std=NOISY.obs_std,
        )

    def ours(turn: int) -> Turn:
        filter = BootstrapParticle(
            **NOISY.supplied, members=MEMBERS, model_error_std=NOISY.model_noise_std
        )
        generator = streams("bench", range(SEEDS), f"particles {turn}")
        begin = time.process_time()
        means = [analysis.mean for _, analysis in cycle(filter, start, y, generator)]
        seconds = time.process_time() - begin
        errors = (torch.stack(means, 1) - truth)[:, DISCARD:].square().mean((1, 2)).sqrt()
        return Turn(seconds / SEEDS / CYCLES * 1e6, errors.tolist())

    return 0 if compare(ours, theirs, pairs, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
