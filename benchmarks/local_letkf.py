"""Local LETKF of a large field against DAPPER's: CPU time of one analysis, and the same members.

    python -m benchmarks.local_letkf

A map of 150 x 150 points with three variables, every 15th point observed (300 values), N = 20,
Gaspari-Cohn with half-support 1.5 sensor spacings, at most 61 observations a column, one thread.
Both sides have the same members, observations, local observations and weights, so that the result
is the same but for rounding: DAPPER transforms the three components of a column after a singular
value decomposition, one column after the other; ours all columns of a block at once.

Neighbours are searched once for a filter, not at each analysis; the search stands in the last line
and DAPPER is given its result. The target is that of float64, as DAPPER computes.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.peer import Peer, Turn
from dalib.filters import Ensemble
from dalib.filters.letkf import LETKF
from dalib.localise import Localisation, on_map
from dalib.memory import keep_freed_memory
from dalib.observe import EveryKth
from dalib.streams import normal, stream

SHAPE, EVERY, MEMBERS, MOST, ERROR = (3, 150, 150), 15, 20, 61, 0.1
RADIUS = 1.5 * EVERY / 1.82
TARGET, AGREEMENT = 12.0, 1e-8  # times faster; largest difference of any member


def smooth(count: int, name: str) -> Tensor:
    """(count, state), fields of unit variance, correlated over about a sensor spacing."""
    waves = [torch.fft.fftfreq(n, dtype=torch.float64) for n in SHAPE[1:]]
    squared = waves[0][:, None] ** 2 + waves[1] ** 2
    noise = normal((count, *SHAPE), stream("bench", "local", name))
    fields = torch.fft.ifft2(torch.fft.fft2(noise) * torch.exp(-2 * (30 * squared.sqrt()) ** 2))
    return (fields.real / fields.real.std()).flatten(1)


class Problem:
    """One analysis, for ours and as a file."""

    def __init__(self):
        operator = EveryKth(SHAPE, EVERY)
        self.truth, *members = smooth(1 + MEMBERS, "fields")
        self.E = torch.stack(members)
        y = operator(self.truth)
        self.y = y + ERROR * normal(tuple(y.shape), stream("bench", "local", "errors"))
        self.filter = LETKF(
            step=lambda x: x,
            observe=operator,
            obs_std=ERROR,
            members=MEMBERS,
            localisation=Localisation(on_map(SHAPE), RADIUS),
            most=MOST,
        )

    def search(self, dtype: torch.dtype) -> float:
        """CPU seconds to find all neighbours, once."""
        begin = time.process_time()
        self.filter._patches(self.E.to(dtype))
        return time.process_time() - begin

    def analysed(self, dtype: torch.dtype) -> tuple[Turn, Tensor]:
        """The time per column and the error, and all members."""
        E, y = Ensemble(self.E.to(dtype)), self.y.to(dtype)
        begin = time.process_time()
        analysis = self.filter.analyse(E, y, None)
        seconds = time.process_time() - begin
        error = (analysis.mean - self.truth).square().mean().sqrt().item()
        return Turn(seconds / (SHAPE[1] * SHAPE[2]) * 1e6, [error]), analysis.members

    def save(self, path: Path) -> None:
        """With the local observations of each column, one column after the other."""
        columns, seen, taper = [], [], []
        for patch in self.filter._patches(self.E):
            columns += patch.components.T.unbind()
            for rho in patch.taper.T:
                seen.append(patch.seen[rho > 0])
                taper.append(rho[rho > 0])
        np.savez(
            path,
            truth=self.truth,
            ensemble=self.E,
            predicted=self.filter.observe(self.E),
            y=self.y,
            obs_std=ERROR,
            columns=torch.stack(columns),
            seen=torch.cat(seen),
            taper=torch.cat(taper),
            first=np.cumsum([0, *map(len, seen)]),
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="turns; the median ratio counts")
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    keep_freed_memory()
    problem, dapper = Problem(), Peer("dapper", "dapper_letkf")
    searched = [problem.search(dtype) for dtype in (torch.float64, torch.float32)]
    problem.analysed(torch.float64)  # warms up
    print(
        "| turn | theirs, us per column | ours | ratio | ours, float32 | largest difference "
        "| float32 | RMSE theirs | ours |\n" + 9 * "| --- " + "|"
    )
    ratios, agree = [], True
    with tempfile.TemporaryDirectory() as directory:
        given, made = Path(directory, "problem.npz"), Path(directory, "result.npy")
        problem.save(given)
        for turn in range(pairs):
            theirs = dapper(problem=str(given), result=str(made))
            (ours, E), (single, E_single) = map(problem.analysed, (torch.float64, torch.float32))
            expected = torch.from_numpy(np.load(made))
            apart, apart_single = ((x - expected).abs().max().item() for x in (E, E_single))
            ratios.append(theirs.microseconds / ours.microseconds)
            agree &= apart <= AGREEMENT
            print(
                f"| {turn + 1} | {theirs.microseconds:.1f} | {ours.microseconds:.1f} "
                f"| {ratios[-1]:.1f} | {single.microseconds:.1f} | {apart:.0e} "
                f"| {apart_single:.0e} | {theirs.errors[0]:.4f} | {ours.errors[0]:.4f} |",
                flush=True,
            )
    ratio = statistics.median(ratios)
    print(
        f"\nratio {ratio:.1f} (median of {pairs} turns; {min(ratios):.1f} ... {max(ratios):.1f}), "
        f"target {TARGET:g}: {'PASS' if ratio >= TARGET else 'MISSED'}\n"
        f"the same members within {AGREEMENT:g}: {'PASS' if agree else 'MISSED'}\n"
        f"search of neighbours, once: {searched[0]:.2f} CPU s"
    )
    return 0 if ratio >= TARGET and agree else 1


if __name__ == "__main__":
    sys.exit(main())
