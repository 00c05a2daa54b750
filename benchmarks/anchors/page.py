"""The outcome of all checks as a table of the terminal, a page and a NetCDF file."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
import xarray as xr

from benchmarks.anchors.checks import MET, NOT_MET, SHOWN, SKIPPED, Outcome
from dalib import io

HEADER = ("check", "published", "ours", "difference", "tolerance", "verdict")
STYLE = """
:root { color-scheme: light dark; --rule: #8884; --good: #16794c; --bad: #b3261e; --quiet: #777; }
@media (prefers-color-scheme: dark) { :root { --good: #5fd39b; --bad: #ff8a80; --quiet: #999; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font-size: 1.15rem; margin-top: 2rem; } p.source, small { color: var(--quiet); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--rule); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.met { color: var(--good); } td.not-met { color: var(--bad); font-weight: 600; }
td.skipped, td.shown { color: var(--quiet); }
"""


def line(outcome: Outcome) -> str:
    """One line of the terminal."""
    check, tolerance = outcome.check, outcome.measured and outcome.measured.tolerance
    if outcome.measured is None:
        return f"{SKIPPED:8} {check.name}: {outcome.reason}"
    numbers = f"published {check.published:.6g}, ours {outcome.measured.value:.6g}"
    allowed = "" if tolerance is None else f", tolerance {tolerance:.2g}"
    numbers += f", difference {outcome.difference:+.3g}"
    return f"{outcome.verdict:8} {check.name}: {numbers}{allowed} ({outcome.seconds:.0f} s)"


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many of each verdict."""
    count = {v: sum(o.verdict == v for o in outcomes) for v in (MET, NOT_MET, SHOWN, SKIPPED)}
    return (
        f"{count[MET]} met, {count[NOT_MET]} not met, {count[SHOWN]} shown without a tolerance, "
        f"{count[SKIPPED]} skipped"
    )


def dataset(outcomes: Sequence[Outcome]) -> xr.Dataset:
    """published, ours, difference, tolerance and interval along `check`."""
    measured = [o.measured for o in outcomes]
    nan = (np.nan, np.nan)
    columns = {
        "published": ([o.check.published for o in outcomes], "published value"),
        "ours": ([m.value if m else np.nan for m in measured], "value measured here"),
        "difference": ([o.difference for o in outcomes], "ours less published"),
        "tolerance": (
            [m.tolerance if m and m.tolerance is not None else np.nan for m in measured],
            "largest difference of a check that is met; NaN where none was fixed",
        ),
        "seconds": ([o.seconds for o in outcomes], "CPU time"),
    }
    found = xr.Dataset(
        {
            name: ("check", np.asarray(values, float), {"long_name": text, "units": "1"})
            for name, (values, text) in columns.items()
        }
    )
    found.seconds.attrs["units"] = "s"
    bounds = [m.interval or nan if m else nan for m in measured]
    found["interval"] = (
        ("check", "bound"),
        np.asarray(bounds, float),
        {"long_name": "95 % interval of the value measured here", "units": "1"},
    )
    texts = {
        "group": ([o.check.group for o in outcomes], "source"),
        "name": ([o.check.name for o in outcomes], "what is compared"),
        "verdict": ([o.verdict for o in outcomes], "met, not met, shown or skipped"),
        "note": ([o.reason for o in outcomes], "remark, or why it was skipped"),
    }
    return found.assign_coords(
        {n: ("check", v, {"long_name": text, "units": "1"}) for n, (v, text) in texts.items()}
    )


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    """`anchors.nc` and `anchors.html`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = dataset(outcomes)
    io.write(
        found,
        folder / "anchors.nc",
        title="published numbers and ours",
        missing=[n for n in ("ours", "difference", "tolerance", "interval")],
    )
    page, part = folder / "anchors.html", folder / "anchors.html.part"
    part.write_text(html(outcomes), encoding="utf-8")
    part.replace(page)


def html(outcomes: Sequence[Outcome]) -> str:
    """One self-contained page."""
    groups = list(dict.fromkeys(o.check.group for o in outcomes))
    tables = "\n".join(_group(g, [o for o in outcomes if o.check.group == g]) for g in groups)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Published numbers and ours</title><style>{STYLE}</style></head><body><main>"
        f"<h1>Published numbers and ours</h1><p>{escape(summary(outcomes))}. Tolerances were fixed "
        "before measuring; intervals of 95 % come from a bootstrap over seeds or systems.</p>"
        f"{tables}</main></body></html>\n"
    )


def _group(name: str, outcomes: Iterable[Outcome]) -> str:
    outcomes = list(outcomes)
    heads = "".join(
        f'<th scope="col"{_number(0 < k < 5)}>{escape(h)}</th>' for k, h in enumerate(HEADER)
    )
    rows = "\n".join(map(_row, outcomes))
    sources = "; ".join(dict.fromkeys(o.check.source for o in outcomes))
    return (
        f'<h2>{escape(name)}</h2><p class="source">{escape(sources)}</p><div class="scroll">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(outcome: Outcome) -> str:
    check, measured = outcome.check, outcome.measured
    cells = [f"{check.published:.6g}", "–", "–", "–"]
    if measured is not None:
        ours = f"{measured.value:.6g}"
        if measured.interval:
            ours += f" <small>[{measured.interval[0]:.4g}, {measured.interval[1]:.4g}]</small>"
        allowed = "–" if measured.tolerance is None else f"{measured.tolerance:.2g}"
        cells = [cells[0], ours, f"{outcome.difference:+.3g}", allowed]
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    note = f"<br><small>{escape(outcome.reason)}</small>" if outcome.reason else ""
    kind = outcome.verdict.replace(" ", "-")
    return (
        f'<tr><th scope="row">{escape(check.name)}{note}</th>{numbers}'
        f'<td class="{kind}">{escape(outcome.verdict)}</td></tr>'
    )


def _number(yes: bool) -> str:
    return ' class="number"' if yes else ""
