"""Numbers as they are meant: what a command line gives as text, and whole ones as whole numbers.

`--config 'paper={"rate": 0.1}'` arrives as text; `seed: 2026.0` is 2026.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from dalib.experiments import runs
from pipeline import changes, kinds, layout
from pipeline.fields import Classes, Kind

TUNE = "dalib.experiments.spec:Tune"


def converted(config: Mapping, classes: Classes) -> dict[str, Any]:
    """`config` with numbers that were given as text, wherever a number is meant."""
    papers = {name for name, section in config.items() if kinds.is_paper(section)}
    general = {key: value for key, value in config.items() if key not in papers}
    found = _section(general, layout.CONFIGURATION, classes)
    for name in papers:
        paper = _section(config[name], classes.paper(name), classes)
        found[name] = _convert_kinds(paper, classes, (name,))
    return {name: found[name] for name in config}


def _section(section: Mapping, dotted: str, classes: Classes) -> dict[str, Any]:
    """A section of the configuration, by the types of its dataclass."""
    settings = classes.settings(dotted, nested=True)
    return {
        key: _meant(value, settings[key].kind if key in settings else None, classes)
        for key, value in section.items()
    }


def _meant(value: Any, kind: Kind | None, classes: Classes) -> Any:
    """A value of a kind, and what is in it; None leaves it as it is."""
    if isinstance(value, Mapping):
        section = classes.section_of(kind, value) if kind else None
        if section:
            return _section(value, section, classes)
        return {k: _meant(v, kind.below if kind else None, classes) for k, v in value.items()}
    if isinstance(value, list):
        return [_meant(v, kind.element if kind else None, classes) for v in value]
    return as_meant(value, kind.names) if kind else value


def as_meant(value: Any, types: Iterable[str]) -> Any:
    """A number, true, false or null for its text, if that is meant and text is not; 4 for 4.0 where
    a whole number is meant.

    types: names of `fields.WORDS`.
    """
    if isinstance(value, float):
        return _whole(value) if "int" in types and "float" not in types else value
    if not isinstance(value, str) or not types or "str" in types:
        return value
    if "None" in types and value.lower() in ("", "null", "none"):
        return None
    if "bool" in types and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not {"int", "float"}.isdisjoint(types):
        for number in (int, float):
            try:
                found = number(value)
            except ValueError:
                continue
            return found if "float" in types else _whole(found)
    return value


def _whole(number: float) -> int | float:
    """4 for 4.0; others as they are."""
    return int(number) if math.isfinite(number) and number == int(number) else number


def _convert_kinds(paper: dict[str, Any], classes: Classes, path: kinds.Path) -> dict[str, Any]:
    """The same for the settings of classes, by their annotations, and for what studies change."""
    _convert_choices(paper, classes, path)
    for own in changes.tuned(paper):
        own["tune"] = _section(own["tune"], TUNE, classes)
    for change in changes.of_cases(paper, path):
        section = runs.case_at(change.section, {change.name: change.value})
        section = _section(section, classes.case(path[0]), classes)
        _convert_choices(section, classes, ("cases", ""))
        change.holder[change.key] = kinds.get(section, *change.name.split("."))
    for change in changes.of_methods(paper, path):
        given = change.settings
        for choice, own in changes.parts(given, change.section, change.role, change.path):
            _convert_settings(own, kinds.settings(choice, classes), classes)
        if change.name:
            change.holder[change.key] = kinds.get(given, *change.name.split("."))
        elif given:
            change.holder[change.key].update(given)
    return paper


def _convert_choices(tree: dict[str, Any], classes: Classes, path: kinds.Path) -> None:
    for choice in kinds.choices(tree, path):
        _convert_settings(choice.section, kinds.settings(choice, classes), classes)


def _convert_settings(section: dict[str, Any], settings: dict | None, classes: Classes) -> None:
    for name in section.keys() & (settings or {}).keys():
        if not isinstance(section[name], Mapping):  # a part has a class of its own
            section[name] = _meant(section[name], settings[name].kind, classes)
