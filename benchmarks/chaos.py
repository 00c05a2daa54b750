"""Break a run in every way we know, run again, and see that nothing is lost or made twice.

    python -m benchmarks.chaos [--rounds 36] [--seed 1]

A round takes a copy of the toy project, finished or hardly begun, disturbs it, and runs it again as
`make` does. Then the exit code is 0, every result has the bytes of the undisturbed run and its
record, nothing half-written is there, and no job was computed of which an intact copy was left in
`results/` or in the store. Between the two runs every file under a final name is complete.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.toy import PATIENCE, Toy
from pipeline import locks, provenance

PAUSE = {"TOY_PAUSE": "0.05"}  # seconds by which every file is complete later
DISK = 16 * 2**20


@dataclass
class Round:
    """One copy of the project, the fault done to it and what was found wrong."""

    toy: Toy
    built: "Built"
    draw: random.Random
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    # -- the state before --------------------------------------------------------------------

    def unfinish(self) -> None:
        """Take away everything, or all that is known of one case."""
        if self.draw.random() < 0.5:
            for folder in ("results", ".cache", ".snakemake"):
                shutil.rmtree(self.toy.folder / folder)
            return
        case = self.draw.choice(["c0", "c1"])
        for job, paths in self.toy.jobs():
            if job.endswith(case):
                record = record_of(paths[0])
                key = record["key"]
                (self.toy.store / f"keys/{key[:2]}/{key}.json").unlink()
                for path in paths:
                    path.unlink()
                    provenance.beside(path).unlink()

    # -- processes ---------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """Living processes of this round: run, snakemake, wrapper or job."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if os.readlink(entry / "cwd") == str(self.toy.folder.resolve()):
                    words = (entry / "cmdline").read_bytes().decode().split("\0")
                    if locks.exists(int(entry.name)):
                        found[int(entry.name)] = role(words)
        return {pid: kind for pid, kind in found.items() if kind}

    def kill(self, *roles: str) -> None:
        """Run, and kill -9 the processes with these roles at a random moment."""
        process = self.toy.start(**PAUSE)
        time.sleep(2.0 + self.draw.random() * 8.0)
        until = time.time() + PATIENCE
        while process.poll() is None and time.time() < until:
            there = [pid for pid, kind in self.processes().items() if kind in roles]
            if there:
                for pid in there if len(roles) > 1 else [self.draw.choice(there)]:
                    kill(pid)
                break
            time.sleep(0.02)
        self.settle(process)

    def kill_writer(self) -> None:
        """Run, and kill -9 a process that has written half a file."""
        process = self.toy.start(**PAUSE)
        time.sleep(2.0 + self.draw.random() * 6.0)
        while process.poll() is None:
            parts = [*self.toy.results.rglob("*.part-*"), *self.toy.store.rglob("*.part-*")]
            pids = {int(p.name.rpartition(".part-")[2].partition(".")[0]) for p in parts}
            pids &= set(self.processes())
            if pids:
                kill(self.draw.choice(sorted(pids)))
                break
            time.sleep(0.002)
        self.settle(process)

    def settle(self, process: subprocess.Popen) -> None:
        """Wait for the end of snakemake; its jobs may go on."""
        until = time.time() + PATIENCE
        while set(self.processes().values()) & {"run", "snakemake"} and time.time() < until:
            process.poll()
            time.sleep(0.05)
        if not set(self.processes().values()) & {"wrapper", "job"}:
            self.said.append(process.communicate(timeout=PATIENCE)[0])

    # -- faults ------------------------------------------------------------------------------

    def fill_disk(self) -> None:
        """Run on a disk with little space, then make room."""
        ballast = self.toy.folder / "ballast"
        free = shutil.disk_usage(self.toy.folder).free
        ballast.write_bytes(b"x" * max(0, free - self.draw.choice([0, 8, 60, 200, 600]) * 1024))
        process = self.toy.start(**PAUSE)
        self.said.append(process.communicate(timeout=PATIENCE)[0])
        if process.returncode and "no space" not in self.said[-1].lower():
            self.wrong.append(f"a full disk is not named: {self.said[-1][-600:]}")
        for log in (self.toy.results / "logs").glob("*.log"):
            if "Traceback" in log.read_text():
                self.wrong.append(f"a full disk leaves a traceback in {log}")
        ballast.unlink()

    def files(self, what: str) -> list[Path]:
        """What can be damaged."""
        folder = self.toy.folder
        results = [path for _, paths in self.toy.jobs() for path in paths]
        return {
            "result": results,
            "provenance": list(map(provenance.beside, results)),
            "object": sorted(self.toy.store.glob("objects/*/*")),
            "record": sorted(self.toy.store.glob("keys/*/*")),
            "note": sorted(p for k in ("units", "runs") for p in self.toy.store.glob(f"{k}/*")),
            "metadata": sorted(
                p for p in (folder / ".snakemake/metadata").rglob("*") if p.is_file()
            ),
        }[what]

    def damage(self, what: str, quietly: bool = False) -> None:
        """Truncate, empty or flip a byte in one to three files; perhaps results are missing too."""
        files = self.files(what)
        for path in self.draw.sample(files, self.draw.randint(1, min(3, len(files)))):
            stat = path.stat()
            path.chmod(0o644)
            damaged(path, self.draw, flip_only=quietly)
            if quietly:
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if what not in ("object", "record") and self.draw.random() < 0.5:
            case = self.draw.choice(["c0", "c1"])  # intermediates alone would not come back
            for path in self.toy.results.glob(f"toy/{case}/total.txt"):
                path.unlink()
        if quietly:
            process = self.toy.call("verify")
            self.said.append(process.communicate(timeout=PATIENCE)[0])

    # -- what is left ------------------------------------------------------------------------

    def check_visible(self) -> None:
        """Every file that a killed run left under a final name is complete."""
        for _, paths in self.toy.jobs():
            for path in paths:
                if path.exists() and path.read_bytes() != self.built.bytes[name(path)]:
                    self.wrong.append(f"half a file is visible: {name(path)}")

    def intact(self) -> set[str]:
        """Jobs of which an intact copy is left, in results/ or in the store."""
        return {job for job, paths in self.toy.jobs() if self._stored(job) or self._there(paths)}

    def _stored(self, job: str) -> bool:
        record = self.toy.store / self.built.records[job]
        objects = [self.toy.store / f"objects/{sha[:2]}/{sha}" for sha in self.built.shas[job]]
        try:
            same = json.loads(record.read_text())["outputs"]
            shas = [entry["sha256"] for entry in same.values()]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return False
        return shas == self.built.shas[job] and all(
            o.exists() and hashlib.sha256(o.read_bytes()).hexdigest() == o.name for o in objects
        )

    def _there(self, paths: list[Path]) -> bool:
        for path in paths:
            if not path.exists() or path.read_bytes() != self.built.bytes[name(path)]:
                return False
            record = record_of(path)
            if not record or any(
                self.built.entry(path).get(key) != record["outputs"][name(path)].get(key)
                for key in ("sha256", "content")
            ):
                return False
        return True

    def recover(self) -> None:
        """Run again and compare with the undisturbed run."""
        intact, before = self.intact(), len(self.toy.notes())
        code, said = self.toy.run(**PAUSE)
        self.said.append(said)
        self.wait_for_orphans()
        notes = self.toy.notes()[before:]
        computed = Counter(n["job"] for n in notes if n["status"] == "computed")
        self.again += [job for job, n in computed.items() if n > 1 or job in intact]
        if code:
            self.wrong.append(f"the next run ends with {code}")
        if "Traceback" in said:
            self.wrong.append("the next run shows a traceback")
        for _, paths in self.toy.jobs():
            for path in paths:
                if not path.exists():
                    self.wrong.append(f"missing: {name(path)}")
                elif path.read_bytes() != self.built.bytes[name(path)]:
                    self.wrong.append(f"other bytes: {name(path)}")
                elif record_of(path) is None:
                    self.wrong.append(f"without provenance: {name(path)}")
        left = [*self.toy.results.rglob("*.part-*"), *self.toy.store.rglob("*.part-*")]
        self.wrong += [f"left behind: {p}" for p in left]
        if (self.toy.folder / "ballast").exists():
            self.wrong.append("ballast")

    def wait_for_orphans(self) -> None:
        until = time.time() + PATIENCE
        while self.processes() and time.time() < until:
            time.sleep(0.05)


@dataclass(frozen=True)
class Built:
    """The undisturbed project: bytes of its results, and by job its record in the store."""

    toy: Toy
    bytes: dict[str, bytes]
    records: dict[str, str]
    shas: dict[str, list[str]]

    def entry(self, path: Path) -> dict:
        found = record_of(self.toy.folder / name(path))
        return found["outputs"][name(path)]


def build(folder: Path) -> Built:
    toy = Toy(folder).make(cases=2)
    code, said = toy.run()
    if code:
        raise SystemExit(said)
    loaded = {job: record_of(paths[0]) for job, paths in toy.jobs()}
    return Built(
        toy,
        {name(path): path.read_bytes() for _, paths in toy.jobs() for path in paths},
        {job: f"keys/{r['key'][:2]}/{r['key']}.json" for job, r in loaded.items()},
        {job: [o["sha256"] for o in r["outputs"].values()] for job, r in loaded.items()},
    )


def record_of(path: Path) -> dict | None:
    """What stands beside a result, if it can be read."""
    try:
        record = json.loads(provenance.beside(path).read_text())
        record["outputs"][name(path)]["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return record


def name(path: Path) -> str:
    """`results/...` of a path in any copy."""
    parts = path.parts
    return str(Path(*parts[len(parts) - parts[::-1].index("results") - 1 :]))


def role(words: list[str]) -> str | None:
    """What a process is, by its command line."""
    line = " ".join(words)
    if "pipeline" in line:
        return "run"
    if ".snakemake/scripts/" in line:
        return "job"
    if "snakemake" in line:
        return "wrapper" if "--mode" in words or "--target-jobs" in words else "snakemake"
    return None


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def damaged(path: Path, draw: random.Random, flip_only: bool) -> None:
    """Truncate, empty or flip a byte of `path` in place."""
    content = bytearray(path.read_bytes())
    how = "flip" if flip_only else draw.choice(["flip", "truncate", "empty"])
    if how == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes({"flip": content, "truncate": content[: len(content) // 2], "empty": b""}[how])


def begun(fault: Callable[[Round], None]) -> Callable[[Round], None]:
    """A fault to a run that has still to compute."""

    def done(trial: Round) -> None:
        trial.unfinish()
        fault(trial)
        trial.check_visible()

    return done


FAULTS: dict[str, Callable[[Round], None]] = {
    "kill snakemake": begun(lambda trial: trial.kill("snakemake")),
    "kill a job": begun(lambda trial: trial.kill("job")),
    "kill a writer": begun(Round.kill_writer),
    "kill all": begun(lambda trial: trial.kill("run", "snakemake", "wrapper", "job")),
    "kill snakemake and run": begun(lambda trial: trial.kill("run", "snakemake")),
    "kill the run verb": begun(lambda trial: trial.kill("run")),
    "full disk": begun(Round.fill_disk),
    "damaged result": lambda trial: trial.damage("result"),
    "rotten result": lambda trial: trial.damage("result", quietly=True),
    "damaged provenance": lambda trial: trial.damage("provenance"),
    "damaged object": lambda trial: trial.damage("object"),
    "damaged record": lambda trial: trial.damage("record"),
    "damaged note": lambda trial: trial.damage("note"),
    "damaged metadata": lambda trial: trial.damage("metadata"),
}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of some MB mounted at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount(folder: Path) -> bool:
    if os.geteuid():
        return False
    try:
        with small_disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def disturbed(kind: str, built: Built, folder: Path, seed: str) -> Round:
    """One round: copy, fault, run again, compare."""
    with contextlib.ExitStack() as open_now:
        if kind == "full disk":
            open_now.enter_context(small_disk(folder))
        shutil.copytree(built.toy.folder, folder, dirs_exist_ok=True, copy_function=shutil.copy2)
        trial = Round(Toy(folder), built, random.Random(seed))
        FAULTS[kind](trial)
        trial.recover()
    return trial


def chaos(rounds: int, seed: int, folder: Path, kinds: list[str] | None = None) -> int:
    """Print a line for each round and the sums; 1 if anything was lost or made twice."""
    kinds = list(FAULTS) if kinds is None else kinds
    if "full disk" in kinds and not can_mount(folder / "disk"):
        kinds.remove("full disk")
        print("no full disk: it takes the right to mount one")
    built, done, lost, again = build(folder / "built"), Counter(), 0, 0
    order = random.Random(seed)
    for number in range(rounds):
        if number % len(kinds) == 0:
            order.shuffle(kinds)
        kind, started = kinds[number % len(kinds)], time.time()
        copy = folder / f"round{number}"
        trial = disturbed(kind, built, copy, f"{seed}.{number}")
        done[kind] += 1
        lost, again = lost + len(trial.wrong), again + len(trial.again)
        verdict = "; ".join(trial.wrong + [f"computed again: {job}" for job in trial.again])
        took = time.time() - started
        print(f"{number + 1:3} {kind:22} {took:5.1f} s  {verdict or 'nothing lost'}", flush=True)
        if verdict:
            (folder / f"round{number}.log").write_text("\n=====\n".join(trial.said))
        else:
            shutil.rmtree(copy)
    print(
        f"{rounds} rounds, seed {seed}: " + ", ".join(f"{n} {k}" for k, n in sorted(done.items()))
    )
    print(f"losses: {lost}, needless recomputations: {again}")
    return 1 if lost or again else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3 * len(FAULTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", choices=FAULTS, help="only these faults")
    parser.add_argument("--folder", type=Path, help="where to work; kept")
    given = parser.parse_args()
    with contextlib.ExitStack() as open_now:
        folder = given.folder or Path(open_now.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        return chaos(given.rounds, given.seed, folder, given.kinds)


if __name__ == "__main__":
    sys.exit(main())
