"""What a case of fields runs: filters, each at several points.

Plain values of the configuration, without torch: rules and the plan of a scale count them too.

    fields:
      base: {every: 10, noise: 0.1, start: noise, interval: 1, errors: given}
      methods:
        ensf: [{}, {every: 5}, {settings: {members: 5}}]     what differs from the base
        letkf: [{tuned: {inflation: [1.0, 1.2, 1.5], radius: [4.0, 8.0, 12.0]}}]
      tuning: {case: basin_valid, seeds: 3, analyses: 30, discard: 10}

Settings under `tuned` are chosen on validation trajectories, of all combinations of their values.
"""

from collections.abc import Iterator, Mapping
from itertools import product as combined
from typing import Any, NamedTuple

CONDITIONS = ("every", "noise", "start", "interval", "errors")  # under which a filter runs


class FieldRun(NamedTuple):
    """One filter under one set of conditions.

    Attributes:
        label: the filter's name, and what differs from the base.
        method: the filter's name.
        conditions: values of CONDITIONS.
        settings: of the filter, those of the point laid over its own.
        model: of the codec that it uses: its name, or its section once names were followed; None
            without.
        tuned: settings that validation chooses, a list of values in the place of each; {} without.
    """

    label: str
    method: str
    conditions: Mapping[str, Any]
    settings: Mapping[str, Any]
    model: Any
    tuned: Mapping[str, Any] = {}


def runs_of(product: Mapping, method: str, section: Mapping) -> list[FieldRun]:
    """All runs of one filter, in the order of its points.

    Args:
        product: `base` and `methods` of a case's fields.
        method: name of the filter.
        section: of the filter.

    Raises:
        ValueError: two points have the same label.
    """
    runs = [_run(product["base"], method, section, point) for point in product["methods"][method]]
    labels = [run.label for run in runs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(
            f"two points of {method} are both called {twice[0]!r}: where points differ in their "
            "model alone, give all but one a `label`"
        )
    return runs


def jobs_of(product: Mapping) -> dict[str, list[str]]:
    """{job: filters that it runs}: those of `jobs`, and every other filter by itself.

    Raises:
        ValueError: a filter is in two jobs, or is none of `methods`.
    """
    grouped = {name: list(filters) for name, filters in product.get("jobs", {}).items() if filters}
    named = [name for filters in grouped.values() for name in filters]
    for name in named:
        if name not in product["methods"] or named.count(name) > 1:
            raise ValueError(
                f"jobs of fields: {name!r} has to be one of the methods, in one job alone; methods "
                f"are {', '.join(product['methods'])}"
            )
    alone = {name: [name] for name in product["methods"] if name not in named}
    if both := sorted(grouped.keys() & alone.keys()):
        raise ValueError(
            f"jobs of fields: {both[0]!r} is a filter with a job of its own; call the job otherwise"
        )
    return grouped | alone


def runs_of_job(product: Mapping, job: str, filters: Mapping) -> list[FieldRun]:
    """All runs of a job, of one filter after the other; `filters` are the sections by name."""
    return [run for name in jobs_of(product)[job] for run in runs_of(product, name, filters[name])]


def _run(base: Mapping, method: str, section: Mapping, point: Mapping) -> FieldRun:
    conditions = {key: point.get(key, base[key]) for key in CONDITIONS if key in base}
    settings = laid_over(section, point.get("settings", {}))
    different = [f"{k}={v}" for k, v in conditions.items() if v != base[k]]
    different += [f"{k}={v}" for k, v in _leaves(point.get("settings", {}))]
    words = [point["label"]] if "label" in point else different
    model = point.get("model", section.get("model"))
    tuned = point.get("tuned", {})
    for name, values in _leaves(tuned):
        if not isinstance(values, list) or len(set(values)) < 3:
            raise ValueError(
                f"tuned: {name} of {method} has to be a list of three values or more, so that the "
                f"best can lie inside; got {values!r}"
            )
    return FieldRun(" ".join([method, *words]), method, conditions, settings, model, tuned)


def tried(run: FieldRun) -> list[tuple[dict[str, Any], FieldRun]]:
    """(values, run) of every combination of the settings that are tuned."""
    leaves = list(_paths(run.tuned))
    found = []
    for values in combined(*(choices for _, choices in leaves)):
        settings = run.settings
        for (path, _), value in zip(leaves, values, strict=True):
            for key in reversed(path):
                value = {key: value}
            settings = laid_over(settings, value)
        named = {path[-1]: value for (path, _), value in zip(leaves, values, strict=True)}
        found.append((named, run._replace(settings=settings, tuned={})))
    return found


def tunings_of(product: Mapping, names: list[str], filters: Mapping) -> bool:
    """Whether some run of these filters has settings that validation chooses."""
    return any(run.tuned for name in names for run in runs_of(product, name, filters[name]))


def altered(product: Mapping, method: str, section: Mapping) -> dict[str, list[str]]:
    """{label of a run: settings of the filter that its point changes}, `model` for that of a codec.

    A run at the base of its filter, under whatever conditions, has none.
    """
    runs, points = runs_of(product, method, section), product["methods"][method]
    return {
        run.label: [name for name, _ in _leaves(point.get("settings", {}))]
        + (["model"] if run.model != section.get("model") else [])
        for run, point in zip(runs, points, strict=True)
    }


def models_of(product: Mapping, method: str, section: Mapping) -> list[str]:
    """Names of the models that the runs of a filter use, each once."""
    return list(dict.fromkeys(r.model for r in runs_of(product, method, section) if r.model))


def laid_over(below: Mapping, above: Mapping) -> dict:
    """The keys of `above` in the place of those of `below`; mappings in both go together."""
    both = {
        key: laid_over(below[key], value)
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **both}


def _leaves(tree: Mapping) -> Iterator[tuple[str, Any]]:
    for path, value in _paths(tree):
        yield path[-1], value


def _paths(tree: Mapping, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in sorted(tree.items()):  # the same in whatever order they were written
        if isinstance(value, Mapping):
            yield from _paths(value, (*above, key))
        else:
            yield (*above, key), value
