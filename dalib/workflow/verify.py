"""Hash every result again: is it what its record says, made from the inputs that are here?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from dalib import io
from dalib.workflow import provenance


def main(root: Path, scale: str) -> int:
    """Print what does not match; 0 if everything does."""
    folder = root / "results" / scale
    count = sum(1 for _ in provenance.results(folder)) if folder.is_dir() else 0
    problems = list(verify(folder))
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{count} results in {folder.relative_to(root)}, {len(problems)} problems")
    return 1 if problems else 0


def verify(folder: Path) -> Iterator[str]:
    """One line for each result that its record does not vouch for."""
    present = cache(_content)
    for path, record in provenance.results(folder):
        if record is None:
            yield f"{path}: no provenance; run snakemake, which makes it again"
            continue
        if present(str(path)) != record["outputs"][str(path)]["content"]:
            yield f"{path}: changed since it was made; run snakemake, which restores it"
        for name, files in record["inputs"].items():
            for source, content in files.items():
                if present(source) != content:
                    yield f"{path}: made from another {name} ({source}); run snakemake"


def _content(path: str) -> str:
    """The content hash, or what is wrong with the file."""
    try:
        return io.content_hash(path)
    except (OSError, io.DataError) as error:
        return str(error)
