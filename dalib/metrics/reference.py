"""docs/metrics.md, from the docstrings and settings of the registered metrics.

python -m dalib.metrics.reference > docs/metrics.md
"""

import importlib
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import groupby

from dalib.registry import METRICS

HEAD = """# Metrics

Made by `python -m dalib.metrics.reference > docs/metrics.md` from the docstrings; do not edit.

A study names its metrics: `metrics: [vpt, {kind: vpt, name: vpt_strict, threshold: 0.2}]`. Each is
a frozen dataclass of settings, called with an `Evaluation` (`dalib/metrics/base.py`); each formula
is a plain function, e.g. `dalib.metrics.vpt(...)`. *Asks* are the fields of the evaluation that
must be there, *keeps* the dimensions of the result, *diverged* what a run without finite values
gets: the worst value there is, never a gap that a later mean would skip. What a metric drops is
said at the metric.
"""
KEYS = ("Range", "Source", "Diverged")


def markdown(metrics: Mapping[str, str] = METRICS) -> str:
    """The page: a table of all metrics, then each with its formula, module by module."""
    classes = {name: _class(dotted) for name, dotted in metrics.items()}
    rows = [
        f"| [`{name}`](#{name}) | {_first(cls.function)} | {cls.units} | {_parts(cls)['Range']} |"
        for name, cls in classes.items()
    ]
    table = ["| name | what | units | range |", "| --- | --- | --- | --- |", *rows]
    parts = [HEAD, "\n".join(table) + "\n"]
    for module, group in groupby(classes.items(), key=lambda one: one[1].__module__):
        parts.append(f"## {module}\n\n{inspect.getdoc(importlib.import_module(module))}\n")
        parts += ["\n".join(_section(name, cls)) for name, cls in group]
    return "\n".join(parts)


def _class(dotted: str) -> type:
    module, name = dotted.split(":")
    return getattr(importlib.import_module(module), name)


def _section(name: str, cls: type) -> Iterator[str]:
    """One metric: its text, what it asks for and its settings."""
    parts = _parts(cls)
    yield f"### `{name}`\n"
    yield f"{parts['text']}\n"
    yield f"- registered: {inspect.cleandoc(cls.__doc__).replace(chr(10), ' ')}"
    yield f"- units: {cls.units}; range: {parts['Range']}"
    takes = f"; uses, if there: {_names(cls.takes)}" if cls.takes else ""
    yield f"- asks: {_names(cls.asks)}{takes}"
    yield f"- {_keeps(cls)}"
    if cls.worst is not None or parts["Diverged"]:
        yield f"- diverged: {' '.join(filter(None, [_number(cls.worst), parts['Diverged']]))}"
    if fields(cls):
        yield f"- settings: {', '.join(f'`{f.name}` = {_value(f.default)}' for f in fields(cls))}"
    if parts["Source"]:
        yield f"- source: {parts['Source']}"
    yield ""


def _parts(cls: type) -> dict[str, str]:
    """The docstring of the formula: its text, and what stands after `Range:` and the like."""
    parts, text = dict.fromkeys(KEYS, ""), []
    key = None
    for line in inspect.getdoc(cls.function).splitlines():
        found = next((k for k in KEYS if line.startswith(f"{k}: ")), None)
        if found or not line:
            key = found
        if key:
            parts[key] += f" {line.removeprefix(f'{key}:').strip()}"
        else:
            text.append(line)
    return {**{k: v.strip() for k, v in parts.items()}, "text": "\n".join(text).strip()}


def _first(function) -> str:
    return inspect.getdoc(function).split("\n\n")[0].replace("\n", " ").rstrip(".")


def _keeps(cls: type) -> str:
    over = f" but {', '.join(cls.over)}" if cls.over else ""
    adds = ", ".join(cls.adds) if isinstance(cls.adds, tuple) else "threshold, if there are several"
    return f"keeps: the dimensions of `{cls.scored}`{over}" + (f"; adds {adds}" if adds else "")


def _names(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return {math.inf: "∞."}.get(value, "NaN." if math.isnan(value) else f"{value:g}.")


def _value(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    print(markdown(), end="")
