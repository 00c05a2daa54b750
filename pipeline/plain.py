"""What no configuration may hold, whatever its schema.

That is: values that are no plain ones, and names that cannot stand in the path of a result.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline import kinds
from pipeline.problems import Problem, said

COLLECTIONS = (
    *("cases", "filters", "models", "learning", "codecs", "forecasters", "studies"),
    *("estimators", "generators"),
)
TAKEN = {  # names of folders that stand beside those of papers and of cases
    "paper": {"logs", "benchmarks"},
    "case": {"figures", "tables", "data"},
    "study": {"figures", "tables", "data"},
}


def value_problems(tree: Any, path: kinds.Path = ()) -> Iterator[Problem]:
    """Numbers that are not finite, and what is neither number, text, true, false, null, list nor
    mapping.
    """
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from value_problems(value, (*path, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            yield from value_problems(value, (*path, position))
    elif isinstance(tree, float) and not math.isfinite(tree):
        yield Problem(path, f"{tree} is given, a finite number is needed")
    elif not isinstance(tree, str | int | float | None):
        yield Problem(path, f"{said(tree)}, a number, text, list or mapping is needed")


def name_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Names of papers, cases, methods and models: they become folders and dotted names."""
    for paper, section in config.items():
        if not kinds.is_paper(section):
            continue
        yield from _refused((paper,), "paper")
        for collection in COLLECTIONS:
            lower: dict[str, str] = {}
            for name in map(str, _keys(section.get(collection))):
                yield from _refused((paper, collection, name), kinds.singular(collection))
                other = lower.setdefault(name.lower(), name)
                if other != name:  # one folder where the file system does not tell them apart
                    message = f"differs from {other} in the case of letters alone; choose another"
                    yield Problem((paper, collection, name), message)


def _keys(section: Any) -> list:
    return list(section) if isinstance(section, Mapping) else []


def _refused(path: kinds.Path, what: str) -> Iterator[Problem]:
    name = str(path[-1])
    if name in TAKEN.get(what, ()):
        yield Problem(path, f"there is a folder of this name; call the {what} otherwise")
    elif not re.fullmatch(r"\w+", name):
        proper = re.sub(r"\W+", "_", name).strip("_")
        such = f', such as "{proper}"' if proper else ""
        yield Problem(path, f"a name has letters, digits and _ only{such}")
