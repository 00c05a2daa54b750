"""What `precision: auto` stands for: bfloat16 where an update of a network is faster with it.

On a GPU it is. On a CPU it is where the processor multiplies in bfloat16 and may use it; elsewhere
such products take ten times as long as in float32. So an update is timed, once for a machine: what
was found is kept in the store, because no result may hang on a second timing.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from dalib import io

SLOWER = 1.25  # by so much float32 must be, or the precision is not worth giving up
PROCESSOR = Path("/proc/cpuinfo")
SETTINGS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
AS_JOBS_DO = {  # one thread, and memory that is freed is kept (dalib/memory.py)
    **{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    **{"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)},
}
WHERE = "precision.json"  # in the store: {machine: CPU seconds in each precision}


def resolved(wanted: str, device: str, store: Path) -> str:
    """float32 or bfloat16; `auto` is settled where the graph is built, and the jobs are told."""
    if wanted != "auto":
        return wanted
    if device != "cpu":
        return "bfloat16"
    if "DALIB_PRECISION" not in os.environ:
        os.environ["DALIB_PRECISION"] = on_cpu(store)
    return os.environ["DALIB_PRECISION"]


def on_cpu(store: Path) -> str:
    """What is faster on the processor of this host, timed unless the store remembers it."""
    processor = description()
    if "bf16" not in processor:  # of the instruction sets avx512_bf16, amx_bf16, bf16 (ARM)
        return "float32"
    key, known = machine(processor), remembered(store / WHERE)
    if key not in known:
        known = remembered(store / WHERE) | {key: measured()}
        with suppress(OSError):  # a store that is read-only: timed again by the next run
            io.write_json(store / WHERE, known)
    seconds = known[key]
    return "bfloat16" if seconds["float32"] > SLOWER * seconds["bfloat16"] else "float32"


def description() -> str:
    """Model and instruction sets of the processor, as Linux gives them; elsewhere nothing."""
    try:
        lines = PROCESSOR.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    kept = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kept)}))


def machine(processor: str) -> str:
    """A name for all that the timing depends on."""
    settings = [f"{name}={os.environ.get(name, '')}" for name in SETTINGS]
    parts = [processor, platform.machine(), metadata.version("torch"), *settings]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def remembered(path: Path) -> dict[str, Mapping[str, float]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def measured() -> dict[str, float]:
    """CPU seconds of an update in each precision, from a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "dalib.nets.timing"],
        env=os.environ | AS_JOBS_DO,
        cwd=Path(__file__).parents[2],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(found.stdout)
