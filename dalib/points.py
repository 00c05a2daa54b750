"""What an experiment of filters that learn runs: every filter at every point of its sweeps.

Plain values of the configuration, without torch: the plan of a scale counts them too.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

COORDINATES = ("start_variance", "obs_variance", "observed", "members", "rank", "samples")
SAME_SHAPE = ("start_variance", "obs_variance")  # points that differ in these alone run at once


class Run(NamedTuple):
    """One filter at one point: values of what is varied, by name."""

    filter: str
    point: Mapping[str, float]


class Group(NamedTuple):
    """Runs of one filter whose tensors have the same shapes, each in all repeats."""

    filter: str
    points: tuple[Mapping[str, float], ...]

    @property
    def shared(self) -> dict[str, float]:
        """What is the same at all points."""
        return {k: v for k, v in self.points[0].items() if k not in SAME_SHAPE}


def runs_of(section: Mapping[str, Any]) -> list[Run]:
    """Every filter at the base point, and at each point of the sweeps it takes part in."""
    found: dict[tuple, Run] = {}
    trained = list(section["learned"])
    sweeps = [{"filters": trained, "vary": {}}, *section["sweeps"].values()]
    for sweep in sweeps:
        for name in sweep.get("filters", trained):
            own = section["base_of"].get(name, {})
            points = [section["base"] | sweep.get("base", {}) | own]
            for axis, values in sweep["vary"].items():
                points = [point | {axis: value} for point in points for value in values]
            for point in points:
                found.setdefault((name, *sorted(point.items())), Run(name, point))
    return list(found.values())


def groups_of(section: Mapping[str, Any]) -> list[Group]:
    """The runs, those of the same shapes together."""
    together: dict[tuple, list[Run]] = {}
    for run in runs_of(section):
        shape = tuple(sorted((k, v) for k, v in run.point.items() if k not in SAME_SHAPE))
        together.setdefault((run.filter, shape), []).append(run)
    return [Group(name, tuple(run.point for run in runs)) for (name, _), runs in together.items()]


def base_point(section: Mapping[str, Any], filter: str) -> Mapping[str, float]:
    """The base point of a filter."""
    return section["base"] | section["base_of"].get(filter, {})


def training_of(section: Mapping[str, Any], filter: str) -> dict[str, Any]:
    """The settings of the training of a filter."""
    return section["training"] | section.get("training_of", {}).get(filter, {})


def one_repeat(section: Mapping[str, Any], filter: str, **training) -> dict[str, Any]:
    """An experiment with a single repeat, and with other settings of the training of a filter."""
    own = section["training_of"].get(filter, {}) | training | {"repeats": 1}
    return section | {"training_of": section["training_of"] | {filter: own}}
