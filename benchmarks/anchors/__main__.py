"""Numbers that others published, measured here.

    python -m benchmarks.anchors                         what needs no data of others, minutes
    python -m benchmarks.anchors --data FOLDER           the series and results of dysts too
    python -m benchmarks.anchors --download              fetched once, checked by their sha256
    python -m benchmarks.anchors --only "n = 1024"       some
    python -m benchmarks.anchors --all                   also what costs minutes a check

The exit status is 1 when a check is not met.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.anchors import (
    ctf,
    dapper,
    download,
    dysts,
    exponents,
    page,
    polynomials,
    reservoirs,
)
from benchmarks.anchors.checks import NOT_MET, Check, run
from dalib import io

LONG = 60.0  # CPU seconds of a check that is left to --all


def checks(data: Path | None = None, matrices: Path | None = None) -> Iterator[Check]:
    """All, the cheap sources first."""
    yield from reservoirs.checks()
    yield from ctf.checks(matrices)
    yield from dysts.checks(data)
    yield from exponents.checks()
    yield from polynomials.checks()
    yield from dapper.checks()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with the files of dysts")
    parser.add_argument("--download", action="store_true", help="fetch them to results/data/dysts")
    parser.add_argument("--ctf", type=Path, help="folder with X1test.mat ... of CTF for Science")
    parser.add_argument("--only", default="", help="checks whose group or name has this")
    parser.add_argument("--all", action="store_true", help="also those that cost minutes each")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the outputs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    io.print_anything(sys.stdout)
    for folder in (options.data, options.ctf):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    data = download.fetch() if options.download else options.data
    chosen = [
        check
        for check in checks(data, options.ctf)
        if re.search(re.escape(options.only), f"{check.group} {check.name}")
        and (options.all or check.cost <= LONG)
    ]
    if not chosen:
        parser.error(f'no check has "{options.only}" in its group or name')
    outcomes = []
    for check in tqdm(chosen, unit="check", disable=not sys.stderr.isatty()):
        outcomes.append(run(check))
        tqdm.write(page.line(outcomes[-1]))
    page.write(outcomes, options.out)
    print(f"\n{page.summary(outcomes)}; see {options.out}/anchors.html")
    return 1 if any(outcome.verdict == NOT_MET for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
