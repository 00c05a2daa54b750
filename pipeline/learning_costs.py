"""How much work an experiment of filters that learn is: multiplications, from its configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from dalib.points import Group, groups_of, training_of

OVERHEAD = 3e7  # multiplications of large products in the time that a step takes at least
BACKWARD = 2.0  # a gradient costs twice what it is the gradient of
# Of one component of one state; a convolution of few channels runs at a quarter of the speed.
NETWORK, POLYNOMIAL, SPECIES = 4 * 9387, 36, 12
RK4 = 4
SINGLE = ("var3d", "fixed_gain")  # filters of one state


def work(
    case: Mapping[str, Any], section: Mapping[str, Any], batch: int | None, split: str = "train"
) -> float:
    """Multiplications of one job that learns (`train`) or follows observations (`test`).

    Args:
        batch: number of the job; None for all of them.
    """
    groups = groups_of(section)
    chosen = groups if batch is None else groups[batch :: section["jobs"]]
    return sum(_of_group(case, section, group, split) for group in chosen)


def as_tuned(section: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment as the stage tune runs it: every candidate of learning rates in each repeat."""
    tune, shared = section["tune"], section["tune"]["per"] == "experiment"
    repeats = tune.get("repeats", 1) if shared else section["training"]["repeats"]
    candidates = math.prod(len(rates) for rates in tune["candidates"].values())
    own = {"epochs": tune["epochs"], "repeats": candidates * repeats}
    differing = {n: training | own for n, training in section.get("training_of", {}).items()}
    tuned = {**section, "training": section["training"] | own, "training_of": differing}
    return tuned | ({"sweeps": {}} if shared else {})


def _of_group(case: Mapping, section: Mapping, group: Group, split: str) -> float:
    training = training_of(section, group.filter)
    times = group.shared.get("samples", case["truth"][split]["samples"])
    name, passes = "test_trajectories", 1.0
    if split == "train":
        name, passes = "trajectories", training["epochs"] * (1 + BACKWARD)
    states = len(group.points) * training["repeats"] * training[name]
    return passes * times * (OVERHEAD + states * _step(case, section, group))


def _step(case: Mapping, section: Mapping, group: Group) -> float:
    """Of the forecast and the analysis of one trajectory."""
    size = case["system"].get("size", 6)
    single = section["filters"][group.filter]["kind"] in SINGLE
    members = 1 if single else group.shared["members"]
    seen = group.shared.get("observed", 1.0) * size
    kind = section["map"]
    each = {"ring": POLYNOMIAL * RK4, "species": SPECIES * RK4}.get(kind["kind"], size)
    if kind.get("correction") == "network":
        each += NETWORK * (RK4 if kind.get("reading") == "tendency" else 1)
    analysis = seen**3 / 3 + seen**2 * members + size * seen * members
    return members * size * each + analysis


def runs(section: Mapping[str, Any], batch: int | None) -> int:
    """Runs of one job, or of all of them, in all repeats."""
    groups: Iterable[Group] = groups_of(section)
    chosen = list(groups) if batch is None else list(groups)[batch :: section["jobs"]]
    return sum(len(group.points) for group in chosen) * section["training"]["repeats"]
