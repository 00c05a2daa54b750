"""The list of `make list`: papers, their figures and tables, and which of them exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import kinds, layout
from pipeline.index import kind_of


def main(root: Path, config: dict[str, Any]) -> int:
    print(*listing(root, config), sep="\n")
    return 0


def listing(root: Path, config: dict[str, Any]) -> Iterator[str]:
    """A line for each paper, then one for each artefact that has a caption."""
    for paper, section in config.items():
        if not kinds.is_paper(section):
            continue
        yield f"{paper}: {section.get('title', '')}  (make PAPER={paper})"
        for name, caption in layout.captions(root, paper).items():
            folder = root / "results" / config["scale"] / paper / kind_of(name)
            made = any(folder.glob(f"{name}.*"))
            title = caption.read_text(encoding="utf-8").strip().partition("\n")[0]
            yield f"  {'made' if made else '-':5}{paper}/{name:12} {title}"
