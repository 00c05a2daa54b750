"""A competitor in an environment of its own, run turn by turn with ours on the same machine.

Each turn measures CPU seconds of one thread, and ratios are taken within a turn: whatever else
the machine does weighs on both.
"""

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Turn(NamedTuple):
    """Microseconds per seed and cycle, and the error of each seed."""

    microseconds: float
    errors: list[float]


def environment(name: str) -> Path:
    """The Python of `.benchenv/<name>`, made from `requirements-<name>.txt` when missing."""
    directory = HERE.parent / ".benchenv" / name
    python = directory / "bin" / "python"
    installed = directory / ".ok"
    if not installed.exists():
        print(f"installing {directory}", file=sys.stderr)
        venv.create(directory, with_pip=True, clear=True)
        requirements = HERE / f"requirements-{name}.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
        installed.touch()
    return python


class Peer:
    """`peer_<script>.py`, which answers each line of JSON (keyword arguments) with a `Turn`.

    It runs in the environment `name`, and is called like that where no script is given.
    """

    def __init__(self, name: str, script: str | None = None):
        self.process = subprocess.Popen(
            [environment(name), "-W", "ignore", HERE / f"peer_{script or name}.py"],
            env=os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, **arguments) -> Turn:
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        lines = self.process.stdout  # packages print messages of their own
        answer = next((line for line in lines if line.startswith("{")), None)
        if answer is None:
            raise RuntimeError(f"{self.process.args[-1]} ended with {self.process.wait()}")
        return Turn(**json.loads(answer))


def compare(ours: Callable[[int], Turn], theirs: Callable[[int], Turn], pairs: int, target: float):
    """Print each turn and the median ratio; True when it reaches the target."""
    print("| turn | theirs, us per seed and cycle | ours | ratio | RMSE theirs | ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratios, errors = [], ([], [])
    for turn in range(pairs):
        other, own = theirs(turn), ours(turn)
        ratios.append(other.microseconds / own.microseconds)
        for all_errors, new in zip(errors, (other.errors, own.errors), strict=True):
            all_errors.extend(new)
        medians = (statistics.median(values) for values in (other.errors, own.errors))
        cells = (other.microseconds, own.microseconds, ratios[-1])
        print(
            f"| {turn + 1} |",
            *(f"{value:.1f} |" for value in cells),
            *(f"{value:.4f} |" for value in medians),
            flush=True,
        )
    ratio = statistics.median(ratios)
    their_error, our_error = (statistics.median(values) for values in errors)
    print(
        f"\nratio {ratio:.2f} (median of {pairs} turns; {min(ratios):.2f} ... {max(ratios):.2f}), "
        f"target {target:g}\nmedian RMSE {their_error:.4f} ({len(errors[0])} seeds), "
        f"ours {our_error:.4f} ({len(errors[1])} seeds)"
    )
    return ratio >= target
