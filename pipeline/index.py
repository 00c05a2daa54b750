"""results/<scale>/index.html and scorecard.json: everything that exists, on one page.

Here it is collected from the files that are there: figures and tables with their captions, the
scorecard, what failed, is missing or is older than what it is made from, and the records of how
each was made. `page` renders it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dalib import io
from pipeline import audit, kinds, layout, page, provenance, runs

PICTURES, TABLES = "figures", "tables"
NUMBERED = re.compile(r"(fig|table|timing_table)_?(\w+)")
NO_PAPERS = {"logs", "benchmarks"}  # they too have a folder `figures`


class Artefact(NamedTuple):
    """A figure, a table, or notes beside the tables; its files may be missing."""

    paper: str
    name: str
    kind: str
    caption: str
    folder: Path

    @property
    def shown(self) -> Path:
        return self.folder / f"{self.name}{'.png' if self.kind == PICTURES else '.md'}"

    @property
    def output(self) -> str:
        """The shown file by the name it has in records, from the root of the project."""
        return f"results/{self.folder.parents[1].name}/{self.paper}/{self.kind}/{self.shown.name}"

    @property
    def is_note(self) -> bool:
        """Text in Markdown that stands for itself."""
        return NUMBERED.fullmatch(self.name) is None

    @property
    def title(self) -> str:
        """`fig2b` -> `Figure 2b`, `table_filters` -> `Table: filters`, `story` -> `Story`."""
        number = NUMBERED.fullmatch(self.name)
        if number is None:
            return self.name.replace("_", " ").capitalize()
        word = {"fig": "Figure", "table": "Table", "timing_table": "Timing of table"}[number[1]]
        return f"{word} {number[2]}" if len(number[2]) < 4 else f"{word}: {number[2]}"


@dataclass(frozen=True)
class Contents:
    """All that the page shows of one scale."""

    root: Path
    results: Path
    papers: dict[str, dict[str, str]]  # title, authors, source of each
    artefacts: dict[str, list[Artefact]]  # of each paper
    claims: list[dict[str, Any]]  # of all papers
    failed: list[dict[str, Any]]  # jobs of the newest run
    records: dict[str, dict[str, Any]]  # of each output: the job that made it

    @property
    def scale(self) -> str:
        return self.results.name

    @cached_property
    def missing(self) -> list[Artefact]:
        return [a for many in self.artefacts.values() for a in many if not a.shown.exists()]

    @cached_property
    def jobs(self) -> list[dict[str, Any]]:
        """Every job with a record, once."""
        return list({json.dumps(sorted(r["outputs"])): r for r in self.records.values()}.values())

    @cached_property
    def lost(self) -> set[str]:
        """Outputs of failed jobs that are missing."""
        outputs = {output for job in self.failed for output in job["outputs"]}
        return {output for output in outputs if not (self.root / output).exists()}

    def chain(self, output: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """(output, record) of the jobs that lead to `output`, the last one first, each job once.

        The record is None for a file that no job made.
        """
        waiting, told = [output], set()
        while waiting:
            path = waiting.pop(0)
            record = self.records.get(path)
            if record and id(record) in told:
                continue
            told.add(id(record))
            yield path, record
            waiting += [p for p, _ in inputs(record) if p not in waiting]

    def newer(self, output: str) -> str | None:
        """An input of `output` that has changed since or is missing; None if there is none."""
        for _, record in self.chain(output):
            for path, used in inputs(record):
                if path in self.lost or self.content(path, used) != used:
                    return path
        return None

    def content(self, path: str, otherwise: str) -> str:
        """The content hash in the record of `path`, `otherwise` if it has none."""
        record = self.records.get(path)
        return record["outputs"][path].get("content", otherwise) if record else otherwise


def inputs(record: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """(path, content hash) of what a job read."""
    for contents in record["inputs"].values() if record else ():
        yield from contents.items()


def main(root: Path, scale: str) -> None:
    """Write the page and the scorecard of all papers, unless nothing has changed since."""
    results = root / "results" / scale
    if not results.is_dir():
        return
    index, state = results / "index.html", fingerprint(root, results)
    if index.exists() and state in index.read_text(encoding="utf-8")[:1000]:
        return
    contents = collected(root, results)
    try:
        io.write_json(results / "scorecard.json", contents.claims)
        io.write_text(index, page.html(contents, state))
    except OSError as error:
        print(f"no index: {io.explained(error)}", file=sys.stderr)


def collected(root: Path, results: Path) -> Contents:
    known = papers(root, results)
    return Contents(
        root,
        results,
        known,
        {paper: artefacts(root, results, paper) for paper in known},
        [row for paper in known for row in scorecard(results / paper)],
        failures(root, results),
        records(results),
    )


def fingerprint(root: Path, results: Path) -> str:
    """Changes when a file that the page is made from comes, goes or is written again."""
    own = {results / "index.html", results / "scorecard.json", results / "report.html"}
    code = [Path(__file__), Path(page.__file__)]
    sources = [*code, *root.glob("config.yaml"), *root.glob("papers/*/config.yaml")]
    sources += root.glob("papers/*/captions/*.rst")
    files = sorted({*sources, *(p for p in results.rglob("*") if p.is_file())} - own)
    states = [
        f"{f.name} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for f in files if (s := stat(f))
    ]
    return hashlib.sha256("\n".join(states).encode()).hexdigest()


def stat(path: Path) -> os.stat_result | None:
    """None for a file that has gone in the meantime."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def papers(root: Path, results: Path) -> dict[str, dict[str, str]]:
    """{paper: title, authors, source} in the order of config.yaml, unknown folders last."""
    config = io.read_yaml(root / layout.BASE) if (root / layout.BASE).exists() else {}
    files = {name: root / layout.config_of(name) for name in config.get("papers", [])}
    known = {name: io.read_yaml(file) for name, file in files.items() if file.exists()}
    known |= {name: section for name, section in config.items() if kinds.is_paper(section)}
    folders = sorted({p.name for p in results.iterdir() if (p / PICTURES).is_dir()} - NO_PAPERS)
    return known | {name: {} for name in folders if name not in known}


def artefacts(root: Path, results: Path, paper: str) -> list[Artefact]:
    """Those that a caption announces and those that are there: notes first, then by number."""
    captions = {
        name: " ".join(path.read_text(encoding="utf-8").split())
        for name, path in layout.captions(root, paper).items()
    }
    folder = results / paper
    there = {p.stem for p in [*folder.glob("figures/*.png"), *folder.glob("tables/*.md")]}
    kind = {name: kind_of(name) for name in captions.keys() | there}
    names = sorted(
        kind, key=lambda name: (bool(NUMBERED.fullmatch(name)), kind[name], natural(name))
    )
    return [Artefact(paper, n, kind[n], captions.get(n, ""), folder / kind[n]) for n in names]


def kind_of(name: str) -> str:
    """The folder of an artefact: tables and notes are text and stand together."""
    return PICTURES if name.startswith(("fig", "timing_fig")) else TABLES


def natural(name: str) -> list[Any]:
    """fig2 before fig10, supplements after them, times after tables."""
    first = name.startswith("timing"), bool(re.match(r"figS|table_", name))
    parts = re.split(r"(\d+)", name)
    return [*first, [(int(p), "") if p.isdigit() else (-1, p) for p in parts]]


def scorecard(folder: Path) -> list[dict[str, Any]]:
    path = folder / "scorecard.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def records(results: Path) -> dict[str, dict[str, Any]]:
    """{output: record of the job that made it}, the newest where several name an output."""
    found = {}
    for path in sorted(results.rglob(f"*{provenance.SUFFIX}"), key=lambda p: p.stat().st_mtime):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found |= {output: record for output in record["outputs"]}
        except (ValueError, KeyError, TypeError):
            continue  # half a record tells nothing; `verify` complains about it
    return found


def failures(root: Path, results: Path) -> list[dict[str, Any]]:
    """Jobs of the newest run that failed and whose outputs are still not there."""
    logs = sorted((root / runs.log_of("x").parent).glob("*.jsonl"), key=lambda p: p.stat().st_mtime)
    if not logs:
        return []
    scale = f"results/{results.name}/"
    return [
        job
        for job in runs.last_words(runs.jobs(logs[-1]), over=not audit.active())
        if job["status"] == "failed"
        and any(o.startswith(scale) and not (root / o).exists() for o in job["outputs"])
    ]
