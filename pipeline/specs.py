"""The one `params` entry of each rule: the sections a stage uses, and a digest of its code.

    {"code": digest, "config": {name: section}, "experiment": ..., "device": ..., ...}

`experiment` is the first name of every random stream: base seed, paper and case.
It depends on configuration, wildcards and code alone, and holds plain JSON values: Snakemake
compares the text of it. `script` and `sections` say what it was made from, so that it can be made
again beside a record.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from dalib import io
from pipeline import codehash, kinds, precision
from pipeline.errors import ConfigError
from pipeline.stage import gpus, torch_has_cuda


class Specs:
    """Makes specs from a checked configuration, for the project in `root`."""

    def __init__(self, config: Mapping[str, Any], root: Path):
        self.config = json.loads(json.dumps(config))
        self.root = Path(root).resolve()
        self.units = cache(self._units)
        self.noted: set[str] = set()

    def spec(
        self, script: str, /, *, calls: str | Callable[[Any], str] | None = None, **request: Any
    ) -> Callable[[Any], dict[str, Any]]:
        """The function of the wildcards that Snakemake calls: `of` a job.

        Args:
            calls: may be a function of the wildcards.
        """

        def of(wildcards: Any) -> dict[str, Any]:
            chosen = calls(wildcards) if callable(calls) else calls
            return self.of(dict(wildcards.items()), script, calls=chosen, **request)

        return of

    def of(
        self,
        job: Mapping[str, str],
        script: str,
        /,
        *,
        device: bool = False,
        threads: int | None = None,
        kinds_in: str | None = None,
        calls: str | None = None,
        extras: Mapping[str, Any] | None = None,
        **sections: str | tuple[str, ...],
    ) -> dict[str, Any]:
        """The spec of a job with these wildcards.

        Args:
            script: name below `workflow_scripts`.
            device: whether the stage may use a GPU.
            threads: how many threads the stage computes with, if not one.
            kinds_in: a YAML file that names further code by `kind:`; its other contents do not
                count.
            calls: the dotted name "package.module:function" of what the script calls, where the
                rule or the configuration chooses it.
            extras: what else the spec says.
            sections: by the name that the script calls them, dotted names such as
                "{paper}.cases.{case}", or such a name with the only keys of it that count.
        """
        wanted = {n: [s] if isinstance(s, str) else list(s) for n, s in sections.items()}
        found = {n: [dotted.format(**job), *keys] for n, (dotted, *keys) in wanted.items()}
        more: dict[str, Any] = {}
        if {"paper", "case"} <= job.keys():
            more["experiment"] = "/".join((str(self.config["seed"]), job["paper"], job["case"]))
        if device:
            more["device"] = self.device(Path(script).stem)
        if threads is not None:
            more["threads"] = threads
        if calls:
            more["calls"] = calls
        if kinds_in:
            more["kinds_in"] = kinds_in.format(**job)
        return self.made({"script": script, "sections": found, **more})[0] | dict(extras or {})

    def made(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The spec for script, sections and extras, and its units.

        A spec can be given too: it is made again from the present configuration and code.
        """
        config, roots = {}, set()
        for name, (dotted, *keys) in request["sections"].items():
            path = tuple(dotted.split("."))
            config[name] = self.section(path, keys)
            role = request.get("roles", {}).get(name)  # where the place does not say it
            roots |= _roots({role: config[name]}, ()) if role else _roots(config[name], path)
        if "calls" in request:
            roots.add(request["calls"])
        roots |= set(request.get("classes", ()))
        if "kinds_in" in request:
            roots |= _roots(io.read_yaml(self.root / request["kinds_in"]), ())
        units = self.units(request["script"], tuple(sorted(roots)))
        return plain({**request, "code": self._noted(units), "config": config}), units

    def device(self, stage: str) -> str:
        """cpu or cuda: what `devices` says of a stage, else `device`."""
        devices = self.config.get("devices", {})
        return resolved_device(devices.get(stage, self.config["device"]))

    def section(self, path: kinds.Path, keys: Iterable[str] = ()) -> Any:
        """A section of the configuration, or some keys of it where it has them.

        An entry it names (`model: dkf`) stands in the name's place, with the name in it, and a
        precision in the place of `auto`.
        """
        section = self.config
        for depth, key in enumerate(path):
            if not isinstance(section, Mapping) or key not in section:
                there = ", ".join(section) if isinstance(section, Mapping) else "nothing"
                above = ".".join(path[:depth]) or "the configuration"
                raise ConfigError(
                    f"{'.'.join(path)}: no such section; in {above} there are: {there}"
                )
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
            entries = paper.get(kinds.REFERENCES.get(key), {})
            if isinstance(value, str) and value in entries:
                if (key, value) in above:
                    raise ConfigError(f"{key}: {value} leads back to itself")
                value = {"name": value, **entries[value]}
                found[key] = self._followed(value, paper, (*above, (key, value["name"])))
            elif key == "precision" and isinstance(value, str):
                found[key] = self.precision(value)
            else:
                found[key] = self._followed(value, paper, above)
        return found

    def precision(self, wanted: str) -> str:
        """float32 or bfloat16, by where networks are trained: what is trained is what is used."""
        store = Path(self.config.get("cache", {}).get("dir", ".cache/stages"))
        return precision.resolved(wanted, self.device("train"), store)

    def named(self, section: str, key: str = "model") -> str | None:
        """The entry that a section names, "{paper}.filters.{filter}" filled in; None if none."""
        named = self.section(tuple(section.split("."))).get(key)
        return named["name"] if isinstance(named, Mapping) else None

    def _noted(self, units: dict[str, str]) -> str:
        """The digest of units, whose table is kept in the store for whoever asks what changed."""
        digest = codehash.digest(units)
        table = Path(self.config["cache"]["dir"]) / "units" / f"{digest}.json"
        if digest not in self.noted and read_table(table) != units:
            with suppress(OSError):  # a store that is read-only or full: messages say less
                io.write_json(table, units)
        self.noted.add(digest)
        return digest

    def _units(self, script: str, roots: tuple[str, ...]) -> dict[str, str]:
        return codehash.closure(
            self.root / "workflow_scripts" / script,
            roots,
            root=self.root,
            strict_versions=self.config["code"]["strict_versions"],
        )


def read_table(path: Path) -> dict[str, str] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


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
        os.environ["DALIB_DEVICE"] = "cuda" if gpus() and torch_has_cuda() else "cpu"
    return os.environ["DALIB_DEVICE"]
