"""Say in words what differs between a recorded result and what the stage would now do."""

import json
from collections.abc import Iterator, Mapping

_NO_VALUE = object()


def differences(
    record: Mapping, spec: Mapping, units: Mapping[str, str], inputs: Mapping | None = None
) -> list[str]:
    """One line for each reason why `record` is not the result of `spec`; empty if it is.

    Args:
        record: what a `.prov.json` holds; `spec`, `units` and `inputs` are read.
        spec: the present spec, `{"code": digest, "config": {name: section}, ...}`.
        units: the present table of units behind `spec["code"]`, name to hash.
        inputs: the present `{name: {path: hash}}`, or None if they are not to be compared.

    Returns:
        Lines such as `dalib.filters.particle:Particle changed`,
        `config case.observations.error_std: 1.0 -> 2.0`, `input observations changed`.
    """
    old = record["spec"]
    lines = []
    if old["code"] != spec["code"]:
        lines += _units(record.get("units") or {}, units) or ["code changed"]
    lines += [f"config {line}" for line in _values(old.get("config", {}), spec.get("config", {}))]
    lines += _values(*({k: v for k, v in s.items() if k not in _OWN_LINES} for s in (old, spec)))
    if inputs is not None:
        lines += _inputs(record.get("inputs", {}), inputs)
    return lines


_OWN_LINES = ("code", "config")


def _units(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Changed units first: a unit that came or went is mostly the consequence of a change."""
    if not old:
        return []
    changed = [
        f"{name} changed" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]
    ]
    added = [f"{name} is new" for name in sorted(new.keys() - old.keys())]
    gone = [f"{name} is gone" for name in sorted(old.keys() - new.keys())]
    return changed + added + gone


def _values(old: object, new: object, path: str = "") -> list[str]:
    return list(_compare(old, new, path))


def _compare(old: object, new: object, path: str) -> Iterator[str]:
    """`path: old -> new` for each differing leaf of two plain trees; lists count as leaves."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            below = f"{path}.{key}" if path else key
            yield from _compare(old.get(key, _NO_VALUE), new.get(key, _NO_VALUE), below)
    elif old is _NO_VALUE:
        yield f"{path}: new, {_show(new)}"
    elif new is _NO_VALUE:
        yield f"{path}: removed, was {_show(old)}"
    elif _show(old) != _show(new):  # in JSON 1 and 1.0 and true are three values
        yield f"{path}: {_show(old)} -> {_show(new)}"


def _show(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _inputs(old: Mapping, new: Mapping) -> list[str]:
    """Inputs are compared by name and content; where a file lies does not matter."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            lines.append(f"input {name} is new")
        elif name not in new:
            lines.append(f"input {name} is gone")
        elif list(old[name].values()) != list(new[name].values()):
            lines.append(f"input {name} changed")
    return lines
