"""Which functions, classes and constants a stage can reach, and one hash of all of them.

Read from source text; nothing is imported. A unit is a top-level function, class or assignment; an
edge leads from it to every unit that its names can refer to. In doubt more is taken, never less:

    a module passed around as an object        every unit of that module
    getattr with a computed name, importlib,
    globals(), exec, `# codehash: whole`       every unit of the module where it stands
    a decorator not known to be harmless,
    a call of own code when a module loads     that unit, whenever its module is loaded

A top-level dictionary of dotted names (a registry) is no unit: what a job really names comes in as
a root. Nor is the machinery that runs the stages (`FRAME`). Files a module reads are listed beside
it in `CODEHASH_FILES`.

Python cannot be followed everywhere. Not seen are code found by its text (`eval` of a string),
subclasses found through their base class, and objects changed from outside their module; write such
things as an explicit dictionary, or mark the module.
"""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipeline.scopes import Target, Use
from pipeline.syntax import SCRIPT, SIDE, Definition, Source, Unit, read

# Nothing but the roots comes out of what these modules do with importlib.
RESOLVERS = {"dalib.build"}

# What runs the stages makes no numbers: a better message must not recompute anything. What of it
# reaches a result (names of random streams, threads, device) stands in the spec. What judges claims
# does make a result.
FRAME, COUNTED = {"pipeline"}, {"pipeline.claims"}

HARMLESS = {
    "abc.abstractmethod",
    "classmethod",
    "contextlib.contextmanager",
    "dataclasses.dataclass",
    "functools.cache",
    "functools.cached_property",
    "functools.lru_cache",
    "functools.total_ordering",
    "functools.wraps",
    "property",
    "staticmethod",
    "torch.inference_mode",
    "torch.no_grad",
    "typing.final",
    "typing.overload",
    "typing.runtime_checkable",
}
PROPERTY_PARTS = {"getter", "setter", "deleter"}  # `@size.setter`
DYNAMIC = {"__import__", "eval", "exec", "globals", "importlib", "pkgutil", "runpy", "sys.modules"}
STATIC = {"importlib.metadata", "importlib.resources"}
MODULE_ATTRIBUTES = {"__doc__", "__file__", "__name__", "__package__", "__path__", "__spec__"}


def closure(
    script: Path, roots: Iterable[str] = (), *, root: Path, strict_versions: bool = False
) -> dict[str, str]:
    """Every unit that `script` and the classes `roots` can reach, with its hash.

    Args:
        script: a file of its own, all of which counts.
        roots: dotted names "package.module:Class" of code that is chosen by configuration.
        root: the project's folder; modules found below it are followed. A root outside it counts
            by the version of its distribution.
        strict_versions: also take the major.minor version of each package that is imported.

    Returns:
        {"package.module:unit": hash}, sorted by name.
    """
    reach = Reach(Modules(root, script.parent))
    reach.script(script, root)
    for dotted in roots:
        reach.root(dotted)
    units = reach.hashes()
    if strict_versions:
        units |= _versions(reach.external)
    return dict(sorted(units.items()))


def digest(units: Mapping[str, str]) -> str:
    """One hash of a table of units."""
    return hashlib.sha256(json.dumps(sorted(units.items())).encode()).hexdigest()


@dataclass
class Modules:
    """Modules whose source lies in the project, found by name."""

    root: Path
    beside: Path  # the folder of the script, from which it can import
    known: dict[str, Source | None] = field(default_factory=dict)

    def get(self, name: str) -> Source | None:
        if name not in self.known:
            self.known[name] = self._read(name)
        return self.known[name]

    def has(self, name: str) -> bool:
        """Whether `name` is a module or a package of the project."""
        return self.get(name) is not None or self.is_namespace(name)

    def is_namespace(self, name: str) -> bool:
        """A folder of modules without `__init__.py`."""
        if name.split(".")[0] in sys.stdlib_module_names:
            return False
        folder = self.root.joinpath(*name.split("."))
        return folder.is_dir() and self.get(name) is None and any(folder.rglob("*.py"))

    def _read(self, name: str) -> Source | None:
        if name.split(".")[0] in sys.stdlib_module_names:  # a script may be called time.py
            return None
        for base in (self.root, self.beside):
            stem = base.joinpath(*name.split("."))
            for path in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
                if path.is_file():
                    return read(name, path, path.read_text(encoding="utf-8"))
        return None

    def below(self, package: Source) -> Iterator[str]:
        """Names of the modules and packages directly in a package."""
        if package.is_package:
            for path in sorted(package.path.parent.iterdir()):
                if (path / "__init__.py").is_file() or path.suffix == ".py":
                    if path.stem != "__init__":
                        yield f"{package.module}.{path.stem}"


@dataclass(frozen=True)
class Node:
    """What a name refers to: a unit, a whole module (unit None), or code outside the project."""

    module: str
    unit: str | None = None
    external: bool = False

    @property
    def name(self) -> str:
        return self.module if self.external else f"{self.module}:{self.unit or '*'}"


class Reach:
    """The units reached so far."""

    def __init__(self, modules: Modules):
        self.modules = modules
        self.units: dict[tuple[str, str], tuple[str, ...]] = {}  # -> what its names refer to
        self.loaded: set[str] = set()
        self.taken_whole: set[str] = set()
        self.external: set[str] = set()
        self.extra: dict[str, str] = {}  # data files, distributions
        self.todo: list[tuple[Source, str]] = []

    # -- where it starts ------------------------------------------------------------------------

    def script(self, path: Path, root: Path) -> None:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        source = read(name, path, path.read_text(encoding="utf-8"), is_script=True)
        self.modules.known[name] = source
        self._add(source, SCRIPT)
        self._run()

    def root(self, dotted: str) -> None:
        module, _, name = dotted.partition(":")
        if self.modules.has(module.split(".")[0]):
            if self.modules.get(module) is None:
                raise ValueError(f"{dotted}: there is no module {module}")
            nodes = self._member(module, (name,), frozenset())
            if not nodes or any(node.unit is None for node in nodes):
                raise ValueError(f"{dotted}: module {module} has no {name}")
            self._load(Target(module))
            self._follow(nodes)
            self._run()
        else:
            self.extra |= _distribution(module.split(".")[0])

    # -- the walk -------------------------------------------------------------------------------

    def _run(self) -> None:
        while self.todo:
            source, name = self.todo.pop()
            unit = source.unit(name)
            nodes = [node for use in unit.uses for node in self._resolve(source, use)]
            self.units[source.module, name] = tuple(node.name for node in nodes)
            for target in unit.imports:
                self._load(target)
            self._follow(nodes)
            if self._is_dynamic(source, unit, nodes):
                self._take_whole(source)

    def _add(self, source: Source, name: str) -> None:
        if (source.module, name) not in self.units:
            self.units[source.module, name] = ()
            self.todo.append((source, name))

    def _follow(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.external:
                continue
            source = self.modules.get(node.module)
            if source is None:  # a folder without __init__.py, passed around
                continue
            self._load(Target(node.module))
            if node.unit is None:
                self._take_whole(source)
            else:
                self._add(source, node.unit)

    def _is_dynamic(self, source: Source, unit: Unit, nodes: Iterable[Node]) -> bool:
        if source.module in RESOLVERS or source.is_script:
            return False
        return unit.computed_getattr or any(
            node.external and _begins_with(node.module, DYNAMIC) for node in nodes
        )

    def _take_whole(self, source: Source) -> None:
        """Every unit of a module, what it re-exports and, of a package, all modules in it."""
        if source.module in self.taken_whole:
            return
        self.taken_whole.add(source.module)
        for name in source.split.units:
            self._add(source, name)
        for name in source.split.imports:
            nodes = self._member(source.module, (name,), frozenset())
            self._follow(node for node in nodes if node.unit is not None)
        for name in self.modules.below(source):
            self._load(Target(name))
            self._take_whole(self.modules.get(name))

    # -- what an import executes ----------------------------------------------------------------

    def _load(self, target: Target) -> None:
        if not self.modules.has(target.module.split(".")[0]):
            self.external.add(target.module.split(".")[0])
            return
        parts = target.module.split(".")
        names = [".".join(parts[: n + 1]) for n in range(len(parts))]
        if target.name and self.modules.get(f"{target.module}.{target.name}"):
            names.append(f"{target.module}.{target.name}")
        for name in names:
            source = self.modules.get(name)
            if source is not None and name not in self.loaded:
                self.loaded.add(name)
                self._execute(source)

    def _execute(self, source: Source) -> None:
        self._add(source, SIDE)
        for target in source.split.executed:
            self._load(target)
        for name in source.split.units:
            if name != SIDE and self._runs_own_code(source, source.definition(name)):
                self._add(source, name)
        if source.whole:
            self._take_whole(source)
        for file in source.data_files:
            self._data_file(source, file)

    def _runs_own_code(self, source: Source, definition: Definition) -> bool:
        """Whether defining this unit may register it, or calls code of the project."""
        registering = (use for use in definition.decorators if use.chain[-1] not in PROPERTY_PARTS)
        decorated = (node for use in registering for node in self._resolve(source, use))
        called = (node for use in definition.called for node in self._resolve(source, use))
        return any(node.name not in HARMLESS for node in decorated) or any(
            not node.external for node in called
        )

    def _data_file(self, source: Source, file: str) -> None:
        path = source.path.parent / file
        if not path.is_file():
            raise FileNotFoundError(f"{source.path}: CODEHASH_FILES names {file}, which is missing")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        self.extra[f"{source.module}:<file {file}>"] = found

    # -- names ----------------------------------------------------------------------------------

    def _resolve(self, source: Source, use: Use) -> list[Node]:
        if use.origin:
            return self._target(use.origin, use.chain[1:], frozenset())
        found = self._binding(source, use.chain, frozenset())
        return [Node(".".join(use.chain), external=True)] if found is None else found

    def _target(self, target: Target, attributes: tuple[str, ...], seen: frozenset) -> list[Node]:
        """What `attributes` of an imported thing refer to."""
        if target.name == SIDE:
            return [Node(target.module, SIDE)]
        chain = (target.name, *attributes) if target.name else attributes
        if not self.modules.has(target.module.split(".")[0]):
            return [Node(".".join((target.module, *chain)), external=True)]
        return self._member(target.module, chain, seen)

    def _member(self, module: str, chain: tuple[str, ...], seen: frozenset) -> list[Node]:
        """What `module.a.b` refers to: a unit, or the module itself if the chain ends in one."""
        if not chain:
            return [Node(module)]
        if (module, chain) in seen:
            return []
        seen |= {(module, chain)}
        source = self.modules.get(module)
        found = None if source is None else self._binding(source, chain, seen)
        below = f"{module}.{chain[0]}"
        if self.modules.has(below):
            found = (found or []) + self._member(below, chain[1:], seen)
        if found is None:
            return [] if chain[0] in MODULE_ATTRIBUTES else [Node(module)]
        return found

    def _binding(self, source: Source, chain: tuple[str, ...], seen: frozenset) -> list | None:
        """What a name of a module refers to; None if the module does not bind it."""
        name, *attributes = chain
        found = None
        if name in source.split.units:
            found = [Node(source.module, name)]
        elif name in source.split.tables:
            found = []
        for target in source.split.imports.get(name, []):
            found = (found or []) + self._target(target, tuple(attributes), seen)
        for star in source.split.stars:
            taken_over = self._starred(star, chain, seen)
            if taken_over is not None:
                found = (found or []) + taken_over
        return found

    def _starred(self, module: str, chain: tuple[str, ...], seen: frozenset) -> list | None:
        """What a name refers to that `from module import *` may have brought."""
        source = self.modules.get(module)
        if source is None or (module, chain, "*") in seen:
            return None
        return self._binding(source, chain, seen | {(module, chain, "*")})

    # -- the result -----------------------------------------------------------------------------

    def hashes(self) -> dict[str, str]:
        """A unit's hash covers its text and, in order, what its names refer to."""
        table = dict(self.extra)
        for (module, name), refers_to in self.units.items():
            source = self.modules.get(module)
            if name == SIDE and not source.split.units[SIDE]:
                continue
            if _begins_with(module, FRAME) and not _begins_with(module, COUNTED):
                continue
            text = "\n".join([source.unit(name).text, *refers_to])
            table[f"{module}:{name}"] = hashlib.sha256(text.encode()).hexdigest()
        return table


def _begins_with(dotted: str, names: set[str]) -> bool:
    def within(known: set[str]) -> bool:
        return any(dotted == name or dotted.startswith(f"{name}.") for name in known)

    return within(names) and not within(STATIC)


@cache
def _packages() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _distribution(package: str) -> dict[str, str]:
    """{"distribution:<version>": version} of an installed top-level package."""
    names = _packages().get(package)
    if not names:
        raise ValueError(f"{package}: neither below the project's folder nor installed")
    return {f"{name}:<version>": importlib.metadata.version(name) for name in sorted(set(names))}


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """major.minor of the third-party packages among `packages`; one not installed has none."""
    found = {}
    for package in sorted(set(packages) - sys.stdlib_module_names):
        for name in sorted(set(_packages().get(package, []))):
            version = importlib.metadata.version(name)
            found[f"{name}:<version>"] = ".".join(version.split(".")[:2])
    return found
