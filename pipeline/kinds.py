"""Choices of code in the configuration: where `kind:` stands, and which class it names.

The role of a kind is the key above it, or the singular of the collection that it is an entry of:

    system: {kind: lorenz63}                  role system
    filters: {ekf: {kind: ekf}}               role filter
    sampler: [{kind: a}, {kind: b}]           role sampler
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dalib.registry import REGISTRIES
from pipeline.fields import Classes, NoSuchClassError, Setting

REFERENCES = {"model": "models", "codec": "codecs", "filter": "filters"}  # key -> collection

Path = tuple[str | int, ...]  # keys and list positions from the top of the configuration


@dataclass(frozen=True)
class Choice:
    """A mapping with `kind:` and where it stands; the role is None where no role can stand."""

    path: Path
    role: str | None
    section: Mapping[str, Any]

    @property
    def kind(self) -> Any:
        return self.section.get("kind")

    @property
    def dotted(self) -> str | None:
        """ "package.module:Class", None if the kind is not known."""
        if isinstance(self.kind, str) and ":" in self.kind:
            return self.kind
        known = REGISTRIES[self.role] if self.role else {}
        return known.get(self.kind) if isinstance(self.kind, str) else None


def choices(tree: Any, path: Path = ()) -> Iterator[Choice]:
    """Every mapping with `kind:` in a tree that stands at `path` of the configuration."""
    if isinstance(tree, Mapping):
        if "kind" in tree:
            yield Choice(path, role(path), tree)
        for key, value in tree.items():
            yield from choices(value, (*path, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            yield from choices(value, (*path, position))


def role(path: Path) -> str | None:
    """The role of what stands at `path`: of the key above, else of the collection above that."""
    names = [key for key in path if isinstance(key, str)]
    for name in reversed(names[-2:]):
        for candidate in (name, singular(name)):
            if candidate in REGISTRIES:
                return candidate
    return None


def singular(collection: str) -> str:
    """`filters` -> `filter`, `studies` -> `study`, `analyses` -> `analysis`."""
    if collection.endswith("yses"):
        return collection.removesuffix("es") + "is"
    if collection.endswith("ies"):
        return collection.removesuffix("ies") + "y"
    return collection.removesuffix("s")


def is_paper(section: Any) -> bool:
    return isinstance(section, Mapping) and "cases" in section


def get(tree: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def completes(name: str, value: Any) -> bool:
    """Whether settings are laid over those of a part whose kind another section says."""
    return name in REGISTRIES and isinstance(value, Mapping) and "kind" not in value


def settings(choice: Choice, classes: Classes) -> dict[str, Setting] | None:
    try:
        return classes.settings(choice.dotted) if choice.dotted else None
    except NoSuchClassError:
        return None
