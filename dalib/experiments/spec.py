"""Studies of a paper, read once from its configuration into typed values. No torch here.

    studies:
      noise:
        case: lorenz63                          what is simulated and observed
        task: forecast                          what methods do with it
        methods: {persistence: {kind: persistence}, esn: {units: 300}}
        vary: {observations.obs_std_relative: [0.0, 0.05]}
        base: {observations.obs_std_relative: 0.0}
        replicates: 3
        metrics: [vpt, {kind: vpt, name: vpt_strict, threshold: 0.2}]

A method without `kind` is an entry of the paper's `forecasters` (or `filters`, `estimators`,
`generators`), with other settings as given here. An axis of `vary` names a key of the case, or with
`method.` in front a setting of every method. Its values are numbers or texts, or labels of
anything: `{sparse: {kind: every_kth, k: 8}}`. Axes of `vary` are combined; those of `vary_each`
leave their base one at a time. A scale leaves a study out with null in its place.
"""

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

TASKS = {  # task: the collections of a paper that hold its methods, and their role
    "forecast": (("forecasters",), "forecaster"),
    "assimilate": (("filters", "estimators"), "estimator"),
    "sample": (("generators",), "generator"),
}
OF_METHODS = "method"  # the first part of the name of an axis that varies methods
SETTINGS = "settings"  # an axis whose values are settings, laid over those of a method
SPLITS = ("test", "valid")  # parts of the truth that a study can be on
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


class Problem(NamedTuple):
    """What is wrong, and where: keys from the top of a paper's section."""

    path: tuple
    message: str
    missing: bool = False


@dataclass(frozen=True)
class Axis:
    """Something that a study varies.

    Attributes:
        name: dotted, below the case (`observations.obs_std`) or a method (`method.members`).
        values: {label: value}; of plain values the label is the value.
        base: the label of the value that is kept while others vary.
        alone: whether it leaves its base only where all others of these stand at theirs.
        of: the methods that it varies; None for all.
    """

    name: str
    values: Mapping[Any, Any]
    base: Any
    alone: bool = False
    of: tuple[str, ...] | None = None

    def varies(self, method: str) -> bool:
        """Whether it varies a method: others stand at its base, or have no such setting."""
        return self.of is None or method in self.of

    @property
    def of_methods(self) -> bool:
        """Whether it varies settings of methods, not the case."""
        return self.name == SETTINGS or self.name.startswith(f"{OF_METHODS}.")

    @property
    def key(self) -> str:
        """Its name as a coordinate of results."""
        return self.name.replace(".", "_")

    @property
    def shapes(self) -> bool:
        """Whether arrays may have other shapes at other values: fractions and yes or no do not."""
        return not any(isinstance(value, float | bool) for value in self.values.values())


@dataclass(frozen=True)
class Study:
    """Every method at every combination of the values of its axes, in all replicates.

    Attributes:
        methods: {name: settings that differ here from those of the method}.
        axes: in the order of their names.
        replicates: of every method, or by the names of some; others have one.
        metrics: `kind` and settings of each, by the name of its scores.
        timing: what is timed, None for nothing.
        split: the part of the truth that is told, forecast or scored.
        tune: {method: what the validation part chooses of its settings}.
    """

    name: str
    case: str
    task: str
    methods: Mapping[str, Mapping[str, Any]]
    axes: tuple[Axis, ...] = ()
    replicates: int | Mapping[str, int] = 1
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timing: "Timing | None" = None
    split: str = "test"
    tune: Mapping[str, "Tune"] = field(default_factory=dict)

    def replicates_of(self, method: str) -> int:
        """How often a method is run; once where the study says so of others alone."""
        if isinstance(self.replicates, Mapping):
            return self.replicates.get(method, 1)
        return self.replicates

    def axis(self, name: str) -> Axis:
        return next(axis for axis in self.axes if axis.name == name)


@dataclass(frozen=True)
class Forecasts:
    """What is forecast in a case: `forecast` of its section.

    Args:
        context: samples that a method is given before each start.
        horizon: samples that it forecasts.
        starts: starts in each test trajectory, evenly spaced.
        first: samples of a trajectory before the first start; as many as the context where it is
            not given.
        climate: samples of a free run from the first start of each test trajectory; 0 for none.
        discard: samples at the beginning of a free run that statistics leave out.
    """

    context: int
    horizon: int
    starts: int
    first: int | None = None
    climate: int = 0
    discard: int = 0

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "starts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, at least 1 is needed")
        if self.first is not None and self.first < self.context:
            raise ValueError(
                f"first is {self.first}: a start needs the {self.context} samples of its context "
                "before it"
            )
        if not 0 <= self.discard <= self.climate:
            raise ValueError(
                f"discard is {self.discard} and climate {self.climate}: of a free run some samples "
                "have to be left"
            )

    @property
    def seen(self) -> int:
        """Samples of a trajectory before the first start."""
        return self.context if self.first is None else self.first


@dataclass(frozen=True)
class Analyses:
    """What counts of the analyses of a case: `assimilate` of its section.

    Args:
        discard: analyses at the beginning that scores leave out, while a method finds the truth.
        sampled: components whose members are kept, of states so large that neither all members nor
            the standard deviation of every component are; None where all is kept.
    """

    discard: int = 0
    sampled: int | None = None

    def __post_init__(self) -> None:
        if self.discard < 0:
            raise ValueError(f"discard is {self.discard}, at least 0 is needed")


@dataclass(frozen=True)
class Samples:
    """What is drawn in a case: `sample` of its section.

    Args:
        count: states that a method draws.
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count is {self.count}, at least 1 is needed")


@dataclass(frozen=True)
class Timing:
    """CPU times of the methods of a study at its base, measured in turn: `timing` of its section.

    Args:
        repetitions: rounds in which each is measured once.
        seeds: test trajectories that are assimilated, or from which forecasts start.
        samples: observations of each that are assimilated.
        count: states that are drawn, or horizon of a forecast.
        beside: studies whose methods are measured in the same rounds, so that they can be compared.
        methods: those that are measured; all without it.
        settings: {method: settings with which it is measured, laid over its own}.
    """

    repetitions: int
    seeds: int = 1
    samples: int = 100
    count: int = 100
    beside: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("repetitions", "seeds", "samples", "count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, at least 1 is needed")


@dataclass(frozen=True)
class Tune:
    """Settings of a method that validation trajectories choose: `tune` of a method in a study.

    Args:
        grid: {dotted name of a setting: its values}, of all combinations.
        seeds: validation trajectories, from the first.
        analyses: of each.
        discard: analyses at the beginning that the mean error leaves out.
    """

    grid: Mapping[str, Any]
    seeds: int
    analyses: int
    discard: int = 0

    def __post_init__(self) -> None:
        if self.seeds < 1 or not 0 <= self.discard < self.analyses:
            raise ValueError(
                f"seeds is {self.seeds}, analyses {self.analyses} and discard {self.discard}: no "
                "analysis is left to choose by"
            )
        if not isinstance(self.grid, Mapping) or not self.grid:
            raise ValueError("grid: {setting: values} is needed")
        for name, values in self.grid.items():
            if not isinstance(values, list) or len(set(values)) < 3:
                raise ValueError(
                    f"{name} has to be a list of three values or more, so that the best can lie "
                    f"inside; got {values!r}"
                )


# Of a case, what its tasks need: key and class.
SECTIONS = {"forecast": Forecasts, "assimilate": Analyses, "sample": Samples}


def studies(paper: Mapping[str, Any]) -> dict[str, Study]:
    """The studies of a paper whose section has been found right; what is null is not run."""
    given = paper.get("studies", {})
    return {name: _study(name, section) for name, section in given.items() if section is not None}


def problems(paper: Mapping[str, Any]) -> Iterator[Problem]:
    """All that is wrong with the studies of a paper; nothing if there are none."""
    given = paper.get("studies", {})
    if not isinstance(given, Mapping):
        yield Problem(("studies",), "studies by name are needed: {name: {case: ..., task: ...}}")
        return
    for name, section in given.items():
        if section is None:
            continue
        yield from _study_problems(paper, ("studies", name), name, section)


def method(paper: Mapping[str, Any], study: Study, name: str) -> dict[str, Any]:
    """The section of a method: that of the paper's collection with the settings of the study."""
    collection = collection_of(paper, study.task, name)
    shared = paper[collection][name] if collection else {}
    return over(shared, study.methods[name])


def collection_of(paper: Mapping[str, Any], task: str, name: str) -> str | None:
    """Where a paper has a method that its studies share; None where it has not."""
    collections, _ = TASKS[task]
    return next((one for one in collections if name in paper.get(one, {})), None)


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, `above` on top; within parts too, unless they are of another kind."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        same = both and value.get("kind", under.get("kind")) == under.get("kind")
        found[key] = over(under, value) if same else value
    return found


# -- one study -----------------------------------------------------------------------------------

KEYS = (
    *("case", "task", "methods", "vary", "vary_each", "of", "base", "replicates", "metrics"),
    *("timing", "split"),
)
REQUIRED = ("case", "task", "methods", "metrics")
VARIED = ("vary", "vary_each")
LISTS = ("beside", "methods")  # of a timing


def _study(name: str, section: Mapping[str, Any]) -> Study:
    base, timing, of = section.get("base", {}), section.get("timing"), section.get("of", {})
    methods = {method: dict(own or {}) for method, own in section["methods"].items()}
    axes = {
        axis: (_values(values), key == "vary_each")
        for key in VARIED
        for axis, values in section.get(key, {}).items()
    }
    return Study(
        name,
        section["case"],
        section["task"],
        {name: {k: v for k, v in own.items() if k != "tune"} for name, own in methods.items()},
        tuple(
            Axis(
                axis,
                values,
                base.get(axis, next(iter(values))),
                alone,
                tuple(of[axis]) if axis in of else None,
            )
            for axis, (values, alone) in sorted(axes.items())
        ),
        section.get("replicates", 1),
        {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in _metrics(section)},
        Timing(**{k: tuple(v) if k in LISTS else v for k, v in timing.items()}) if timing else None,
        section.get("split", SPLITS[0]),
        {name: Tune(**own["tune"]) for name, own in methods.items() if "tune" in own},
    )


def _values(values: Any) -> dict[Any, Any]:
    return dict(values) if isinstance(values, Mapping) else {value: value for value in values}


def _metrics(section: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = [{"kind": one} if isinstance(one, str) else dict(one) for one in section["metrics"]]
    return [{"name": one["kind"], **one} for one in given]


def _study_problems(paper: Mapping, path: tuple, name: str, section: Any) -> Iterator[Problem]:
    if not isinstance(section, Mapping):
        yield Problem(path, f"a mapping with {', '.join(REQUIRED)} is needed")
        return
    yield from _key_problems(section, KEYS, REQUIRED, path)
    cases = paper.get("cases", {})
    case, task = section.get("case"), section.get("task")
    if name in cases:
        yield Problem(path, "a case has this name; call the study otherwise")
    if "case" in section and not _known(case, cases):
        yield Problem((*path, "case"), _unknown("case", case, cases))
    if "task" in section and not _known(task, TASKS):
        yield Problem((*path, "task"), _unknown("task", task, TASKS))
    yield from _replicate_problems(section, path)
    if not _known(section.get("split", SPLITS[0]), SPLITS):
        yield Problem((*path, "split"), _unknown("part", section["split"], SPLITS))
    yield from _method_problems(paper, section, path)
    yield from _metric_problems(section, path)
    found = cases[case] if _known(case, cases) else None
    yield from _axis_problems(found, section, path)
    yield from _timing_problems(paper, section, path)
    if not isinstance(found, Mapping):
        return
    if _known(task, SECTIONS):
        where = ("cases", case)
        if task not in cases[case]:
            yield Problem(where, f'"{task}" is missing: study {name} needs it', missing=True)
        else:
            yield from typed_problems(SECTIONS[task], cases[case][task], (*where, task))


def _replicate_problems(section: Mapping, path: tuple) -> Iterator[Problem]:
    given, methods = section.get("replicates", 1), section.get("methods", {})
    for name, count in given.items() if isinstance(given, Mapping) else [(None, given)]:
        where = (*path, "replicates", *([] if name is None else [name]))
        if name is not None and not _known(name, methods):
            yield Problem((*path, "replicates"), _unknown("method", name, methods))
        elif not isinstance(count, int) or count < 1:
            yield Problem(where, "a whole number of at least 1 is needed")


def _method_problems(paper: Mapping, section: Mapping, path: tuple) -> Iterator[Problem]:
    methods, task = section.get("methods"), section.get("task")
    if "methods" not in section:
        return
    if not isinstance(methods, Mapping) or not methods:
        yield Problem((*path, "methods"), "methods with settings are needed: {name: {}}")
        return
    collections = TASKS[task][0] if _known(task, TASKS) else ()
    known = [n for c in collections for n in paper.get(c, {})] if collections else methods
    for name, own in methods.items():
        if own is not None and not isinstance(own, Mapping):
            yield Problem((*path, "methods", name), "settings are needed, {} for none")
        elif name not in known and "kind" not in (own or {}):
            message = f"{_unknown('method', name, known)}; or give it a kind"
            yield Problem((*path, "methods", name), message)
        elif own and "tune" in own:
            yield from typed_problems(Tune, own["tune"], (*path, "methods", name, "tune"))


def _metric_problems(section: Mapping, path: tuple) -> Iterator[Problem]:
    metrics = section.get("metrics", [])
    fit = isinstance(metrics, list) and all(
        isinstance(one, str)
        or (isinstance(one, Mapping) and _texts(one.get("kind"), one.get("name", "")))
        for one in metrics
    )
    if not fit:
        message = "a list of names, or of mappings with `kind` and perhaps a `name`, is needed"
        yield Problem((*path, "metrics"), message)
        return
    names = [one["name"] for one in _metrics(section)] if metrics else []
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem((*path, "metrics"), f"{name} is asked for twice; give one another `name`")


def _texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _axis_problems(case: Any, section: Mapping, path: tuple) -> Iterator[Problem]:
    """Axes that vary nothing, and base points that are not written or not among the values."""
    given = {key: section.get(key, {}) for key in (*VARIED, "of", "base")}
    for key, value in given.items():
        if not isinstance(value, Mapping):
            yield Problem((*path, key), "a mapping with an entry for each axis is needed")
            return
    *varied, of, base = given.values()
    vary = {name: values for one in varied for name, values in one.items()}
    for key, one in (("of", of), ("base", base)):
        for name in one.keys() - vary.keys():
            yield Problem((*path, key, name), _unknown("axis", name, vary))
    for name, methods in of.items():
        for method in methods if isinstance(methods, list) else [methods]:
            if not _known(method, section.get("methods", {})):
                message = _unknown("method", method, section.get("methods", {}))
                yield Problem((*path, "of", name), message)
    for name in given["vary"].keys() & given["vary_each"].keys():
        yield Problem((*path, "vary_each", name), "it is in `vary` too; an axis is of one of both")
    for name, values in vary.items():
        where = (*path, next(key for key in VARIED if name in given[key]), name)
        plain = isinstance(values, list) and all(isinstance(v, int | float | str) for v in values)
        if not (plain or isinstance(values, Mapping)) or not values:
            yield Problem(where, "a list of numbers or texts, or {label: value}, is needed")
            continue
        if plain and len(set(values)) < len(values):
            yield Problem(where, "a value is given twice")
        there = ", ".join(map(str, values))
        if name not in base and len(values) > 1:
            message = f"the base point of {name} is missing; one of {there}"
            yield Problem((*path, "base"), message, missing=True)
        elif name in base and not _known(base[name], _values(values)):
            yield Problem((*path, "base", name), f"{base[name]} is none of the values {there}")
        of_case = name != SETTINGS and not name.startswith(f"{OF_METHODS}.")
        if isinstance(case, Mapping) and of_case:
            yield from _leaf_problems(case, name, where)


def _timing_problems(paper: Mapping, section: Mapping, path: tuple) -> Iterator[Problem]:
    """What a timing says that is none, and studies beside it that are not there."""
    timing, others = section.get("timing"), paper.get("studies", {})
    if timing is None:
        return
    plain = {k: v for k, v in timing.items() if k not in LISTS} if _is_map(timing) else timing
    yield from typed_problems(Timing, plain, (*path, "timing"))
    methods = section.get("methods", {})
    for key, what, known in (("beside", "study", others), ("methods", "method", methods)):
        names = timing.get(key, ()) if _is_map(timing) else ()
        for i, name in enumerate(names if isinstance(names, list) else ()):
            if not _known(name, known):
                yield Problem((*path, "timing", key, i), _unknown(what, name, known))


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _leaf_problems(case: Mapping, name: str, where: tuple) -> Iterator[Problem]:
    section: Any = case
    for key in name.split("."):
        if not isinstance(section, Mapping) or key not in section:
            known = section if isinstance(section, Mapping) else ()
            yield Problem(where, f"{_unknown('key', key, known)}; settings of methods: method.*")
            return
        section = section[key]


# -- typed sections ------------------------------------------------------------------------------


def typed_problems(cls: type, section: Any, path: tuple) -> Iterator[Problem]:
    """What a dataclass refuses of a section: keys, types, and what its `__post_init__` says."""
    if not isinstance(section, Mapping):
        yield Problem(path, "a mapping is needed")
        return
    hints = typing.get_type_hints(cls)
    required = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
    found = list(_key_problems(section, tuple(hints), tuple(required), path))
    for name in section.keys() & hints.keys():
        if not _is(section[name], hints[name]):
            found.append(Problem((*path, name), f"{section[name]!r}: {_words(hints[name])} needed"))
    yield from found
    if not found:
        try:
            cls(**section)
        except ValueError as error:
            yield Problem(path, str(error))


def _is(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is Mapping:
        return isinstance(value, Mapping)
    allowed = typing.get_args(hint) or (hint,)
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed) or (isinstance(value, int) and float in allowed)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is Mapping:
        return "a mapping is"
    names = [WORDS.get(one, "null") for one in typing.get_args(hint) or (hint,)]
    return f"{' or '.join(names)} is"


def _key_problems(section: Mapping, known: Iterable, required: Iterable, path: tuple) -> Iterator:
    for key in section.keys() - set(known):
        yield Problem((*path, key), _unknown("key", key, known))
    for key in required:
        if key not in section:
            yield Problem(path, f'"{key}" is missing', missing=True)


def _known(name: Any, names: Iterable) -> bool:
    """Whether a name or a value is one of those; a mapping or a list is none."""
    return not isinstance(name, Mapping | list) and name in names


def _unknown(what: str, name: Any, known: Iterable[str]) -> str:
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), names, n=1)
    meant = f' (did you mean "{near[0]}"?)' if near else ""
    there = f"there are: {', '.join(names)}" if names else "there are none"
    return f'unknown {what} "{name}"{meant}; {there}'
