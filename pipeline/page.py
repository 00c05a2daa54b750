"""The page `index.html`: what `index` has collected, as one self-contained HTML file."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import scorecard

if TYPE_CHECKING:
    from pipeline.index import Artefact, Contents

VERDICTS = {
    "reproduced": "good",
    "reproduced in part": "part",
    "not reproduced": "bad",
    "not decidable at this scale": "open",
}


def html(contents: Contents, state: str) -> str:
    """The page; `state` stands in its head."""
    body = [
        f"<h1>Results at scale <em>{escape(contents.scale)}</em></h1>",
        overview(contents),
        failed_or_missing(contents),
        *(paper_section(contents, paper) for paper in contents.papers),
        times(contents.jobs),
        software(contents.jobs),
    ]
    scale = escape(contents.scale)
    return PAGE.format(state=state, scale=scale, style=STYLE, body="\n".join(body))


def overview(contents: Contents) -> str:
    """Counts in one line of boxes."""
    verdicts = [row["verdict"] for row in contents.claims]
    failed, missing = len(contents.failed), len(contents.missing)
    total = sum(map(len, contents.artefacts.values()))
    boxes = [
        *((v, verdicts.count(v), tone) for v, tone in VERDICTS.items()),
        ("figures and tables", f"{total - missing}/{total}", "bad" if missing else "good"),
        ("failed jobs", failed, "bad" if failed else "good"),
        ("computing", duration(sum(r["seconds"] for r in contents.jobs)), "plain"),
    ]
    cells = "".join(
        f'<div class="box {tone}"><b>{value}</b><span>{escape(text)}</span></div>'
        for text, value, tone in boxes
    )
    return f'<div class="boxes">{cells}</div>'


def failed_or_missing(contents: Contents) -> str:
    """Failed jobs with their reasons, and missing figures and tables."""
    results, told = contents.results, {o for job in contents.failed for o in job["outputs"]}
    lines = [
        f"<li><b>{escape(job['job'])}</b> failed: {escape(job['why'])}"
        f"{log_link(contents.root / job['log'], results)}</li>"
        for job in contents.failed
    ] + [
        f"<li><b>{escape(a.paper)}/{escape(a.name)}</b> is missing"
        f"{log_link(log_of(a, results), results)}</li>"
        for a in contents.missing
        if a.output not in told
    ]
    if not lines:
        return ""
    return f'<section class="trouble"><h2>Failed or missing</h2><ul>{"".join(lines)}</ul></section>'


def log_of(artefact: Artefact, results: Path) -> Path:
    folder = results / "logs" / artefact.kind
    return folder / f"{artefact.paper}_{artefact.name}.log"


def log_link(log: Path, results: Path) -> str:
    """The last lines of a log, and a link to all of it."""
    if not log.is_file():
        return ""
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
    where = os.path.relpath(log, results)
    return f' (<a href="{escape(where)}">log</a>)<pre>{escape(chr(10).join(tail))}</pre>'


def paper_section(contents: Contents, paper: str) -> str:
    """Claims, figures and tables of one paper."""
    about = contents.papers[paper]
    byline = ". ".join(filter(None, [about.get("authors"), about.get("source")]))
    rows = [row for row in contents.claims if row["paper"] == paper]
    parts = [
        f"<h2>{escape(about.get('title', paper))}</h2>",
        f'<p class="byline">{escape(byline)}</p>' if byline else "",
        not_up_to_date(contents, f"results/{contents.scale}/{paper}/scorecard.json"),
        claims(rows),
        *(figure(a, contents) for a in contents.artefacts[paper] if a.shown.exists()),
    ]
    return f'<section id="{escape(paper)}">{"".join(parts)}</section>'


def not_up_to_date(contents: Contents, output: str) -> str:
    """A warning before results whose inputs have changed since, or nothing."""
    newer = contents.newer(output)
    if newer is None:
        return ""
    now = "could not be made again" if newer in contents.lost else "has changed since"
    return (
        '<p class="older"><b>Not up to date:</b> made by an earlier run, and '
        f"<code>{escape(newer)}</code> {now}.</p>"
    )


def claims(rows: list[dict]) -> str:
    """The scorecard: published values beside ours."""
    if not rows:
        return ""
    head = "".join(f"<th>{t}</th>" for t in ("", "claim", "paper", "ours", "verdict"))
    lines = "".join(
        f'<tr id="{escape(row["id"])}"><td class="id">{escape(row["id"])}</td>'
        f"<td>{escape(row['statement'])}</td>"
        f"<td>{escape(plain(row['published']))}</td>"
        f"<td>{measured(row)}</td>"
        f'<td><span class="verdict {VERDICTS.get(row["verdict"], "plain")}">'
        f"{escape(row['verdict'])}</span>{reason(row)}</td></tr>"
        for row in rows
    )
    return f'<div class="wide"><table class="claims"><tr>{head}</tr>{lines}</table></div>'


def measured(row: dict) -> str:
    """Each measured number with its interval, name, criterion and null methods."""
    lines = [
        f"<li><b>{plain(value)}</b>{interval(row, name)} {escape(name)}{limit(row, name)}</li>"
        for name, value in row["measured"].items()
    ]
    return f'<ul class="numbers">{"".join(lines)}</ul>'


def interval(row: dict, name: str) -> str:
    text = escape(scorecard.interval(row.get("interval", {}).get(name)))
    return f'<span class="interval" title="95 % interval">{text}</span>' if text else ""


def limit(row: dict, name: str) -> str:
    remarks = escape("; ".join(scorecard.remarks(row, name)))
    return f' <span class="limit">({remarks})</span>' if remarks else ""


def reason(row: dict) -> str:
    """The reason for the verdict, the source of thresholds of ours, and the scores used."""
    sources = "".join(
        f"<p>Threshold of {escape(name)}: {escape(source)}</p>"
        for name, source in row.get("threshold_from", {}).items()
    )
    return (
        f"<details><summary>why</summary><p>{escape(row['reason'])}</p>{sources}"
        f"<p>From: {escape('; '.join(row['evidence']))}</p></details>"
    )


def plain(value: Any) -> str:
    """A number with three digits, a text as it is, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def figure(item: Artefact, contents: Contents) -> str:
    """A picture, table or note with caption, links to its files and how it was made."""
    if item.shown.suffix == ".png":
        data = base64.b64encode(item.shown.read_bytes()).decode()
        alt = escape(item.caption or item.title)
        width = print_width(item.shown)
        content = f'<img alt="{alt}" width="{width}" src="data:image/png;base64,{data}">'
    else:
        content = f'<div class="wide">{from_markdown(item.shown.read_text(encoding="utf-8"))}</div>'
    files = sorted(item.folder.glob(f"{item.name}.*"))
    links = " · ".join(
        f'<a href="{escape(os.path.relpath(f, contents.results))}">{f.suffix[1:]}</a>'
        for f in files
        if f.suffix in {".pdf", ".png", ".nc", ".csv", ".md"}
    )
    caption = f"<b>{escape(item.title)}.</b> {escape(item.caption)}"
    return (
        f'<figure id="{escape(item.paper)}-{escape(item.name)}">'
        f"{not_up_to_date(contents, item.output)}{content}"
        f'<figcaption>{caption} <span class="links">{links}</span></figcaption>'
        f"{history(item.output, contents)}</figure>"
    )


def print_width(png: Path) -> int:
    """Width on the page in CSS pixels: 120 of them for an inch of the 300 dpi picture."""
    with png.open("rb") as file:
        pixels = int.from_bytes(file.read(20)[16:20])  # of the IHDR chunk, always the first
    return round(pixels * 120 / 300)


def from_markdown(text: str) -> str:
    """Headings, lists, pipe tables and paragraphs, which are what `dalib.tables` writes."""
    parts: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            parts.append(pipe_table(lines))
        elif lines[0].startswith("#"):
            depth = min(6, 2 + len(lines[0]) - len(lines[0].lstrip("#")))  # below the paper's own
            parts.append(f"<h{depth}>{inline(lines[0].lstrip('# '))}</h{depth}>")
        elif lines[0].startswith("- "):
            items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
            parts.append(
                f"<ul>{''.join(f'<li>{inline(item.strip())}</li>' for item in items)}</ul>"
            )
        else:
            parts.append(f"<p>{inline(block)}</p>")
    return "".join(parts).replace("</ul><ul>", "")


def inline(text: str) -> str:
    """**bold** and `code` in a text."""
    return re.sub(
        r"`([^`]+)`", r"<code>\1</code>", re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
    )


def pipe_table(lines: list[str]) -> str:
    cells = [[unescaped(cell) for cell in line.strip()[2:-2].split(" | ")] for line in lines]
    right = [mark.endswith(":") for mark in cells[1]]
    body = "".join(table_row(row, "td", right) for row in cells[2:])
    return f"<table>{table_row(cells[0], 'th', right)}{body}</table>"


def unescaped(cell: str) -> str:
    r"""A cell as it was before `a | b` became `a \| b`."""
    return cell.strip().replace(r"\|", "|")


def table_row(cells: Iterable[str], tag: str, right: Iterable[bool]) -> str:
    made = (
        f"<{tag}{' class=num' if r else ''}>{escape(cell)}</{tag}>"
        for cell, r in zip(cells, right, strict=False)
    )
    return f"<tr>{''.join(made)}</tr>"


def history(output: str, contents: Contents) -> str:
    """The job behind an artefact and, step by step, the jobs behind its inputs."""
    if output not in contents.records:
        return ""
    lines = "".join(
        f"<li>{step(record) if record else f'<code>{escape(path)}</code>, given'}</li>"
        for path, record in contents.chain(output)
    )
    return f"<details><summary>how it was made</summary><ol>{lines}</ol></details>"


def step(record: dict) -> str:
    """`assimilate dkf/clean/ekf, 2.1 s` with outputs and settings to unfold."""
    outputs = ", ".join(f"<code>{escape(Path(p).name)}</code>" for p in record["outputs"])
    settings = json.dumps(record["spec"].get("config", {}), indent=1, ensure_ascii=False)
    code = str(record["spec"].get("code", ""))[:12]
    return (
        f"<b>{escape(job_name(record))}</b>, {duration(record['seconds'])}: {outputs}"
        f"<details><summary>settings</summary><pre>{escape(settings)}</pre>"
        f"<p>code <code>{escape(code)}</code>, commit <code>{commit(record)}</code></p></details>"
    )


def job_name(record: dict) -> str:
    labels = (v for k, v in record.get("wildcards", {}).items() if k != "scale")
    return f"{record['stage']} {'/'.join(labels)}".strip()


def commit(record: dict) -> str:
    return (
        f"{str(record.get('commit') or 'none')[:10]}{' + changes' if record.get('dirty') else ''}"
    )


def times(jobs: list[dict]) -> str:
    """Run time of each stage and of its longest job."""
    if not jobs:
        return ""
    stages: dict[str, list[dict]] = {}
    for record in jobs:
        stages.setdefault(record["stage"], []).append(record)
    total = {name: sum(r["seconds"] for r in many) for name, many in stages.items()}
    lines = "".join(
        table_row(
            [
                name,
                str(len(stages[name])),
                duration(total[name]),
                job_name(longest := max(stages[name], key=lambda r: r["seconds"])),
                duration(longest["seconds"]),
            ],
            "td",
            [False, True, True, False, True],
        )
        for name in sorted(total, key=lambda n: -total[n])
    )
    head = table_row(
        ["stage", "jobs", "time", "longest job", "time"], "th", [False, True, True, False, True]
    )
    return (
        "<section><h2>Run times</h2><p>Wall time of the run that computed each result, "
        "which may be older than the last one.</p>"
        f'<div class="wide"><table>{head}{lines}</table></div></section>'
    )


def software(jobs: list[dict]) -> str:
    """Versions, hosts and commits behind the results."""
    if not jobs:
        return ""
    facts = {
        "host": sorted({str(r.get("host")) for r in jobs}),
        "Python": sorted({str(r.get("python")) for r in jobs}),
        "commit": sorted({commit(r) for r in jobs}),
        "started": sorted({r["started"] for r in jobs})[:: max(1, len(jobs) - 1)],
        **{
            package: sorted({r["versions"].get(package, "") for r in jobs} - {""})
            for package in sorted({p for r in jobs for p in r["versions"]})
        },
    }
    lines = "".join(table_row([k, ", ".join(v)], "td", [False, False]) for k, v in facts.items())
    return f"<section><h2>Made with</h2><table>{lines}</table></section>"


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="made-from" content="{state}">
<title>dalib: results at scale {scale}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { --text: #1c1f23; --soft: #5b636d; --line: #dde1e6; --page: #ffffff; --card: #f6f7f9;
        --link: #0b5cad; --good: #05664b; --good-bg: #d9f1e8; --bad: #9c3a00; --bad-bg: #fbe3d4;
        --open: #55500a; --open-bg: #f6f0c2; --part: #0b5cad; --part-bg: #dcebfa; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7eb; --soft: #a0a8b3; --line: #363c45; --page: #15181c; --card: #1e2227;
          --link: #7db8f5; --good: #7fe0bd; --good-bg: #12382d; --bad: #ffb38a; --bad-bg: #47230f;
          --open: #ece28a; --open-bg: #3a370f; --part: #7db8f5; --part-bg: #12304d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; } h1 em { font-style: normal; color: var(--link); }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .25rem; }
a { color: var(--link); } .byline, .interval, .limit, .links, summary { color: var(--soft); }
.byline { margin: 0 0 1rem; }
.boxes { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; }
.box { padding: .6rem .8rem; border-radius: .5rem; background: var(--card); }
.box b { display: block; font-size: 1.35rem; } .box span { font-size: .85rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
.part { color: var(--part); }
.verdict { display: inline-block; padding: .1rem .55rem; border-radius: 1rem; font-weight: 600;
           font-size: .85rem; white-space: nowrap; }
.verdict.good { background: var(--good-bg); } .verdict.bad { background: var(--bad-bg); }
.verdict.open { background: var(--open-bg); } .verdict.part { background: var(--part-bg); }
.older { color: var(--bad); margin: 0 0 .7rem; }
.trouble { border: 2px solid var(--bad); border-radius: .5rem; padding: 0 1rem .5rem;
           margin-top: 1.5rem; } .trouble h2 { margin-top: 1rem; color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .75rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem;
         border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } .num { text-align: right; white-space: nowrap;
     font-variant-numeric: tabular-nums; }
th.num { white-space: normal; } figure table { font-size: .84rem; }
figure th, figure td { padding: .3rem .5rem; }
.claims { width: 100%; } .claims .id { white-space: nowrap; font-weight: 600; }
.claims td:nth-child(2) { min-width: 11rem; } .claims td:nth-child(3) { min-width: 8rem; }
.claims td:nth-child(4) { min-width: 20rem; } .interval, figure td { white-space: nowrap; }
.numbers { list-style: none; margin: 0; padding: 0; } .numbers li { margin-bottom: .15rem; }
figure { margin: 1.75rem 0; padding: 1rem; background: var(--card); border-radius: .5rem; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff;
             border-radius: .3rem; padding: .5rem; }
figure h3, figure h4 { margin: 1.1rem 0 .3rem; } figure h3:first-child { margin-top: 0; }
figure p, figure ul { max-width: 48rem; margin: .4rem 0; }
figcaption { margin-top: .7rem; } .links { white-space: nowrap; margin-left: .5rem; }
details { font-size: .88rem; margin-top: .3rem; } summary { cursor: pointer; }
details p { margin: .3rem 0; } ol { padding-left: 1.4rem; }
pre { overflow-x: auto; background: var(--page); padding: .6rem; border-radius: .3rem;
      font-size: .8rem; margin: .3rem 0; }
code { font-size: .88em; }
"""
