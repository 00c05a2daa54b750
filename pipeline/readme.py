"""The tables of the READMEs that are made from results/<scale>/scorecard.json.

    README.md                  between <!-- papers: begin --> and <!-- papers: end -->
    papers/<paper>/README.md   between <!-- claims: begin --> and <!-- claims: end -->

A claim is one line with the number that decides it; all its checks stand below, folded away.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dalib import io
from pipeline import kinds, layout
from pipeline.errors import ConfigError
from pipeline.page import VERDICTS
from pipeline.scorecard import cell, interval, number

SCALES = ("smoke", "quick", "desk", "paper")
FAILED, OPEN = list(VERDICTS)[2:]
COMPARE: dict[str, Callable[[float, list[float]], bool]] = {
    "<": lambda x, ends: x < ends[0],
    "≤": lambda x, ends: x <= ends[0],
    ">": lambda x, ends: x > ends[0],
    "≥": lambda x, ends: x >= ends[0],
    "within": lambda x, ends: ends[0] <= x <= ends[1],
}
Row = Mapping[str, Any]  # a claim in the scorecard
Claim = Mapping[str, Any]  # a claim in papers/<paper>/claims.yaml


class Deciding(NamedTuple):
    """The check that decides a claim, None where none was made, and why it is this one."""

    check: str | None
    why: str


def main(root: Path, config: Mapping[str, Any]) -> int:
    """Write the tables anew, or nothing and 1 where something is missing."""
    scale = config["scale"]
    papers = {name: section for name, section in config.items() if kinds.is_paper(section)}
    try:
        new = texts(root, papers, scorecard(root, scale), scale)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in new.items():
        if io.read_text(path) != text:
            io.write_text(path, text)
            print(f"{path.relative_to(root)}: claims of scale {scale}")
    return 0


def scorecard(root: Path, scale: str) -> list[Row]:
    path = root / "results" / scale / "scorecard.json"
    if not path.exists():
        raise ConfigError(f"{path}: there is no scorecard; make it with: make SCALE={scale}")
    return json.loads(io.read_text(path))


def texts(
    root: Path, papers: Mapping[str, Row], rows: Sequence[Row], scale: str
) -> dict[Path, str]:
    """{file: its new text}; papers without a row in the scorecard keep theirs."""
    judged = {paper: [row for row in rows if row["paper"] == paper] for paper in papers}
    problems = [
        f"the scorecard has claims of {name!r}, which is no paper of {layout.BASE}; "
        f"known: {', '.join(papers)}"
        for name in sorted({row["paper"] for row in rows} - papers.keys())
    ]
    wanted = {root / "README.md": ("papers", list(overview(root, papers, judged, scale)))}
    for paper, own in judged.items():
        if own:
            lines = list(claims(own, declared(root, paper), scale))
            wanted[root / "papers" / paper / "README.md"] = ("claims", lines)
    new = {}
    for path, (name, lines) in wanted.items():
        try:
            new[path] = between(path, name, lines)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return new


def between(path: Path, name: str, lines: Iterable[str]) -> str:
    """The text of `path` with `lines` between its markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if not path.exists():
        raise ConfigError(f"{path}: missing; write it, with the lines {begin} and {end}")
    text = io.read_text(path)
    if (text.count(begin), text.count(end)) != (1, 1) or text.index(end) < text.index(begin):
        raise ConfigError(
            f"{path}: expected {begin} once and {end} once after it, found "
            f"{text.count(begin)} and {text.count(end)}; put both where the table belongs"
        )
    head, rest = text.split(begin)
    return "\n".join([head + begin, "", *lines, "", end + rest.split(end)[1]])


def declared(root: Path, paper: str) -> dict[str, Claim]:
    """The claims of a paper as they were fixed before the run, by their names."""
    path = root / layout.claims_of(paper)
    return {claim["id"]: claim for claim in io.read_yaml(path)} if path.exists() else {}


def overview(
    root: Path, papers: Mapping[str, Row], judged: Mapping[str, Sequence[Row]], scale: str
) -> Iterator[str]:
    """A line a paper: how many of its claims have which verdict."""
    yield f"At scale `{scale}`:"
    yield ""
    yield f"| paper | claims | {' | '.join(VERDICTS)} |"
    yield "|---|" + "---:|" * (1 + len(VERDICTS))
    for paper, section in papers.items():
        verdicts = [row["verdict"] for row in judged[paper]]
        counts = [len(verdicts), *(verdicts.count(verdict) for verdict in VERDICTS)]
        shown = [str(count) for count in counts] if verdicts else ["–"] * len(counts)
        about = [section.get("authors"), f"*{section.get('title', paper)}*", section.get("source")]
        page = f"papers/{paper}/README.md"
        link = f"[**{paper}**]({page})" if (root / page).exists() else f"**{paper}**"
        yield f"| {link}: {cell(', '.join(filter(None, about)))} | {' | '.join(shown)} |"


def claims(rows: Sequence[Row], known: Mapping[str, Claim], scale: str) -> Iterator[str]:
    """The table of a paper, then every check folded away."""
    verdicts = [row["verdict"] for row in rows]
    counts = [f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts]
    yield f"At scale `{scale}`, of {len(rows)} claims: {', '.join(counts)}. The check shown is the"
    yield "one nearest to its threshold; where a claim fails, the one that misses by most."
    yield ""
    columns = "claim", "statement", "deciding check", "measured [95 %]", "criterion", "published"
    yield f"| {' | '.join(columns)} | verdict |"
    yield "|---" * 7 + "|"
    for row in rows:
        yield line(row, known.get(row["id"], {}), scale)
    yield ""
    yield "<details>"
    yield "<summary>Every check, with the null methods that must fail it, and notes</summary>"
    for row in rows:
        yield ""
        yield f"**{row['id']}** {cell(row['statement'])}: *{row['verdict']}*"
        yield ""
        yield from checks(row, known.get(row["id"], {}))
    yield ""
    yield "</details>"


def line(row: Row, claim: Claim, scale: str) -> str:
    """A claim with the number that decides it."""
    name, why = deciding(row, claim, scale)
    check = ": ".join(cell(part) for part in (why, name or "") if part)
    value = measured(row, name) if name else "–"
    asked = row["criterion"].get(name, "–") if name else "–"
    said = [row["id"], cell(row["statement"]), check, value, asked]
    return f"| {' | '.join(said)} | {cell(str(row['published']))} | **{row['verdict']}** |"


def checks(row: Row, claim: Claim) -> Iterator[str]:
    """A line for each number that was measured."""
    yield "| | check | measured [95 %] | criterion | null methods |"
    yield "|---|---|---|---|---|"
    conditions = names(claim, "conditions")
    for name in row["measured"]:
        kind = "condition" if name in conditions else "" if name in row["criterion"] else "note"
        nulls = row.get("nulls", {}).get(name, {}).items()
        scored = ", ".join(f"{cell(null)} {number(value)}" for null, value in nulls)
        asked = row["criterion"].get(name, "")
        yield f"| {kind} | {cell(name)} | {measured(row, name)} | {asked} | {scored} |"


def measured(row: Row, name: str) -> str:
    """`0.325 [0.319, 0.333]`."""
    return number(row["measured"][name]) + interval(row.get("interval", {}).get(name))


def deciding(row: Row, claim: Claim, scale: str) -> Deciding:
    """Of checks that hold the one nearest to its threshold, of those that fail the farthest one."""
    if row["verdict"] == OPEN:
        return undecided(row, claim, scale)
    conditions = names(claim, "conditions")
    judged = [name for name in row["criterion"] if name in row["measured"]]
    able = [n for n in judged if n not in conditions and not open_time(row, claim, n)] or judged
    failed = [name for name in able if not holds(row, name)]
    if row["verdict"] == FAILED and failed:
        return Deciding(max(failed, key=lambda name: distance(row, name)), "")
    return Deciding(min(able, key=lambda name: distance(row, name), default=None), "")


def undecided(row: Row, claim: Claim, scale: str) -> Deciding:
    """What a verdict waits for: a larger scale, a condition, a check that null methods fail."""
    waits = claim.get("decided_from", scale)
    if SCALES.index(waits) > SCALES.index(scale):
        return Deciding(None, f"decided from scale {waits} on")
    for name in names(claim, "conditions"):
        if name in row["measured"] and not holds(row, name):
            return Deciding(name, "condition not met")
    for name in row["criterion"]:
        for null, value in row.get("nulls", {}).get(name, {}).items():
            if satisfies(row["criterion"][name], value):
                return Deciding(name, f"{null} has {number(value)} and passes too")
    return Deciding(None, row["reason"].split(";")[0])


def names(claim: Claim, section: str) -> list[str]:
    """Of the checks of one section."""
    return [check["name"] for check in claim.get(section, [])]


def open_time(row: Row, claim: Claim, name: str) -> bool:
    """Whether the check is of a measured time that decides nothing."""
    times = {check["name"] for check in claim.get("checks", []) if check.get("timing")}
    ends = row.get("interval", {}).get(name)
    return name in times and (ends is None or name in row.get("straddles", []))


def holds(row: Row, name: str) -> bool:
    return satisfies(row["criterion"][name], row["measured"][name])


def satisfies(criterion: str, value: float | None) -> bool:
    """Whether a value meets `< 0.4` or `within 0.8 to 1.2`; one that is not finite meets none."""
    word, ends = limits(criterion)
    return value is not None and COMPARE[word](value, ends)


def distance(row: Row, name: str) -> float:
    """|ln(value / threshold)|, the least of both ends; infinite where the ratio is none."""
    value, (_, ends) = row["measured"][name], limits(row["criterion"][name])
    ratios = [value / end for end in ends if end and value]
    return min((abs(math.log(ratio)) for ratio in ratios if ratio > 0), default=math.inf)


def limits(criterion: str) -> tuple[str, list[float]]:
    """`within 0.8 to 1.2` -> ("within", [0.8, 1.2])."""
    word, _, ends = criterion.partition(" ")
    return word, [float(end) for end in ends.split(" to ")]
