"""Spans of time in the sections of a reanalysis: dates, their order, and the hours between them."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from pipeline import kinds
from pipeline.problems import Problem

SPANS = {"era5": ("train", "valid", "test"), "stations": ("train", "test")}


def problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Spans that are none, or share times; analyses that come between two steps of the model."""
    for paper, section in config.items():
        cases = section["cases"] if kinds.is_paper(section) else {}
        for case in cases if isinstance(cases, Mapping) else ():
            for key, names in SPANS.items():
                found = kinds.get(cases, case, key)
                if isinstance(found, Mapping):
                    yield from _of_section(found, names, (paper, "cases", case, key))


def _of_section(section: Mapping, names: tuple[str, ...], path: kinds.Path) -> Iterator[Problem]:
    ends = {}
    for name in names:
        span = section.get(name)
        if not isinstance(span, list) or len(span) != 2:
            continue  # the schema says so
        days = [_day(end, last) for end, last in zip(span, (False, True), strict=True)]
        for position, day in enumerate(days):
            if day is None:
                wanted = 'a year, or a date such as "2019-03-01", is needed'
                yield Problem((*path, name, position), f"{span[position]} is given, {wanted}")
        if None not in days and days[0] > days[1]:
            yield Problem((*path, name), f"it ends, {span[1]}, before it begins, {span[0]}")
        elif None not in days:
            ends[name] = days
    ordered = sorted(ends, key=ends.get)
    for before, after in zip(ordered[:-1], ordered[1:], strict=True):
        if ends[before][1] >= ends[after][0]:
            yield Problem((*path, after), f"it shares days with {before}; keep them apart")
    step, between = section.get("step_hours"), section.get("analysis_hours")
    if isinstance(step, int) and isinstance(between, int) and step > 0 and between % step:
        message = f"{between} hours are no multiple of step_hours, {step}"
        yield Problem((*path, "analysis_hours"), message)


def _day(end: Any, last: bool) -> date | None:
    """The first or the last day of a year, or the day of a date; None for anything else."""
    try:
        if isinstance(end, int) or len(end) == 4:
            return date(int(end), 12, 31) if last else date(int(end), 1, 1)
        return datetime.fromisoformat(end).date()
    except (TypeError, ValueError):
        return None
