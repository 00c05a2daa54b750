"""The configuration: layers put together, every mistake named with the layer it came from.

    config.yaml, papers/<paper>/config.yaml
        < `scales` in config.yaml, papers/<paper>/scales/<scale>.yaml
        < files of --configfile
        < --config

The papers are those that `papers` lists. Mappings merge, lists and numbers are replaced.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dalib import io
from pipeline import kinds, layout, paths, plain, spans
from pipeline.checks import check, kind_problems
from pipeline.conversion import converted
from pipeline.errors import ConfigError
from pipeline.fields import Classes
from pipeline.problems import Problem, said, unknown

__all__ = ["ConfigError", "check_targets", "load", "scales"]

COMMAND_LINE = "--config"
TEXT = "tag:yaml.org,2002:str"
KEYS = {TEXT, "tag:yaml.org,2002:merge"}
SCALES = ("smoke", "quick", "desk", "paper")


@dataclass(frozen=True)
class Layer:
    label: str  # how messages call it
    tree: dict[str, Any]
    inside: tuple[str, ...] = ()  # keys of the file that the tree lies under
    paper: str = ""  # whose section the file is

    def key(self, path: tuple) -> str:
        """What stands at `path` of the configuration, as the file calls it."""
        names = path[1:] if self.paper and path[:1] == (self.paper,) else path
        return ".".join(map(str, (*self.inside, *names)))


def load(
    root: Path,
    arguments: Mapping[str, Any] | None = None,
    files: Iterable[Path] = (),
    *,
    data: bool = True,
) -> dict[str, Any]:
    """The configuration of the project in `root`, checked and complete.

    Args:
        arguments: what `--config` gives; numbers may be text, mappings may be YAML text.
        files: what `--configfile` gives.
        data: whether the files have to be there that it points to.

    Raises:
        ConfigError: one line for each problem.
    """
    root = Path(root)
    base = Layer(layout.BASE, read_yaml(root / layout.BASE, layout.BASE))
    given = [Layer(_label(Path(file), root), read_yaml(Path(file), file)) for file in files]
    given.append(Layer(COMMAND_LINE, {k: _from_text(v) for k, v in (arguments or {}).items()}))

    asked = merged([base, *given])
    problems, layers = [], [*_base(root, base, asked), *given]
    if asked.get("scale") in scales(root):
        between = len(layers) - len(given)
        layers[between:between] = _scale(root, base, asked)
    elif asked.get("scale") is not None:
        problems.append(Problem(("scale",), f"no such scale; there are: {', '.join(scales(root))}"))

    classes = Classes(root)
    config = converted(_without_left_out(merged(layers)), classes)
    problems += check(config, classes)
    odd = [*plain.value_problems(config), *_no_papers(config, layers)]
    problems = [p for p in problems if p.path not in {o.path for o in odd}] + odd
    problems += plain.name_problems(config)
    problems += spans.problems(config)
    problems += paths.problems(config, root) if data else []
    lines = [*_lines(problems, config, layers), *_claim_lines(config, classes)]
    if lines:
        raise ConfigError("\n".join(lines))
    return _with_seeds(config)


def _without_left_out(config: dict[str, Any]) -> dict[str, Any]:
    """Less studies, axes and labels of axes that a later layer takes away: `shocks: null`."""
    for paper in filter(kinds.is_paper, config.values()):
        studies = paper.get("studies")
        for study in _drop_nulls(studies):
            for key in ("vary", "vary_each", "of", "base"):
                for axis in _drop_nulls(study.get(key) if isinstance(study, Mapping) else None):
                    list(_drop_nulls(axis))
    return config


def _drop_nulls(tree: Any) -> Iterator[Any]:
    """What is left of a mapping once its nulls are deleted; nothing of anything else."""
    if not isinstance(tree, dict):
        return
    for key in [key for key, value in tree.items() if value is None]:
        del tree[key]
    yield from tree.values()


def _base(root: Path, base: Layer, asked: Mapping[str, Any]) -> Iterator[Layer]:
    """What config.yaml and the papers that are asked for say at scale quick."""
    yield Layer(base.label, {key: v for key, v in base.tree.items() if key != "scales"})
    for paper in _papers(root, asked):
        name = layout.config_of(paper)
        yield Layer(name, {paper: read_yaml(root / name, name)}, paper=paper)


def _scale(root: Path, base: Layer, asked: Mapping[str, Any]) -> Iterator[Layer]:
    """What the scale that is asked for changes."""
    scale = asked["scale"]
    general = kinds.get(base.tree, "scales", scale)
    if isinstance(general, Mapping):
        yield Layer(base.label, dict(general), inside=("scales", scale))
    for paper in _papers(root, asked):
        name = layout.scale_of(paper, scale)
        if (root / name).exists():
            yield Layer(name, {paper: read_yaml(root / name, name)}, paper=paper)


def _papers(root: Path, asked: Mapping[str, Any]) -> list[str]:
    """The papers that are asked for.

    Raises:
        ConfigError: one has no configuration.
    """
    wanted, known = asked.get("papers", []), layout.papers(root)
    if not isinstance(wanted, list):
        raise ConfigError(f"{layout.BASE}: papers: {said(wanted)}, a list of names is needed")
    lacking = [paper for paper in wanted if paper not in known]
    if lacking:
        lines = (f"{layout.BASE}: papers: {unknown('paper', name, known)}" for name in lacking)
        raise ConfigError("\n".join(lines))
    return wanted


def _no_papers(config: Mapping[str, Any], layers: Iterable[Layer]) -> Iterator[Problem]:
    """Papers in whose place another layer has something else."""
    for layer in layers:
        for name, section in layer.tree.items():
            if kinds.is_paper(section) and not isinstance(config[name], Mapping):
                yield Problem((name,), f"{said(config[name])}, a mapping is needed")


def check_targets(targets: Iterable[str], scale: str) -> None:
    """Refuse a result of another scale: it would be made of this scale's numbers."""
    lines = [
        f"{target} belongs to scale {other}, but the configured scale is {scale}: "
        f"add --config scale={other}"
        for target in sorted(targets)
        for other in [_scale_of(target)]
        if other in SCALES and other != scale
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _scale_of(target: str) -> str | None:
    """The scale in a path `results/<scale>/...`; None for the name of a rule."""
    parts = Path(target).parts
    if "results" not in parts[:-2]:
        return None
    return parts[parts.index("results") + 1]


def scales(root: Path) -> list[str]:
    """The scales there are, from small to large."""
    tree = read_yaml(root / layout.BASE, layout.BASE)
    names = {path.stem for path in root.glob(layout.scale_of("*", "*"))}
    names |= set(tree.get("scales") or ()) | {"quick"}
    return [name for name in SCALES if name in names] + sorted(names - set(SCALES))


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """All layers, later ones on top; the result shares nothing with them.

    A section with another `kind` replaces the one below: settings belong to their kind.
    """
    tree: dict[str, Any] = {}
    for layer in layers:
        tree = _merge(tree, layer.tree)
    return tree


def _merge(below: Any, above: Any) -> Any:
    if isinstance(above, Mapping):
        below = below if isinstance(below, Mapping) and _one_kind(below, above) else {}
        keys = [*below, *(key for key in above if key not in below)]
        return {
            key: _merge(below.get(key), above[key] if key in above else below[key]) for key in keys
        }
    return [_merge(None, value) for value in above] if isinstance(above, list) else above


def _one_kind(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    return "kind" not in above or "kind" not in below or above["kind"] == below["kind"]


def _with_seeds(config: dict[str, Any]) -> dict[str, Any]:
    """`seeds: 20` on top level stands for the test seeds of every case with observations.

    Elsewhere seeds are no repeats of an experiment: their states together make one set.
    """
    if config.get("seeds") is not None:
        for section in config.values():
            for case in section.get("cases", {}).values() if isinstance(section, Mapping) else ():
                if "observations" in case:
                    where = case["era5"] if "era5" in case else case["truth"]["test"]
                    where["seeds"] = config["seeds"]
    return config


# -- reading -------------------------------------------------------------------------------------


def read_yaml(path: Path, label: str | Path) -> dict[str, Any]:
    """A YAML file with a mapping, empty if the file is."""
    tree = _read(path, label)
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"{label}: a mapping is needed at the top, with keys such as `scale:`")
    return tree or {}


def _read(path: Path, label: str | Path) -> Any:
    """Plain values of a YAML file, None if it is empty."""
    try:
        return _values(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{label}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{label}: it cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{label}: lists and mappings lie too deep within each other") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"{label}: {where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{label}: {error}") from None


def _values(text: str) -> Any:
    """Plain values of a YAML text."""
    loader, node = _composed(text)
    _check_nodes(node, {}, ())
    return None if node is None else loader.construct_document(node)


def _composed(text: str) -> tuple[Any, yaml.Node | None]:
    """Parsed fast where PyYAML has its C library; its Python twin has the better messages."""
    try:
        loader = io.plain_yaml(fast=True)(text)
        return loader, loader.get_single_node()
    except yaml.YAMLError:
        loader = io.plain_yaml()(text)
        return loader, loader.get_single_node()


def _check_nodes(node: yaml.Node | None, seen: dict[int, yaml.Node], above: tuple) -> None:
    """Refuse a key given twice (YAML would take the last), a key that is no text, and an alias of
    something that it stands in.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return
    if id(node) in above:
        _refuse("an alias leads back to what it stands in", node)
    if id(node) in seen:
        return
    seen[id(node)], above = node, (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_nodes(value, seen, above)
        return
    keys = set()
    for key, value in node.value:
        named = isinstance(key, yaml.ScalarNode) and (key.tag in KEYS or key.value == "null")
        if not named:
            _refuse(f"the key {getattr(key, 'value', '')} is no text; put it in quotes", key)
        if key.value in keys:
            _refuse(f'the key "{key.value}" appears twice', key)
        keys.add(key.value)
        _check_nodes(value, seen, above)


def _refuse(problem: str, node: yaml.Node) -> None:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _from_text(value: Any) -> Any:
    """A mapping or list that a command line gives as text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return _values(value)
        except yaml.MarkedYAMLError as error:
            why = error.problem or error.context
            raise ConfigError(
                f"{COMMAND_LINE}: {value}: not a YAML mapping or list: {why}"
            ) from None
    return value


def _label(file: Path, root: Path) -> str:
    file, root = file.resolve(), root.resolve()
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


# -- messages ------------------------------------------------------------------------------------


def _lines(problems: Iterable[Problem], config: Mapping, layers: list[Layer]) -> list[str]:
    """One line each, those of the lowest layer first."""
    found = {(layers.index(_origin(problem, layers)), problem) for problem in problems}
    found = sorted(found, key=lambda pair: (pair[0], str(pair[1].path)))
    return [_line(problem, layers[place], config) for place, problem in found]


def _claim_lines(config: Mapping, classes: Classes) -> Iterator[str]:
    """What is wrong with the measures that the claims of the papers name."""
    for paper in (name for name, section in config.items() if kinds.is_paper(section)):
        label = layout.claims_of(paper)
        path = classes.root / label
        claims = _read(path, label) if path.exists() else None
        for problem in kind_problems(claims, classes):
            yield f"{label}: {'.'.join(map(str, problem.path))}: {problem.message}"


def _line(problem: Problem, layer: Layer, config: Mapping) -> str:
    """`<layer>: <key>: <what is wrong>`."""
    label, name = layer.label, layer.key(problem.path)
    if label == COMMAND_LINE and len(problem.path) == 1:
        value = layer.tree[problem.path[0]]
        if not isinstance(value, (Mapping, list)):
            return f"{label} {name}={value}: {problem.message}"
    if problem.path == ("scale",) and problem.message.startswith("no such scale"):
        name = f"scale: {config['scale']}"
    return f"{label}: {name}: {problem.message}" if name else f"{label}: {problem.message}"


def _origin(problem: Problem, layers: list[Layer]) -> Layer:
    """The topmost layer that says what is wrong; the lowest that lacks what is missing."""
    saying = [layer for layer in layers if _says(layer.tree, problem.path)]
    if not saying:  # a default, or a key that is nowhere
        return layers[0]
    return saying[0] if problem.missing else saying[-1]


def _says(tree: Any, path: tuple) -> bool:
    for key in path:
        if isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        elif isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
        else:
            return False
    return True
