"""python -m pipeline <verb> [--config key=value ...]"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from dalib import io
from pipeline.errors import ConfigError

ROOT = Path(".")  # as for snakemake: the folder with the Snakefile
VERBS = {
    "run": "run snakemake as make does: clear dead locks, then make the index",
    "check": "check the configuration",
    "configuration": "write docs/configuration.md and the schemas for editors, from the classes",
    "index": "make results/<scale>/index.html from what exists",
    "scorecard": "the claims of the papers and their verdicts, as a table",
    "readme": "write the tables of claims into the READMEs, from the scorecard of a scale",
    "plan": "jobs and core hours of a scale, before it is started",
    "reference": "measure what the jobs of smoke and quick cost here, for pipeline/reference.json",
    "list": "papers, figures and tables",
    "explain": "the code a stage really uses, and what changed since its results were made",
    "audit": "put away results that are not what their record says",
    "verify": "hash every result again",
    "prune": "keep the store below cache.keep_gb, forget what was put aside long ago",
    "unlock": "clear the locks of dead runs",
    "doctor": "look for what is wrong, with cause and remedy",
}
# these read results alone
WITHOUT_DATA = {"audit", "explain", "list", "prune", "readme", "scorecard", "verify"}


def main(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        io.print_anything(stream)
    given, rest = parser().parse_known_args(arguments)
    for pair in given.config:
        if "=" not in pair:
            print(f"--config {pair}: expected key=value, such as scale=smoke", file=sys.stderr)
            return 1
    overrides = dict(pair.split("=", 1) for pair in given.config)
    if given.verb == "unlock":
        return import_module("pipeline.unlock").main(ROOT)
    if given.verb == "configuration":
        return import_module("pipeline.configuration").main(ROOT)
    if given.verb == "doctor":
        return import_module("pipeline.doctor").main(ROOT, overrides)
    try:
        data = given.verb not in WITHOUT_DATA
        config = import_module("pipeline.settings").load(ROOT, overrides, data=data)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    os.environ["DALIB_CACHE"] = config["cache"]["dir"]
    names, raw = given.names, arguments[1:]
    if given.verb in ("run", "plan"):
        try:
            names, raw = asked_for(config, names, raw)
        except ConfigError as error:
            print(error, file=sys.stderr)
            return 1
    return dispatch(given.verb, config, names, given.config, raw) or 0


def asked_for(
    config: dict[str, Any], names: list[str], raw: list[str]
) -> tuple[list[str], list[str]]:
    """Targets as they were meant, refused where there are none of that name."""
    targets = import_module("pipeline.targets")
    first = list(targets.of_command(raw))
    targets.check(ROOT, config, first)
    renamed = {target: targets.meant(ROOT, target) for target in first}
    return ([renamed.get(n, n) for n in names], [*renamed.values(), *raw[len(first) :]])


def dispatch(
    verb: str, config: dict[str, Any], names: list[str], given: list[str], raw: list[str]
) -> int | None:
    """Call the one function behind `verb`."""
    scale = config["scale"]
    match verb:
        case "check":
            print(f"configuration in order: scale {scale}")
        case "run":
            return import_module("pipeline.run").main(ROOT, scale, raw)
        case "plan":
            return import_module("pipeline.plan").main(ROOT, config, names, given)
        case "list":
            return import_module("pipeline.listing").main(ROOT, config)
        case "readme":
            return import_module("pipeline.readme").main(ROOT, config)
        case "reference":
            return import_module("pipeline.measurements").main(ROOT)
        case "prune":
            return import_module("pipeline.prune").main(ROOT, config["cache"]["keep_gb"])
        case "verify":
            return import_module("pipeline.verify").main(ROOT, config)
        case "explain":
            return import_module("pipeline.explain").main(ROOT, config, names)
        case "index" | "audit" | "scorecard":
            return import_module(f"pipeline.{verb}").main(ROOT, scale)


def parser() -> argparse.ArgumentParser:
    verbs = "\n".join(f"  {verb:13} {meaning}" for verb, meaning in VERBS.items())
    made = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=f"verbs:\n{verbs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("verb", choices=VERBS, metavar="verb")
    made.add_argument("names", nargs="*", help="a stage (explain), targets (run)")
    made.add_argument("--config", nargs="*", default=[], metavar="key=value")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
