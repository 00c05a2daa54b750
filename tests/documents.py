"""The Markdown files of the project and the examples that stand in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_OURS = {"results", "build", "dist"}  # made by a run, or by an installation
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in NOT_OURS for part in path.relative_to(ROOT).parts)
)
RUNS = re.compile(
    r"<!-- runs(?: with: (?P<given>[^\n]+?))? -->\n+```python\n(?P<code>.*?)```", re.S
)


def text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def blocks(file: str, language: str) -> list[str]:
    """The blocks of code in `language`, in order."""
    return re.findall(rf"```{language}\n(.*?)```", text(file), re.DOTALL)


def examples(file: str) -> list[tuple[str | None, str]]:
    """(what it is given, code) of the blocks marked by <!-- runs --> or <!-- runs with: ... -->."""
    return [(found["given"], found["code"]) for found in RUNS.finditer(text(file))]


def headings(file: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", text(file), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
