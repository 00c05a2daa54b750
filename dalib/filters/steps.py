"""Models whose step asks for more than the state: the time, the interval, random numbers.

A `step` (or a `tangent`) may have parameters of these names, beside the states,

    time        model time of the states it is given
    interval    how far to move them
    generator   for a model that draws noise of its own

which are found once, in its signature, and given by name at each call.
"""

import dataclasses
import functools
import inspect
import itertools
from typing import Any, NamedTuple

from dalib.streams import Generator

NAMES = ("time", "interval", "generator")
MODELS = ("step", "tangent")


class Move(NamedTuple):
    """One call of a step: from `time` on for `interval`, both in model time."""

    time: float
    interval: float


Schedule = tuple[tuple[Move, ...], ...]  # of each observation, the calls that lead to it


def wanted(filter: Any) -> dict[str, tuple[str, ...]]:
    """{step or tangent: what it asks for} of a filter, and of the inner one of codes."""
    filter = getattr(filter, "inner", filter)
    found = {name: asked(getattr(filter, name, None)) for name in MODELS}
    return {name: names for name, names in found.items() if names}


def asked(function: Any) -> tuple[str, ...]:
    """Which of `NAMES` a function has as parameters, after its first."""
    if not callable(function):
        return ()
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a function written in another language nothing is known
        return ()
    named = {p.name for p in parameters[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return tuple(name for name in NAMES if name in named)


def moving(filter: Any, wants: dict, move: Move, generator: Generator) -> Any:
    """The filter whose step is given what it asks for."""
    if not wants:
        return filter
    if hasattr(filter, "inner"):
        return dataclasses.replace(filter, inner=moving(filter.inner, wants, move, generator))
    given = {**move._asdict(), "generator": generator}
    models = {
        name: functools.partial(getattr(filter, name), **{key: given[key] for key in keys})
        for name, keys in wants.items()
    }
    return dataclasses.replace(filter, **models)


def takes_interval(filter: Any) -> bool:
    """Whether one call of the step moves states over any interval."""
    return any("interval" in names for names in wanted(filter).values())


def check_same(filter: Any) -> None:
    """Refuse a step that asks for more than the state, of a method that takes it again later."""
    if wants := wanted(filter):
        asks = ", ".join(f"{name}({', '.join(names)})" for name, names in wants.items())
        raise ValueError(
            f"{type(filter).__name__} runs its model over a window again and again, so that it is "
            f"the same at all times and draws nothing; it asks for {asks}: give a step of the "
            "state alone"
        )


def calls(schedule: Schedule | None, times: int) -> list[int]:
    """How many steps from time 0 on lead to each of so many observations."""
    counts = [1] * times if schedule is None else [len(moves) for moves in schedule]
    return list(itertools.accumulate(counts))
