"""Hash every result again: is it what its record says, and what would be made now?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dalib import io
from pipeline import provenance
from pipeline.differences import differences
from pipeline.errors import ConfigError
from pipeline.specs import Specs


def main(root: Path, config: dict[str, Any]) -> int:
    """Print what does not match; 0 if everything does."""
    folder = root / "results" / config["scale"]
    problems = list(verify(folder, Specs(config, root)))
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{sum(1 for _ in provenance.results(folder))} results, {len(problems)} problems")
    return 1 if problems else 0


def verify(folder: Path, specs: Specs) -> Iterator[str]:
    """A line for each result that is not what its record says, or whose record is not of now.

    Contents are hashed, whatever sizes and times say; code, configuration and inputs are compared
    with the present ones.
    """
    content, missing = cache(_content), set()
    for path, record in provenance.results(folder):
        if record is None:
            yield f"{path}: no provenance; run snakemake, which makes it again"
            continue
        if content(str(path)) != record["outputs"][str(path)]["content"]:
            path.touch()  # the next run asks for the content, also where the stamp is the same
            yield f"{path}: changed since it was made; run snakemake, which restores it"
        inputs = {
            name: {source: content(source) for source in files}
            for name, files in record["inputs"].items()
        }
        gone = {
            source for files in inputs.values() for source in files if not Path(source).exists()
        }
        yield from (f"{s}: missing; {_remedy(s, folder)}" for s in sorted(gone - missing))
        missing |= gone
        if gone:
            continue
        try:
            lines = differences(record, *specs.made(record["spec"]), inputs)
        except ConfigError as error:
            yield f"{path}: {error}; give the configuration that it was made with, or delete it"
            continue
        _forget(path, record, inputs)
        yield from (f"{path}: {line}; run snakemake" for line in lines)


def _remedy(source: str, folder: Path) -> str:
    """How to get a lost input back."""
    made = Path(source).is_relative_to(folder)
    return f"run snakemake {source}" if made else "no stage makes it, put it back"


def _forget(path: Path, record: dict[str, Any], inputs: dict[str, dict[str, str]]) -> None:
    """Let the next run look into inputs that hold something else under the stamp of the record."""
    known = record["stamps"] if "stamps" in record else {}
    changed = {
        source
        for name, files in inputs.items()
        for source, found in files.items()
        if found != record["inputs"][name][source] and source in known
    }
    if changed:
        kept = {source: stamp for source, stamp in known.items() if source not in changed}
        provenance.write(provenance.beside(path), record | {"stamps": kept})


def _content(path: str) -> str:
    """The content hash, or what is wrong with the file."""
    try:
        return io.content_hash(path)
    except (OSError, io.DataError) as error:
        return str(error)
