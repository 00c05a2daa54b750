"""How long a workflow of 10,000 jobs takes before its first job, and when nothing is to do.

    python -m benchmarks.many_jobs [--jobs 10000]

The toy project with many cases, three jobs each. One case is computed; the others are made up as
its copies: results, records and Snakemake's notes.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.toy import OUTPUTS, Toy
from pipeline import provenance


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        toy = Toy(Path(folder)).make(cases=1, size=100)
        toy.run()
        toy.make(cases=-(-jobs // len(OUTPUTS)), size=100)
        timed("dry run, one case is there", toy, "--dry-run", "--quiet", "all")
        made_up(toy)
        timed("dry run, all is there", toy, "--dry-run", "--quiet", "all")
        timed("run without work", toy)
        timed("run without work, again", toy)
    return 0


def timed(what: str, toy: Toy, *arguments: str) -> None:
    started, before = time.perf_counter(), os.times()
    code, said = toy.run(*arguments)
    took, after = time.perf_counter() - started, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    print(f"{what:28} {took:7.1f} s wall {cpu:7.1f} s CPU  exit code {code}", flush=True)
    if code or "run without" in what and "Nothing to be done" not in said:
        sys.exit(said[-3000:])


def made_up(toy: Toy) -> None:
    """Copies of all that the computed case left, under the names of the others."""
    os.chdir(toy.folder)
    outputs = [path for _, paths in toy.jobs() for path in paths if path.parent.name == "c0"]
    first = [path.relative_to(toy.folder) for path in outputs]
    cases = [name for name in json.loads(Path("config.yaml").read_text())["toy"]["cases"]]
    contents = {path: path.read_bytes() for path in first}
    records = {path: provenance.beside(path).read_text() for path in first}
    notes = {path: provenance.metadata_path(path).read_text() for path in first}
    for number, case in enumerate(cases[1:], start=1):
        for path in first:
            copy = Path(renamed(str(path), case))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(contents[path])
        for path in first:
            copy = Path(renamed(str(path), case))
            record = json.loads(renamed(records[path], case))
            if "case" in record["spec"]["config"]:
                record["spec"]["config"]["case"]["seed"] = number
            for output, entry in record["outputs"].items():
                entry |= provenance.stamp(output)
            provenance.write(provenance.beside(copy), record)
            note = json.loads(renamed(notes[path], case)) | {"params": [repr(record["spec"])]}
            provenance.metadata_path(copy).write_text(json.dumps(note))


def renamed(text: str, case: str) -> str:
    for old in ("/c0", ".c0", '"c0"'):
        text = text.replace(old, old.replace("c0", case))
    return text


if __name__ == "__main__":
    sys.exit(main())
