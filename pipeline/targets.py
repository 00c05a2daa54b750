"""Names that somebody asks for: which there are, and the nearest to one that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import kinds, layout
from pipeline.checks import unknown
from pipeline.errors import ConfigError
from pipeline.index import PICTURES, TABLES

ARTEFACT = re.compile(rf"results/[^/]+/(?:(?P<paper>.+)/)?(?:{PICTURES}|{TABLES})/(?P<name>[^/]+)")


def check(root: Path, config: Mapping[str, Any], targets: Iterable[str]) -> None:
    """Refuse papers, figures and tables that there are not.

    Args:
        targets: files of figures and tables, names of papers and rules.

    Raises:
        ConfigError: naming what there is and what was probably meant.
    """
    lines = [line for target in targets for line in _wrong(root, config, target)]
    if lines:
        raise ConfigError("\n".join(lines))


def of_command(arguments: Iterable[str]) -> Iterator[str]:
    """The targets that stand first on a command line, before its options."""
    for word in arguments:
        if word.startswith("-"):
            return
        yield word


def files(arguments: Iterable[str]) -> list[str]:
    """Figures and tables among the words of a command line, wherever they stand."""
    return [word for word in arguments if ARTEFACT.fullmatch(str(Path(word)))]


def papers(config: Mapping[str, Any]) -> list[str]:
    return [name for name, section in config.items() if kinds.is_paper(section)]


def artefacts(root: Path, paper: str) -> list[str]:
    """Figures and tables of a paper that have a caption."""
    return sorted(layout.captions(root, paper))


def rules(root: Path) -> set[str]:
    return {name for text in sources(root) for name in re.findall(r"^rule (\w+):", text, re.M)}


def sources(root: Path) -> Iterator[str]:
    """Texts of the Snakefile and of all rules."""
    for path in layout.rules(root):
        if path.exists():
            yield path.read_text(encoding="utf-8")


def _wrong(root: Path, config: Mapping[str, Any], target: str) -> Iterator[str]:
    known = papers(config)
    asked = ARTEFACT.fullmatch(str(Path(target)))
    if asked:
        yield from _no_artefact(root, known, asked["paper"] or "", Path(asked["name"]).stem)
    elif re.fullmatch(r"[\w-]+", target) and target not in rules(root) | set(known):
        if not (root / target).exists():
            yield f"{unknown('paper', target, known)}; figures: make list"


def _no_artefact(root: Path, known: list[str], paper: str, name: str) -> Iterator[str]:
    if paper not in known:
        given = f"{paper}/{name}".strip("/")
        said = unknown("paper", paper, known) if paper else "the name lacks its paper"
        yield f"figure {given}: {said}. A figure is named like {known[0]}/fig1: make list"
        return
    there = artefacts(root, paper)
    if there and name not in there:  # one of a user's own paper needs no caption
        yield f"{unknown(f'figure or table of {paper}', name, there)}"


def meant(root: Path, target: str) -> str:
    """The file of a table where somebody asks for it as a figure, as `make FIGURE=` does."""
    asked = ARTEFACT.fullmatch(target)
    if not asked or not asked["paper"]:
        return target
    scale, stem = target.split("/")[1], Path(asked["name"]).stem
    name = rf"(results/{{scale}}/{re.escape(asked['paper'])}/(\w+)/{re.escape(stem)})\b(?:\.(\w+))?"
    ends = {TABLES: "md"}  # where a rule makes several files by one name
    found = [
        f"{path.replace('{scale}', scale)}.{end or ends[folder]}"
        for text in sources(root)
        for path, folder, end in re.findall(name, text)
        if end or folder in ends
    ]
    return target if target in found or not found else found[0]
