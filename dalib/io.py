"""The only module that opens or writes files.

NetCDF written here is reproducible: equal contents give equal bytes, whatever the process, the
time, the path and the hash seed; and a file is either complete or not there. Importing this
module costs nothing: xarray and netCDF4 are imported by the functions that need them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import netCDF4
    import numpy as np
    import xarray as xr
    from matplotlib.figure import Figure

MAGIC = (b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"CDF\x02", b"CDF\x05")  # NetCDF-4, then classic
STARTS = {  # how files begin that are given for NetCDF by mistake, and what to do with them
    b"PK\x03\x04": "a zip archive; unpack it, and give a file in it",
    b"\x1f\x8b": "a file packed by gzip; unpack it",
    b"GRIB": "GRIB; convert it, such as by `cdo -f nc4 copy FILE FILE.nc`",
    b"version https://git-lfs": "what Git LFS leaves in the place of a file; `git lfs pull`",
    b"<": "HTML or XML, perhaps what a server answered in place of the file; download it again",
    b"MATLAB": "a MATLAB file; write it as NetCDF",
}
RAW = "fields"
CHUNK_BYTES = 4 * 2**20
SLAB_BYTES = 64 * 2**20
YAML_NUMBERS = {
    "int": r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)",
    "float": r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
PROBE_BYTES = 2**20
MAKE_ROOM = (
    "make room (make cache-prune, remove .cache/aside, or set cache.dir to another disk) and run "
    "again; what is finished stays and nothing half-written was left"
)
WRITABLE = "it has to be on a disk that can be written, and yours or group-writable"
FOR_THE_USER = {  # errors of the system that are not ours to mend, each with its remedy
    errno.ENOSPC: f"the disk is full: {MAKE_ROOM}",
    errno.EDQUOT: f"your quota is used up: {MAKE_ROOM}",
    errno.EROFS: WRITABLE,
    errno.EACCES: WRITABLE,
}


class DataError(ValueError):
    """A file that cannot be used as asked; the message says what was expected and found."""

    def __init__(self, path: str | Path, message: str):
        super().__init__(f"{path}: {message}")
        self.path = Path(path)


# --- reading -----------------------------------------------------------------------------------


def read(path: str | Path, *, needs: Mapping[str, tuple] | None = None) -> xr.Dataset:
    """The dataset in `path`, in memory.

    Args:
        needs: the variables that must be there, each with its dimensions in order;
            `...` in front stands for any leading ones: `{"mean": (..., "time", "state")}`.

    Raises:
        DataError: no such file, no NetCDF, truncated, in use, not to be decoded, or lacking
            something in `needs`.
    """
    path = Path(path)
    with opened(path) as ds:
        try:
            ds = ds.load().drop_encoding()
        except (OSError, RuntimeError, ValueError) as error:
            raise unreadable(path, error) from error
    for name, dims in (needs or {}).items():
        check_variable(path, ds, name, tuple(dims))
    return ds


@contextmanager
def opened(path: str | Path) -> Iterator[xr.Dataset]:
    """The dataset in `path`, whose values are read when they are used.

    Dates of climate calendars (noleap, 360_day, before 1582) are those of cftime.

    Raises:
        DataError: as `read`.
    """
    import xarray as xr

    path = Path(path)
    check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to decode time axis")
            ds = xr.open_dataset(path, engine="netcdf4", decode_timedelta=False, cache=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise unreadable(path, error) from error
    with ds:
        yield ds


def read_inputs(inputs: Any) -> dict[str, Any]:
    """All named inputs of a job: a dataset for a file, `read_methods` for a list of files.

    Files of a reanalysis, `fields`, are left to whoever reads the part of them that is wanted.
    """
    return {
        name: read(value) if isinstance(value, str) else read_methods(value)
        for name, value in inputs.items()
        if name != RAW
    }


def read_all(paths: str | Sequence[str | Path]) -> list[xr.Dataset]:
    """The datasets in some files, in their order."""
    return [read(path) for path in ([paths] if isinstance(paths, str) else paths)]


def read_lists(inputs: Any) -> dict[str, list[xr.Dataset]]:
    """All named inputs of a job, each as `read_all` gives it."""
    return {name: read_all(paths) for name, paths in inputs.items()}


def read_methods(paths: Sequence[str | Path]) -> dict[str, xr.Dataset]:
    """{folder: dataset} of files `.../<folder>/batch<n>.nc`; batches are put together.

    A batch holds some of the runs of an experiment, or of the repeats of a training, where it has
    such a dimension, else some seeds. A file of another name goes by that, up to the first dot.
    """
    import xarray as xr

    def whole(parts: list[xr.Dataset]) -> xr.Dataset:
        if len(parts) == 1:
            return parts[0]
        if "run" in parts[0].dims:
            runs = [part[[n for n in part if "run" in part[n].dims]] for part in parts]
            other = [part.drop_dims("run") for part in parts]  # what belongs to all runs
            alike = {"compat": "no_conflicts", "join": "outer"}
            return xr.merge([xr.concat(runs, "run", data_vars="all", **alike), *other], **alike)
        dim = "repeat" if "repeat" in parts[0].dims else "seed"
        return xr.concat(parts, dim, join="exact")

    batches: dict[str, list[xr.Dataset]] = {}
    for path in paths:
        path = Path(path)
        name = path.parent.name if path.name.startswith("batch") else path.name.split(".")[0]
        batches.setdefault(name, []).append(read(path))
    return {name: whole(parts) for name, parts in batches.items()}


def read_scores(paths: Sequence[str | Path]) -> dict[str, xr.Dataset]:
    """{case/product: dataset} of files `<case>/scores/<product>.nc`.

    Those of a study, `<study>/scores.nc`, go by its name. Others go by their stem where it is the
    only one, else by `case/stem`.
    """
    files = [Path(path) for path in paths]
    stems = [p.stem for p in files if p.parent.name != "scores"]

    def name(p: Path) -> str:
        if p.stem == "scores":
            return p.parent.name
        if p.parent.name == "scores":
            return f"{p.parent.parent.name}/{p.stem}"
        return p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}/{p.stem}"

    return {name(p): read(p) for p in files}


def read_text(path: str | Path) -> str:
    """The text in a file."""
    return Path(path).read_text(encoding="utf-8")


def read_yaml(path: str | Path) -> Any:
    """Plain values of a YAML file."""
    import yaml

    return yaml.load(Path(path).read_text(encoding="utf-8"), plain_yaml())


@cache
def plain_yaml(fast: bool = False) -> type:
    """A YAML loader that reads numbers as YAML 1.2 does, and a date and the key null as text.

    1e-3 is a number, and neither 12:30 nor 2019-03-01 is one. `null: ...` has the key "null".

    Args:
        fast: parse with the C library where PyYAML has it; its messages say less.
    """
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if fast else yaml.SafeLoader

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> dict:
        for key, _ in node.value:
            if (key.tag, key.value) == ("tag:yaml.org,2002:null", "null"):
                key.tag = "tag:yaml.org,2002:str"
        return base.construct_mapping(self, node, deep)

    loader = type("PlainLoader", (base,), {"construct_mapping": construct_mapping})
    own = {f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", *YAML_NUMBERS)}
    loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in own]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    for kind, pattern in YAML_NUMBERS.items():
        loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), list("-+.0123456789")
        )
    return loader


def check_readable(path: Path) -> None:
    """Refuse what is not there or does not begin like NetCDF."""
    check_exists(path)
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except PermissionError:
        raise DataError(path, "you may not read it; ask its owner for the permission") from None
    if start.startswith(MAGIC):
        return
    known = [what for begins, what in STARTS.items() if start.lstrip().startswith(begins)]
    found = known[0] if known else f"a file that begins with {start[:16]!r}"
    if not start:
        found = "an empty file; was it being written, or downloaded, when something stopped?"
    raise DataError(path, f"expected NetCDF, found {found}")


def check_exists(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        store = any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
        found = "a Zarr store; open it with xarray.open_zarr" if store else "a folder"
        raise DataError(path, f"expected a file, found {found}")
    if path.is_symlink():
        raise DataError(path, f"a link to {os.readlink(path)}, where there is no file")
    raise DataError(path, "no such file; it is written by an earlier stage or must be given")


def unreadable(path: Path, error: Exception) -> DataError:
    """Why a file that begins like NetCDF cannot be read."""
    if isinstance(error, ValueError):
        why = str(error).partition(". Try ")[0]
        return DataError(
            path,
            f"its values cannot be decoded: {why}; mend the attributes of that variable, which "
            "xarray.open_dataset(file, decode_times=False) shows",
        )
    return locked(path) or DataError(
        path,
        f"expected complete NetCDF, found {path.stat().st_size} bytes, truncated or damaged "
        f"({error})",
    )


def locked(path: Path) -> DataError | None:
    """The error that names a lock: another process writes the file, or there can be no locks."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return DataError(
            path, "another process has it open for writing; wait until that is done, or end it"
        )
    except OSError as error:
        return DataError(
            path,
            f"its file system has no locks ({error.strerror}); set the environment variable "
            "HDF5_USE_FILE_LOCKING=FALSE",
        )
    return None


def check_variable(path: Path, ds: xr.Dataset, name: str, dims: tuple) -> None:
    """Refuse a missing or empty variable, other dimensions, and one that holds only NaN."""
    if name not in ds.variables:
        there = ", ".join(sorted(map(str, ds.variables)))
        there = there or "none; if they are in a group, xarray.open_dataset(file, group=...)"
        raise DataError(path, f"expected a variable {name!r}, found {there}")
    variable = ds[name]
    tail = dims[1:] if dims[:1] == (...,) else dims
    found = variable.dims[-len(tail) :] if tail is not dims and tail else variable.dims
    if tail and found != tail:
        raise DataError(
            path,
            f"variable {name!r}: expected dimensions ({_listed(dims)}), "
            f"found ({_listed(variable.dims)}); {_remedy(name, dims, variable.dims)}",
        )
    if variable.dtype.kind in "SUO":
        raise DataError(path, f"variable {name!r}: expected numbers, found text")
    if variable.size == 0:
        raise DataError(path, f"variable {name!r}: expected values, found shape {variable.shape}")
    if variable.dtype.kind == "f" and bool(variable.isnull().all()):
        raise DataError(
            path, f"variable {name!r}: expected at least one value, found NaN everywhere"
        )


def _remedy(name: str, expected: tuple, found: tuple) -> str:
    """How to get from the dimensions found to those expected, in words of xarray."""
    wanted = [d for d in expected if d is not ...]
    if sorted(map(str, found)) == sorted(map(str, wanted)):
        return f"transpose it: ds.transpose({', '.join(map(repr, wanted))})"
    if len(found) == len(wanted):
        names = ", ".join(f"{f!r}: {w!r}" for f, w in zip(found, wanted, strict=True) if f != w)
        return f"rename them: ds.rename({{{names}}})"
    if len(found) > len(wanted):
        return "choose one of the others with ds.isel(...)"
    return "add what is lacking with ds.expand_dims(...)"


def _listed(dims: tuple) -> str:
    return ", ".join("..." if d is ... else str(d) for d in dims)


# --- writing -----------------------------------------------------------------------------------


def write(
    ds: xr.Dataset,
    path: str | Path,
    *,
    title: str,
    missing: tuple[str, ...] | list[str] = (),
    infinite: tuple[str, ...] | list[str] = (),
) -> None:
    """Write `ds` as NetCDF with its units; equal contents give equal bytes.

    Every variable and every coordinate that is a quantity (floating point) states `units` and
    `long_name`; integer and text coordinates are labels. No clock, host, version or parameter
    enters the file: they stand in its `.prov.json`.

    Args:
        missing: variables in which NaN means a missing value; elsewhere it is refused. What a
            filter says of a series after it diverged, which `diverged_at` (...) tells, may be NaN.
        infinite: variables in which infinity is a value, such as the error of what diverged.

    Raises:
        DataError: values that are not finite; nothing is written.
    """
    import xarray as xr

    for name, variable in ds.variables.items():
        check_described(name, variable, title, label=name in ds.coords)
    check_finite(Path(path), ds, missing, infinite)
    attrs = {**ds.attrs, "Conventions": "CF-1.11", "title": title}
    ordered = xr.Dataset(
        {name: canonical(ds.variables[name]) for name in sorted(ds.data_vars)},
        {name: canonical(ds.variables[name]) for name in sorted(ds.coords)},
        {name: attrs[name] for name in sorted(attrs)},
    )
    encoding = {name: storage(variable) for name, variable in ordered.variables.items()}
    with replacing(path) as part:
        ordered.to_netcdf(part, engine="netcdf4", format="NETCDF4", encoding=encoding)


def check_described(name: str, variable: xr.Variable, title: str, *, label: bool) -> None:
    if label and variable.dtype.kind != "f":
        return
    lacking = {"units", "long_name"} - variable.attrs.keys()
    if lacking:
        what = "coordinate" if label else "variable"
        raise ValueError(
            f"{title}: {what} {name!r} has no {' or '.join(sorted(lacking))}; "
            f'a dimensionless {what} has units "1"'
        )


def check_finite(
    path: Path, ds: xr.Dataset, missing: Sequence[str], infinite: Sequence[str] = ()
) -> None:
    """Refuse infinity and NaN where nothing says that it is a value, or means a missing one."""
    import numpy as np

    lost, problems, only_nan = after_divergence(ds), [], []
    for name, variable in ds.variables.items():
        if variable.dtype.kind not in "fc":
            continue
        values = np.asarray(variable.values)
        bad = (np.isinf(values) & (name not in infinite)) | (
            np.isnan(values) & (name not in missing)
        )
        if bad.any() and lost is not None and set(lost.dims) <= set(variable.dims):
            after = lost.set_dims(variable.sizes).transpose(*variable.dims).values
            bad &= ~(np.isnan(values) & after)
        if not bad.any():
            continue
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        where = ", ".join(f"{d}={i}" for d, i in zip(variable.dims, first, strict=True)) or "scalar"
        count = f"{int(bad.sum())} of {bad.size} values are not finite"
        problems.append(f"variable {name!r} is {values[first]} at index {where} ({count})")
        if not np.isinf(values).any():
            only_nan.append(str(name))
    if problems:
        remedy = f"; if NaN is meant there, say so: missing={only_nan}" if only_nan else ""
        raise DataError(path, f"{'; '.join(problems)}; nothing is written{remedy}")


def after_divergence(ds: xr.Dataset) -> xr.Variable | None:
    """(..., time): where `diverged_at` (...), -1 for never, says that a series is lost."""
    import numpy as np
    import xarray as xr

    if "diverged_at" not in ds.variables or "time" not in ds.dims:
        return None
    at = ds.variables["diverged_at"]
    index = xr.Variable("time", np.arange(ds.sizes["time"]))
    return (at >= 0) & (index >= at)


def canonical(variable: xr.Variable) -> xr.Variable:
    """The same values with one bit pattern for NaN, sorted attributes and no storage hints."""
    import numpy as np
    import xarray as xr

    values, attrs = np.asarray(variable.values), dict(variable.attrs)
    if values.dtype.kind == "m":
        values, attrs = values / np.timedelta64(1, "s"), attrs | {"units": "s"}
        attrs.setdefault("long_name", "time")
    if values.dtype.kind == "M" or calendar(values):
        attrs.pop("units", None)  # stands in the encoding
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    if values.dtype.kind in "UT":
        values = values.astype(object)
    return xr.Variable(variable.dims, values, {name: attrs[name] for name in sorted(attrs)})


def calendar(values: np.ndarray) -> str | None:
    """The calendar of dates of cftime; None for anything else."""
    first = values.flat[0] if values.dtype.kind == "O" and values.size else None
    return getattr(first, "calendar", None)


def storage(variable: xr.Variable) -> dict[str, Any]:
    """How netCDF-4 keeps a variable: everything said, nothing left to a library's default."""
    kind = variable.dtype.kind
    dates = dates_stored(variable.values)
    if (kind == "O" and not dates) or variable.ndim == 0:
        return {"_FillValue": None} if kind == "f" else dates
    packed = {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": None, **dates}
    return packed | {"chunksizes": chunks(variable.shape, variable.dtype.itemsize)}


def dates_stored(values: np.ndarray) -> dict[str, Any]:
    """Calendar and units of dates: seconds, or the largest unit in which all are whole numbers."""
    import numpy as np

    named = calendar(values)
    if named:
        whole = all(date.microsecond == 0 for date in values.flat)
        unit = "seconds" if whole else "microseconds"
    elif values.dtype.kind == "M":
        dates = values[~np.isnat(values)]
        units = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        unit = next(
            word for short, word in units.items() if (dates == dates.astype(f"M8[{short}]")).all()
        )
        old = dates.size and dates.min().astype("M8[s]") < np.datetime64("1582-10-15", "s")
        named = "proleptic_gregorian" if old else "standard"
    else:
        return {}
    return {"units": f"{unit} since 1970-01-01", "calendar": named, "dtype": "int64"}


def chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The shape itself, its leading axes halved until a chunk holds at most 4 MiB."""
    sizes = [max(1, n) for n in shape]
    for axis in range(len(sizes)):
        while _product(sizes) * itemsize > CHUNK_BYTES and sizes[axis] > 1:
            sizes[axis] = -(-sizes[axis] // 2)
    return tuple(sizes)


def _product(sizes: list[int]) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` when complete.

    Nobody ever sees half a file: after an error the part is removed, after a kill its name tells
    process and host (`part_owner`), by which the next run knows that it can go.
    """
    with part_of(path) as part:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        share(part)
        os.replace(part, path)


@contextmanager
def part_of(path: str | Path) -> Iterator[Path]:
    """A name beside `path` that is free again at the end; its folder is made.

    Raises:
        OSError: with a full disk named as such, also where a library hides it.
    """
    path = Path(path)
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.part-{os.getpid()}.{socket.gethostname()}")
    try:
        yield part
    except OSError as error:
        if error.filename in (None, str(part)):
            error.filename = str(path)
        raise
    except RuntimeError as error:  # netCDF4 says "HDF error"
        check_space(part, error)
        raise
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above; below one that a group may write, so that it may write it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    if not writable_by_group(folder.parent):
        folder.mkdir(exist_ok=True)
        return
    umask = os.umask(0o002)
    try:
        folder.mkdir(exist_ok=True)
    finally:
        os.umask(umask)


def share(path: Path) -> None:
    """In a folder that a group may write, let it do with the new file `path` what its owner may."""
    if writable_by_group(path.parent):
        mode = path.stat().st_mode
        path.chmod(mode | (mode & 0o600) >> 3)


def writable_by_group(folder: Path) -> bool:
    """Whether what is made in `folder` is shared (not so in a /tmp for everybody)."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWGRP) and not mode & stat.S_ISVTX


def check_space(path: Path, cause: Exception | None = None) -> None:
    """Raise the OSError of a full disk or a used-up quota if the part file `path` cannot grow."""
    try:
        with path.open("ab") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path).rpartition(".part-")[0] or str(path)
        raise error from cause


def explained(error: OSError) -> str:
    """What happened and, where it is for the user to mend, what to do."""
    where = f"{error.filename}: " if error.filename else ""
    said = f"{where}{error.strerror or error}"
    remedy = FOR_THE_USER.get(error.errno)
    return f"{said}; {remedy}" if remedy else said


def part_owner(part: Path) -> tuple[int, str]:
    """Process number and host in the name of a part file."""
    pid, _, host = part.name.rpartition(".part-")[2].partition(".")
    return int(pid), host


def print_anything(stream: TextIO) -> None:
    """Let a terminal that lacks a letter, such as one in ASCII, show `?` for it: no error."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")


def write_text(path: str | Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Plain values as readable JSON; NaN is an error, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_figure(fig: Figure, pdf: str | Path, png: str | Path) -> None:
    """Both files of a figure, vector and 300 dpi; the same figure gives the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"pdf.fonttype": 42}):  # letters stay letters
        with replacing(pdf) as part:
            fig.savefig(part, format="pdf", metadata={"CreationDate": None})
        with replacing(png) as part:
            fig.savefig(part, format="png", dpi=300)


def write_figures(drawn: Iterable[Any], outputs: Any) -> None:
    """Figures, and the data that they show, each to the outputs `<name>_data`, `_pdf` and `_png`.

    An animation goes to `<name>_gif`.

    Args:
        drawn: name, data, figure, title and missing of each (`dalib.plotting.Drawn`).
    """
    for one in drawn:
        write(one.data, outputs[f"{one.name}_data"], title=one.title, missing=list(one.missing))
        if f"{one.name}_gif" in outputs.keys():
            with replacing(outputs[f"{one.name}_gif"]) as part:
                one.figure.save(part)
        else:
            write_figure(one.figure, outputs[f"{one.name}_pdf"], outputs[f"{one.name}_png"])


def write_tables(made: Mapping[str, Sequence[str]], outputs: Any) -> None:
    """Texts to the outputs of the same names, each a list of files."""
    for name, texts in made.items():
        paths = outputs[name]
        for path, text in zip([paths] if isinstance(paths, str) else paths, texts, strict=True):
            write_text(path, text)


# --- content -----------------------------------------------------------------------------------


def content_hash(path: str | Path) -> str:
    """sha256 of what `path` holds.

    Of NetCDF the dimensions, attributes and values count, not the bytes, which also depend on
    compression and on the versions of the libraries; of any other file its bytes; of a folder, such
    as a Zarr store, the names and bytes of its files.
    """
    path = Path(path)
    if path.is_dir():
        return folder_hash(path)
    check_exists(path)
    return netcdf_hash(path) if path.suffix == ".nc" else bytes_hash(path)


def folder_hash(folder: Path) -> str:
    """sha256 of the names and bytes of all files in `folder`."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        _hash_plain(digest, [file.relative_to(folder).as_posix(), bytes_hash(file)])
    return digest.hexdigest()


def bytes_hash(path: str | Path) -> str:
    """sha256 of the bytes of `path`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def netcdf_hash(path: Path) -> str:
    import netCDF4

    check_readable(path)
    digest = hashlib.sha256()
    try:
        with netCDF4.Dataset(path) as ds:
            ds.set_auto_maskandscale(False)
            _hash_group(ds, digest)
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def _hash_group(group: netCDF4.Dataset, digest: hashlib._Hash) -> None:
    _hash_plain(digest, sorted((name, len(dim)) for name, dim in group.dimensions.items()))
    _hash_plain(digest, _attributes(group))
    for name, variable in sorted(group.variables.items()):
        dtype = "str" if variable.dtype is str else variable.dtype.newbyteorder("<").str
        _hash_plain(digest, [name, dtype, variable.dimensions, _attributes(variable)])
        for slab in _slabs(variable):
            _hash_values(digest, slab)
    for name, child in sorted(group.groups.items()):
        _hash_plain(digest, name)
        _hash_group(child, digest)


def _attributes(item: netCDF4.Dataset | netCDF4.Variable) -> list[tuple[str, str, Any]]:
    """Sorted (name, type, values)."""
    import numpy as np

    values = {name: np.asarray(item.getncattr(name)) for name in item.ncattrs()}
    return sorted((name, v.dtype.kind, v.tolist()) for name, v in values.items())


def _slabs(variable: netCDF4.Variable) -> Iterator[np.ndarray]:
    """The values in order, so many rows at a time that memory stays small."""
    if variable.ndim == 0:
        yield variable[...]
        return
    itemsize = 64 if variable.dtype is str else variable.dtype.itemsize
    row = max(1, _product(list(variable.shape[1:])) * itemsize)
    step = max(1, SLAB_BYTES // row)
    for start in range(0, variable.shape[0], step):
        yield variable[start : start + step]


def _hash_values(digest: hashlib._Hash, values: np.ndarray) -> None:
    import numpy as np

    values = np.asarray(values)
    if values.dtype.kind in "OUT":
        for text in values.ravel().tolist():
            _hash_plain(digest, text)
    else:
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        digest.update(np.ascontiguousarray(little).tobytes())


def _hash_plain(digest: hashlib._Hash, value: Any) -> None:
    digest.update(json.dumps(value).encode())
