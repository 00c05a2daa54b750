"""Run snakemake as `make` does: clear the lock of a dead run, show progress, make the index."""

import subprocess
import sys
from pathlib import Path

from dalib.workflow import index, unlock


def main(root: Path, scale: str, arguments: list[str]) -> int:
    """Run snakemake with `arguments` in `root`; its exit code. The index is made in any case."""
    unlock.main(root, dead_only=True)
    logger = ["--logger", "rich"] if sys.stdout.isatty() else []
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    code = subprocess.call([snakemake, *arguments[:1], *logger, *arguments[1:]], cwd=root)
    index.main(root, scale)
    return code
