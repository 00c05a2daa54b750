"""The frame around every script: reuse by content, provenance, threads, log and messages.

with Stage(snakemake) as stage:  # returns at once when this result is already in the store
    from dalib import ...        # heavy imports come after
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from dalib import io, memory
from pipeline import locks, provenance, runs
from pipeline.checkpoint import Checkpoint
from pipeline.differences import differences
from pipeline.store import Store, StoreError, directory, key

PACKAGES = ("dalib", "matplotlib", "netCDF4", "numpy", "scipy", "snakemake", "torch", "xarray")
OWN = ("dalib", "papers", "pipeline")  # folders of our code
WRITING = Path(".cache/writing")
NUMBERS = {"data", "part"}  # wildcards that only count: the spec says what stands there
PROGRESS_EVERY = 5  # seconds between two lines of a progress bar in a log
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Stage:
    """One job of a stage, seen from inside its script."""

    def __init__(self, snakemake: Any):
        self.name: str = snakemake.rule
        self.spec: dict[str, Any] = snakemake.params.spec
        self.wildcards: dict[str, str] = dict(snakemake.wildcards.items())
        self.inputs = named(snakemake.input)
        self.outputs = named(snakemake.output)
        self.paths = [Path(p) for paths in self.outputs.values() for p in paths]
        self.log = Path(snakemake.log[0]) if snakemake.log else None
        asked = dict(snakemake.resources.items())
        self.requested = {name: asked[name] for name in ("mem_mb", "runtime") if name in asked}
        self.store = Store(directory())
        self._open = ExitStack()
        memory.keep_freed_memory()
        set_threads(self.spec.get("threads", 1))
        os.environ["MPLBACKEND"] = "Agg"
        os.environ["TQDM_MININTERVAL"] = str(PROGRESS_EVERY)

    @property
    def config(self) -> dict[str, Any]:
        """The sections of the configuration that this stage uses, by name."""
        return self.spec["config"]

    @property
    def device(self) -> str:
        return self.spec.get("device", "cpu")

    @property
    def experiment(self) -> str:
        """The first name of every random stream of this job."""
        return self.spec["experiment"]

    @property
    def job(self) -> str:
        """`assimilate dkf/clean/particle/0`."""
        values = [value for name, value in self.wildcards.items() if name != "scale"]
        return f"{self.name} {'/'.join(values)}".strip()

    @cached_property
    def old(self) -> dict[str, Any] | None:
        """The record that an earlier result left beside the first output."""
        return provenance.load(self.paths[0])

    @cached_property
    def units(self) -> dict[str, str]:
        """The code units behind the digest, by name; empty if nobody noted them."""
        table = self.store.directory / "units" / f"{self.spec['code']}.json"
        try:
            return json.loads(table.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """From what this job continues if an earlier attempt was killed."""
        folder = self.store.checkpoints(self.key)
        return Checkpoint(folder, lambda message: say(f"{self.job}: {message}"))

    def __enter__(self) -> Stage:
        self._open.__enter__()
        self._started = time.time()
        if self.log:
            self._open.enter_context(Tee(self.log))
        try:
            self._open.enter_context(locks.holding(self.writing, self._wait_for_files))
            self.stamps = {path: stamp(path) for paths in self.inputs.values() for path in paths}
            self.hashes = {
                name: {path: provenance.content(path) for path in paths}
                for name, paths in self.inputs.items()
            }
            contents = {name: list(paths.values()) for name, paths in self.hashes.items()}
            names = [f"{name}.{i}" for name, ps in self.outputs.items() for i in range(len(ps))]
            own = {n: v for n, v in self.wildcards.items() if n not in NUMBERS}
            self.key = key(self.spec, own, contents, names)
            self.reuse()
            self.note("started", "")
            self.hold()
            self.reuse()  # another process may have computed it meanwhile
            self.check_device()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        with self._open:
            if error is None:
                try:
                    self.finish()
                except Exception as unfinished:
                    self.fail(unfinished)
            elif isinstance(error, Exception):
                self.fail(error)

    def hold(self) -> None:
        """Hold the lock of this key; without one, on a full disk, two jobs may compute the same."""
        try:
            self._open.enter_context(locks.holding(self.store.lock(self.key), self._wait))
        except OSError as error:
            say(f"{self.job}: goes on without a lock: {error}")

    def reuse(self) -> None:
        """End the script with the stored result of this key, if there is one."""
        record = self.store.record(self.key)
        if record is None:
            return
        self.store.check_format()
        wrong = self.store.restore(record, self.paths)
        if wrong:
            say(f"{self.job}: {'; '.join(wrong)}; computing it again")
            return
        entries = zip(self.paths, record["outputs"].values(), strict=True)
        outputs = {str(path): entry | provenance.stamp(path) for path, entry in entries}
        why = self.reasons()
        made = {"inputs": self.hashes, "stamps": self.stamps, "outputs": outputs}
        self.leave({**record, **made, "status": "reused"}, why)
        raise SystemExit(0)

    def finish(self) -> None:
        """Describe and store the outputs that the script has written; the record comes last."""
        for path in self.paths:
            if not path.exists():
                raise io.DataError(path, "the script ended without writing this output")
        self.check_inputs()
        record = {
            "stage": self.name,
            "wildcards": self.wildcards,
            "spec": self.spec,
            "units": self.units,
            "inputs": self.hashes,
            "stamps": self.stamps,
            "outputs": {str(path): provenance.describe(path) for path in self.paths},
            **surroundings(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
            "seconds": round(time.time() - self._started, 3),
            "status": "computed",
            "key": self.key,
        }
        try:
            self.store.keep(record, self.paths)
        except (OSError, StoreError) as error:  # a full disk costs the reuse, not the result
            say(f"{self.job}: not stored for reuse: {io.explained(error)}")
        self.leave(record, self.reasons())

    def leave(self, record: dict[str, Any], why: str) -> None:
        """Write the record beside each output and say what happened."""
        for path in self.paths:
            provenance.write(provenance.beside(path), record)
        self.checkpoint.delete()
        status, seconds = record["status"], time.time() - self._started
        took = f" in {seconds:.1f} s" if status == "computed" else ""
        say(f"{self.job}: {status}{took} ({why})")
        self.note(status, why)

    def reasons(self) -> str:
        """Why this job ran."""
        if self.old is None:
            return "no earlier result"
        lines = differences(self.old, self.spec, self.units, self.hashes)
        more = [f"and {len(lines) - 3} more"] if len(lines) > 3 else []
        return "; ".join(lines[:3] + more) or "nothing changed, the result was missing"

    def note(self, status: str, why: str) -> None:
        seconds = round(time.time() - self._started, 3)
        entry = {"stage": self.name, "job": self.job, "status": status, "seconds": seconds}
        entry |= {"why": why, "log": str(self.log or ""), "outputs": self._outputs()}
        try:
            runs.note(entry | self.requested)
        except OSError as error:  # the summary lacks a line, the result is there
            say(f"{self.job}: not noted for the summary: {io.explained(error)}")

    def _outputs(self) -> list[str]:
        return [str(path) for path in self.paths]

    def check_inputs(self) -> None:
        """Refuse to record a result as made from inputs that are no longer what they were."""
        for paths in self.hashes.values():
            for path, content in paths.items():
                if stamp(path) != self.stamps[path] and provenance.content(path) != content:
                    raise io.DataError(path, "it was changed while this job ran; run again")

    def check_device(self) -> None:
        if self.device.startswith("cuda") and not gpus():
            raise DeviceError(
                'the setting "device" asks for "cuda", but this host '
                f"({socket.gethostname()}) has no GPU that a job can use; run with "
                "--config device=cpu, or give the rule one in a profile (gpu: 1)"
            )

    def fail(self, error: Exception) -> None:
        """A user's mistake becomes one paragraph; anything else keeps its traceback in the log."""
        if isinstance(error, OSError) and error.errno in io.FOR_THE_USER:
            why = io.explained(error)
            say(f"{self.job}: {why}")
        elif isinstance(error, USER_ERRORS) or is_refusal(error):
            why = self.explained(error)
            say(f"{self.job}: {why}")
        else:
            why = "".join(traceback.format_exception_only(error)).strip()
            trace = "".join(traceback.format_exception(error))
            if self.log:
                with self.log.open("a", encoding="utf-8") as log:
                    log.write(trace)
            else:
                say(trace)
            names = ", ".join(f"{name}={value}" for name, value in self.wildcards.items())
            say(f"{self.name} ({names}) failed: {why}; see {self.log or 'the traceback above'}")
        self.note("failed", why.splitlines()[0])
        raise SystemExit(1) from None

    def explained(self, error: Exception) -> str:
        """The message, and for an input which stage wrote it."""
        path = str(getattr(error, "path", ""))
        if not any(path in paths for paths in self.inputs.values()):
            return str(error)
        record = provenance.load(path)
        if record is None:
            return f"{error}. No stage of this workflow has left a record of it."
        return f"{error}. It was written by the stage {record['stage']}; delete it and run again."

    @property
    def writing(self) -> Path:
        """The lock on the outputs: a job that outlived its run may still write them."""
        name = hashlib.sha256("\n".join(self._outputs()).encode()).hexdigest()
        return WRITING / f"{name}.json"

    def _wait_for_files(self, holder: locks.Owner | None) -> None:
        say(f"{self.job}: waiting for a job of an earlier run that writes the same files, {holder}")

    def _wait(self, holder: locks.Owner | None) -> None:
        say(f"{self.job}: waiting for another process that computes the same, {holder}")


class DeviceError(ValueError):
    """A device is asked for that this host does not have; the message says what to change."""


USER_ERRORS = (io.DataError, StoreError, DeviceError)


def is_refusal(error: Exception) -> bool:
    """Whether dalib itself refuses a value: its message says what is expected and what to do."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    root = Path(__file__).parents[1]
    own = any(Path(place.filename).is_relative_to(root / part) for part in OWN)
    said = (place.line or "").startswith("raise")  # else Python itself found a mistake of ours
    return own and said and isinstance(error, (ValueError, FloatingPointError))


def named(items: Any) -> dict[str, list[str]]:
    """A Snakemake list of files as name -> paths; what has no name is counted."""
    names = dict(items.items())
    listed = {n: [v] if isinstance(v, str) else list(v) for n, v in names.items()}
    known = {path for paths in listed.values() for path in paths}
    unnamed = [path for path in items if path not in known]
    return {str(i): [str(path)] for i, path in enumerate(unnamed)} | {
        name: [str(path) for path in paths] for name, paths in listed.items()
    }


def set_threads(count: int) -> None:
    """Threads of one job; numpy and torch read these variables when they are imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)


def stamp(path: str) -> dict[str, int] | None:
    """Size and time of an input; None if it is not there."""
    return provenance.stamp(path) if os.path.exists(path) else None


def gpus() -> int:
    """GPUs that this process may use, asked of the driver: importing torch costs seconds."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def torch_has_cuda() -> bool:
    """Whether the installed torch is no wheel for CPUs alone; told without importing it."""
    return not metadata.version("torch").endswith("+cpu")


def surroundings() -> dict[str, Any]:
    """Versions of the packages that were used, host and commit: told, never compared."""
    return {
        "versions": {p: metadata.version(p) for p in PACKAGES if p in sys.modules},
        "python": sys.version.split()[0],
        "host": socket.gethostname(),
        **commit(),
    }


def commit() -> dict[str, Any]:
    """The commit that is checked out and whether files differ from it; None outside of git."""
    try:
        head = _git("rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(_git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass
class Tee:
    """Everything printed goes to a log, and all but progress bars to the terminal.

    Jobs that run side by side would draw their bars over each other; in a log each state of a bar
    is a line, one every few seconds.
    """

    path: Path

    def __enter__(self) -> Tee:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._file = self.path.open("a", buffering=1, encoding="utf-8", errors="replace")
        self._streams = sys.stdout, sys.stderr
        for stream in self._streams:
            io.print_anything(stream)
        sys.stdout, sys.stderr = (Both(stream, self._file) for stream in self._streams)
        self._messages = logging.StreamHandler(sys.stderr)
        logging.getLogger("dalib").addHandler(self._messages)
        logging.getLogger("dalib").setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("dalib").removeHandler(self._messages)
        sys.stdout, sys.stderr = self._streams
        with suppress(OSError):  # a full disk, which whoever wrote a result has told
            self._file.close()


@dataclass
class Both:
    terminal: TextIO
    log: TextIO
    drawing: bool = False  # the last text was a progress bar, which draws over itself

    def write(self, text: str) -> int:
        if not text:
            return 0
        ends, self.drawing = self.drawing and text == "\n", "\r" in text
        if self.drawing:
            self._note(text.strip("\r") + "\n" if text.strip() else "")
        elif not ends:
            self._note(text)
            with suppress(OSError):  # nor because its terminal was closed
                self.terminal.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self.terminal.flush()

    def _note(self, text: str) -> None:
        with suppress(OSError):  # no job fails because its log is on a full disk
            self.log.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)
