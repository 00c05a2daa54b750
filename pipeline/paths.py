"""Paths that the configuration points to: is there what is to be read?"""

import difflib
import os
from collections.abc import Iterator, Mapping
from glob import has_magic
from pathlib import Path
from typing import Any

from dalib.era5 import sources
from pipeline import kinds
from pipeline.problems import Problem

DATA = ("era5", "stations")  # sections of a case with the `path` of a reanalysis


def problems(config: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Paths at which nothing of the kind is found; seen from `root`, where snakemake runs."""
    for paper, section in config.items():
        cases = section["cases"] if kinds.is_paper(section) else {}
        for case in cases if isinstance(cases, Mapping) else ():
            for key in DATA:
                path = kinds.get(cases, case, key, "path")
                globs = key == "era5"
                why = _wrong(path, root, globs=globs) if isinstance(path, str) else ""
                if why:
                    yield Problem((paper, "cases", case, key, "path"), f"{path}: {why}")
    folder = kinds.get(config, "cache", "dir")
    if isinstance(folder, str) and folder.startswith("~"):
        yield Problem(("cache", "dir"), f"{folder}: {HOME}")


HOME = "~ is not replaced here; write the whole path"
BRACES = "a path with { or } cannot be used, they mark wildcards; give a link of another name"


def _wrong(path: str, root: Path, *, globs: bool) -> str:
    """What is wrong with the path of a reanalysis, "" if nothing is."""
    if "://" in path:
        return ""  # a bucket is asked when it is read
    if path.startswith("~"):
        return HOME
    if set(path) & set("{}"):
        return BRACES
    there, kinds_of = root / path, "a NetCDF file, a folder or a store"
    if globs:
        kinds_of = "a NetCDF file, a folder, a glob or a store"
    elif has_magic(path) and not there.exists():
        return f"no such file; give {kinds_of}"
    try:
        files = sources.files(str(there))
    except ValueError:
        if there.is_dir():
            return "the folder has no files era5_YYYY.nc, one for each year, and is no Zarr store"
        return f"no such file{near(there)}; give {kinds_of}"
    if sources.is_zarr(path) and not there.is_dir():
        return f"no such Zarr store{near(there)}"
    if any(not Path(file).exists() for file in files):
        return f"no such file{near(there)}; give {kinds_of}"
    closed = next((file for file in files if not os.access(file, os.R_OK)), None)
    return f"{closed} cannot be read; ask for the permission" if closed else ""


def near(path: Path) -> str:
    """` (did you mean "t2m.nc"?)`, or which folder above is not there."""
    above = path.parent
    if not above.is_dir():
        while not above.parent.is_dir():
            above = above.parent
        return f" (there is no folder {above})"
    names = difflib.get_close_matches(path.name, os.listdir(above), n=1)
    return f' (did you mean "{names[0]}"?)' if names else ""
