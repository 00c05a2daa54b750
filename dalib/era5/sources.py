"""Where reanalysis comes from, told by a path alone and without opening anything."""

from glob import glob, has_magic
from pathlib import Path

ZARR_FILES = ("zarr.json", ".zmetadata", ".zgroup")


def is_zarr(path: str) -> bool:
    """Whether a path is that of a Zarr store: by its name, or by what lies in the folder."""
    there = Path(path)
    named = "://" in path or there.suffix == ".zarr"
    return named or any((there / name).exists() for name in ZARR_FILES)


def files(path: str | None) -> list[str]:
    """What a result depends on: one NetCDF file, those of a folder or a glob, or a Zarr store.

    Of a store in a bucket, where a change is not noticed, and of the stand-in (None) there is
    nothing. A path at which something is found is no glob, whatever is in its name.
    """
    if path is None or "://" in path:
        return []
    if is_zarr(path):
        return [path]
    if has_magic(path) and not Path(path).exists():
        found = sorted(glob(path))
    elif Path(path).is_dir():
        found = sorted(map(str, Path(path).glob("era5_[0-9][0-9][0-9][0-9].nc")))
    else:
        return [path]
    if not found:
        raise ValueError(f"{path}: no such files; give a NetCDF file, a folder, a glob or a store")
    return found
