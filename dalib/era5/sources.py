"""Where reanalysis comes from, told by a path alone and without opening anything."""

from glob import glob, has_magic
from pathlib import Path


def files(path: str | None) -> list[str]:
    """The NetCDF files behind a path, on which a result depends: one file, a folder, or a glob.

    Of a Zarr store, here or in a bucket, and of the stand-in (None) there are none: a change there
    is not noticed.
    """
    if path is None or "://" in path or path.rstrip("/").endswith(".zarr"):
        return []
    if has_magic(path):
        found = sorted(glob(path))
    elif Path(path).is_dir():
        found = sorted(map(str, Path(path).glob("era5_[0-9][0-9][0-9][0-9].nc")))
    else:
        return [path]
    if not found:
        raise ValueError(f"{path}: no such files; give a NetCDF file, a folder, a glob or a store")
    return found
