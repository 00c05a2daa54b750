"""How fast one core of this machine is at what the jobs do.

python -m pipeline.speed      prints {piece of work: CPU seconds}; takes about a second
"""

import json
import sys
import time
from collections.abc import Callable

import torch

REPEATS = 3


def products() -> None:
    """Products of matrices in single precision, as in networks: 2.7e9 multiplications and sums."""
    a = torch.full((512, 512), 0.5)
    for _ in range(10):
        a @ a


def solutions() -> None:
    """Eigenvalues of many small matrices in double precision, as in ensemble filters."""
    a = torch.eye(20, dtype=torch.float64).expand(200, 20, 20) + 0.1
    for _ in range(3):
        torch.linalg.eigh(a)


def small_operations() -> None:
    """Operations on few numbers, as in steps of a model with few components."""
    x = torch.full((64, 3), 0.5, dtype=torch.float64)
    for _ in range(4000):
        x = (x * 0.9 + 0.1).tanh()


def interpreter() -> None:
    """Python alone."""
    total = 0
    for i in range(1_000_000):
        total += i & 7


PIECES: tuple[Callable[[], None], ...] = (products, solutions, small_operations, interpreter)


def measured() -> dict[str, float]:
    """{piece: CPU seconds}, the least of some repeats: what else runs here hardly counts."""
    torch.set_num_threads(1)
    return {piece.__name__: min(_timed(piece) for _ in range(REPEATS)) for piece in PIECES}


def _timed(piece: Callable[[], None]) -> float:
    begin = time.process_time()
    piece()
    return time.process_time() - begin


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured()) + "\n")
