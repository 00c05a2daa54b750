"""The one `params` entry of each rule: the sections a stage uses, and a digest of its code.

    {"code": digest, "config": {name: section}, "seed": ..., "device": ..., ...}

It depends on configuration, wildcards and code alone, and holds plain JSON values: Snakemake
compares the text of it.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dalib.workflow import codehash, kinds
from dalib.workflow.errors import ConfigError
from dalib.workflow.files import read_yaml, replacing
from dalib.workflow.stage import gpus

REFERENCES = {"model": "models", "codec": "codecs", "filter": "filters"}  # key -> collection


class Specs:
    """Makes specs from a checked configuration, for the project in `root`."""

    def __init__(self, config: Mapping[str, Any], root: Path):
        self.config = json.loads(json.dumps(config))
        self.root = Path(root).resolve()
        self.units = cache(self._units)

    def spec(
        self,
        script: str,
        *,
        device: bool = False,
        threads: int | None = None,
        kinds_in: str | None = None,
        **sections: str | tuple[str, ...],
    ) -> Callable[[Any], dict[str, Any]]:
        """The function of the wildcards that Snakemake calls.

        Args:
            script: name below `workflow_scripts`.
            device: whether the stage may use a GPU.
            threads: how many threads the stage computes with, if not one.
            kinds_in: a YAML file that names further code by `kind:`; its other contents do not
                count.
            sections: by the name that the script calls them, dotted names such as
                "{paper}.cases.{case}", or such a name with the only keys of it that count.
        """

        def of(wildcards: Any) -> dict[str, Any]:
            filled = dict(wildcards.items())
            config, roots = {}, set()
            for name, wanted in sections.items():
                dotted, *keys = [wanted] if isinstance(wanted, str) else wanted
                path = tuple(dotted.format(**filled).split("."))
                config[name] = self.section(path, keys)
                roots |= _roots(config[name], path)
            if kinds_in:
                file = self.root / kinds_in.format(**filled)
                roots |= _roots(read_yaml(file, file), ())
            spec = {
                "code": self.code(script, tuple(sorted(roots))),
                "config": config,
                "seed": self.config["seed"],
            }
            if device:
                spec["device"] = resolved_device(self.config["device"])
            if threads is not None:
                spec["threads"] = threads
            return plain(spec)

        return of

    def section(self, path: kinds.Path, keys: Iterable[str] = ()) -> Any:
        """A section of the configuration, or some keys of it where it has them.

        An entry it names (`model: dkf`) stands in the name's place, with the name in it.
        """
        section = self.config
        for depth, key in enumerate(path):
            if not isinstance(section, Mapping) or key not in section:
                there = ", ".join(section) if isinstance(section, Mapping) else "nothing"
                above = ".".join(path[:depth]) or "the configuration"
                raise ConfigError(f"{'.'.join(path)}: no such section; in {above} there are: {there}")
            section = section[key]
        if keys:
            section = {key: section[key] for key in keys if key in section}
        return self._followed(section, self.config.get(path[0], {}), ())

    def _followed(self, tree: Any, paper: Mapping, above: tuple) -> Any:
        if isinstance(tree, list):
            return [self._followed(value, paper, above) for value in tree]
        if not isinstance(tree, Mapping):
            return tree
        found = {}
        for key, value in tree.items():
            entries = paper.get(REFERENCES.get(key), {})
            if isinstance(value, str) and value in entries:
                if (key, value) in above:
                    raise ConfigError(f"{key}: {value} leads back to itself")
                value = {"name": value, **entries[value]}
                found[key] = self._followed(value, paper, (*above, (key, value["name"])))
            else:
                found[key] = self._followed(value, paper, above)
        return found

    def named(self, section: str, key: str = "model") -> str | None:
        """The entry that a section names, "{paper}.filters.{filter}" filled in; None if none."""
        named = self.section(tuple(section.split("."))).get(key)
        return named["name"] if isinstance(named, Mapping) else None

    def code(self, script: str, roots: tuple[str, ...] = ()) -> str:
        """The digest of a script with the classes it is given; its units are noted in the store."""
        units = self.units(script, roots)
        digest = codehash.digest(units)
        table = Path(self.config["cache"]["dir"]) / "units" / f"{digest}.json"
        if not table.exists():
            table.parent.mkdir(parents=True, exist_ok=True)
            with replacing(table) as part:
                part.write_text(json.dumps(units, indent=1))
        return digest

    def _units(self, script: str, roots: tuple[str, ...]) -> dict[str, str]:
        return codehash.closure(
            self.root / "workflow_scripts" / script,
            roots,
            root=self.root,
            strict_versions=self.config["code"]["strict_versions"],
        )


def _roots(section: Any, path: kinds.Path) -> set[str]:
    """Dotted names of the classes that a section names by `kind:`."""
    roots = set()
    for choice in kinds.choices(section, path):
        if choice.dotted is None:
            where = ".".join(map(str, choice.path))
            raise ConfigError(f"{where}: unknown kind {choice.kind!r}")
        roots.add(choice.dotted)
    return roots


def plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same with sorted keys; an error if it holds anything but plain JSON values."""
    return json.loads(json.dumps(spec, sort_keys=True, allow_nan=False))


def resolved_device(wanted: str) -> str:
    """cpu or cuda; `auto` is settled where the graph is built, and the jobs are told."""
    if wanted != "auto":
        return wanted
    if "DALIB_DEVICE" not in os.environ:
        os.environ["DALIB_DEVICE"] = "cuda" if gpus() else "cpu"
    return os.environ["DALIB_DEVICE"]
