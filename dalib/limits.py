"""Refuse numbers outside their limits, where an object is made: for `__post_init__`.

    def __post_init__(self) -> None:
        limits.at_least(1, steps=self.steps)
        limits.more_than(0, dt=self.dt)

The workflow reads the same lines, without running them, to check a configuration and to write
docs/configuration.md. Of a list every number counts; tensors are the business of who learns them.
"""

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any


def at_least(least: float, **values: Any) -> None:
    for name, value in values.items():
        for number in numbers(value):
            if number < least:
                raise ValueError(f"{name} is {number}, at least {least:g} is needed")


def more_than(bound: float, **values: Any) -> None:
    for name, value in values.items():
        for number in numbers(value):
            if number <= bound:
                raise ValueError(f"{name} is {number}, more than {bound:g} is needed")


def at_most(most: float, **values: Any) -> None:
    for name, value in values.items():
        for number in numbers(value):
            if number > most:
                raise ValueError(f"{name} is {number}, at most {most:g} is needed")


def less_than(bound: float, **values: Any) -> None:
    for name, value in values.items():
        for number in numbers(value):
            if number >= bound:
                raise ValueError(f"{name} is {number}, less than {bound:g} is needed")


def some(**values: Any) -> None:
    """Refuse empty lists and mappings."""
    for name, value in values.items():
        if isinstance(value, list | tuple | Mapping) and len(value) < 1:
            raise ValueError(f"{name} is empty, at least 1 entry is needed")


def numbers(value: Any) -> Iterator[float]:
    """The number, or those in a list or mapping; nothing of None, texts, true, false, tensors."""
    if isinstance(value, Real) and not isinstance(value, bool):
        yield value
    elif isinstance(value, Mapping):
        yield from numbers(list(value.values()))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from numbers(entry)
