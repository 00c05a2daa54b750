"""Every system and filter against the figures that a correct implementation must meet.

    python -m benchmarks.accuracy                    all sections, twenty CPU minutes
    python -m benchmarks.accuracy --section 1 2      systems; linear-Gaussian identities
    python -m benchmarks.accuracy --only LETKF --csv results/accuracy.csv

The median over seeds is compared with the reference. The exit status is 1 when a row fails.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import (
    accuracy_ensembles,
    accuracy_fields,
    accuracy_filters,
    accuracy_linear,
    accuracy_smoothers,
    accuracy_systems,
)
from benchmarks.rows import HEADER, RULE, Row, line, run, write_csv
from dalib import io


def rows() -> Iterator[Row]:
    """All figures, in the order of the sections."""
    yield from accuracy_systems.rows()
    yield from accuracy_linear.rows()
    yield from accuracy_filters.rows()
    yield from accuracy_smoothers.rows()
    yield from accuracy_fields.rows()
    yield from accuracy_ensembles.rows()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", nargs="*", default=[""], help="sections, e.g. 1 2 3a")
    parser.add_argument("--only", default="", help="rows whose setting or method contains this")
    parser.add_argument("--csv", type=Path, help="also write the table there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    io.print_anything(sys.stdout)
    print(HEADER, RULE, sep="\n", flush=True)
    outcomes = []
    for row in rows():
        wanted = row.section.startswith(tuple(options.section))
        if wanted and options.only in f"{row.setting} {row.method}":
            outcomes.append(run(row))
            print(line(outcomes[-1]), flush=True)
    if options.csv:
        write_csv(outcomes, options.csv)
    failed = sum(outcome.verdict != "holds" for outcome in outcomes)
    minutes = sum(outcome.cpu_seconds for outcome in outcomes) / 60
    print(f"\n{len(outcomes) - failed} of {len(outcomes)} hold; {minutes:.1f} CPU minutes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
