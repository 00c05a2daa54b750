"""Files: equal contents give equal bytes, half a file is never seen, faults are named."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dalib import io

UNITS = {"units": "1", "long_name": "something"}


def example() -> xr.Dataset:
    """One of everything: floats with a gap, integers, text, flags, dates, a scalar."""
    y = np.arange(24.0).reshape(2, 3, 4)
    y[0, 1, 2] = np.nan
    return xr.Dataset(
        {
            "y": (("seed", "time", "obs"), y, UNITS),
            "count": (("seed",), np.array([3, 4]), UNITS),
            "good": (("seed",), np.array([True, False]), UNITS),
            "weight": ((), np.float32(0.5), UNITS),
        },
        coords={
            "seed": [0, 1],
            "time": ("time", [0.1, 0.2, 0.3], UNITS),
            "obs": ["x", "y", "zeta", "ü"],
            "date": ("time", np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]")),
        },
        attrs={"source": "a test"},
    )


def saved(tmp_path: Path, ds: xr.Dataset | None = None, name: str = "a.nc") -> Path:
    path = tmp_path / name
    io.write(example() if ds is None else ds, path, title="example", missing=("y",))
    return path


def test_what_is_written_is_read_back(tmp_path):
    ds = io.read(saved(tmp_path), needs={"y": ("seed", "time", "obs"), "count": ("seed",)})
    xr.testing.assert_equal(ds.drop_attrs(), example().drop_attrs())
    assert ds.y.attrs == UNITS and ds.attrs["title"] == "example"
    assert ds.y.dtype == np.float64 and ds.weight.dtype == np.float32


def test_bytes_depend_on_nothing_but_the_contents(tmp_path):
    """Two processes, two hash seeds, two paths, variables and attributes in another order."""
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[2])
        from test_io import example
        from dalib import io
        ds = example()
        if sys.argv[3] == "reversed":
            for v in ds.variables.values():
                v.attrs = dict(reversed(v.attrs.items()))
                v.encoding = {"zlib": False}
            ds = ds[list(reversed(list(ds.data_vars)))].transpose("seed", "time", "obs")
        io.write(ds, sys.argv[1], title="example", missing=["y"])
    """
    for seed, order, name in (("1", "kept", "one/a.nc"), ("2", "reversed", "two/longer.nc")):
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / name, Path(__file__).parent, order],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
    assert (tmp_path / "one/a.nc").read_bytes() == (tmp_path / "two/longer.nc").read_bytes()


def test_nan_has_one_bit_pattern(tmp_path):
    odd = example()
    odd.y.values[0, 1, 2] = np.array([0xFFF8000000000123], "u8").view("f8")[0]
    assert saved(tmp_path, odd).read_bytes() == saved(tmp_path, name="b.nc").read_bytes()


def test_content_hash_ignores_storage_and_sees_every_change(tmp_path):
    path = saved(tmp_path)
    original = io.content_hash(path)
    io.read(path).to_netcdf(
        tmp_path / "plain.nc",
        encoding={n: {"_FillValue": None} for n in ("y", "time", "weight")}
        | {"date": {"units": "seconds since 1970-01-01", "calendar": "standard"}},
    )
    assert path.read_bytes() != (tmp_path / "plain.nc").read_bytes()
    assert io.content_hash(tmp_path / "plain.nc") == original

    changes = {
        "value": lambda d: d.y.values.__setitem__((0, 0, 0), 7.0),
        "units": lambda d: d.y.attrs.__setitem__("units", "m"),
        "label": lambda d: d.coords.__setitem__("obs", ["w", "y", "zeta", "ü"]),
        "attribute": lambda d: d.attrs.__setitem__("source", "another"),
        "sign of zero": lambda d: d.y.values.__setitem__((0, 0, 0), -0.0),
    }
    for what, change in changes.items():
        other = example()
        change(other)
        assert io.content_hash(saved(tmp_path, other, "other.nc")) != original, what
    assert io.content_hash(saved(tmp_path, example().rename(count="n"), "other.nc")) != original


def test_content_hash_does_not_depend_on_compression(tmp_path):
    import netCDF4

    hashes = set()
    for name, options in {"a": {}, "b": {"zlib": True}, "c": {"chunksizes": (1, 5)}}.items():
        with netCDF4.Dataset(tmp_path / f"{name}.nc", "w") as file:
            file.createDimension("row", 20)
            file.createDimension("column", 5)
            variable = file.createVariable("v", "f8", ("row", "column"), **options)
            variable[:] = np.arange(100.0).reshape(20, 5)
            variable.units = "m"
        hashes.add(io.content_hash(tmp_path / f"{name}.nc"))
    assert len(hashes) == 1


def test_content_hash_of_slabs_is_that_of_the_whole(tmp_path, monkeypatch):
    path = saved(tmp_path)
    whole = io.content_hash(path)
    monkeypatch.setattr(io, "SLAB_BYTES", 1)
    assert io.content_hash(path) == whole


def test_content_of_other_files_is_their_bytes(tmp_path):
    io.write_text(tmp_path / "a.csv", "1,2\n")
    io.write_text(tmp_path / "b.csv", "1,2\n")
    assert io.content_hash(tmp_path / "a.csv") == io.content_hash(tmp_path / "b.csv")
    io.write_text(tmp_path / "b.csv", "1,3\n")
    assert io.content_hash(tmp_path / "a.csv") != io.content_hash(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 3), (10, 3)),
        ((0, 3), (1, 3)),
        ((2**20, 8), (2**16, 8)),
        ((3, 2**20, 8), (1, 2**16, 8)),
    ],
)
def test_chunks_are_the_shape_or_at_most_four_mebibytes(shape, expected):
    assert io.chunks(shape, 8) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.y.attrs.clear(), "example: variable 'y' has no long_name or units"),
        (lambda ds: ds.y.attrs.pop("units"), "example: variable 'y' has no units"),
        (lambda ds: ds.time.attrs.pop("long_name"), "coordinate 'time' has no long_name"),
    ],
)
def test_units_and_long_name_are_required(tmp_path, change, message):
    ds = example()
    change(ds)
    with pytest.raises(ValueError, match=message):
        saved(tmp_path, ds)
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_refused_with_their_place(tmp_path):
    with pytest.raises(io.DataError) as caught:
        io.write(example(), tmp_path / "a.nc", title="example")
    assert str(caught.value) == (
        f"{tmp_path / 'a.nc'}: variable 'y' is nan at index seed=0, time=1, obs=2 "
        "(1 of 24 values are not finite); nothing is written; if NaN is meant there, say so: "
        "missing=['y']"
    )
    ds = example()
    ds.y.values[1, 0, 3] = np.inf
    with pytest.raises(io.DataError, match="is inf at index seed=1, time=0, obs=3"):
        saved(tmp_path, ds)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(RuntimeError), io.replacing(path) as part:
        part.write_text("half")
        assert io.part_owner(part)[0] == os.getpid() and part.parent == path.parent
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        io.write_json(tmp_path / "a.json", {"x": float("nan")})
    io.write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n "b": 1,\n "a": "ü"\n}\n'


def damage(path: Path, what: str) -> None:
    data = path.read_bytes()
    path.unlink()
    if what == "text":
        path.write_text("time,x\n1,2\n")
    elif what == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif what == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "no such file; it is written by an earlier stage or must be given"),
        ("text", r"expected NetCDF, found a file that begins with b'time,x"),
        ("truncated", r"expected complete NetCDF, found \d+ bytes, truncated or damaged"),
        ("empty", "expected NetCDF, found an empty file; was it being written, or downloaded,"),
    ],
)
def test_unreadable_files_are_named(tmp_path, what, message):
    path = saved(tmp_path)
    damage(path, what)
    for open_it in (io.read, io.content_hash):
        with pytest.raises(io.DataError, match=message) as caught:
            open_it(path)
        assert str(caught.value).startswith(str(path)) and caught.value.path == path


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"PK\x03\x04data", "a zip archive; unpack it"),
        (b"\x1f\x8bdata", "a file packed by gzip"),
        (b"GRIB\x00\x00", "GRIB; convert it, such as by `cdo -f nc4 copy"),
        (b"<!DOCTYPE html>", "HTML or XML, perhaps what a server answered"),
        (b"version https://git-lfs.github.com/spec/v1", "what Git LFS leaves in the place"),
        (b"MATLAB 7.3 MAT-file", "a MATLAB file"),
    ],
)
def test_what_is_given_for_netcdf_by_mistake_is_recognised(tmp_path, start, message):
    path = tmp_path / "a.nc"
    path.write_bytes(start)
    with pytest.raises(io.DataError, match=f"expected NetCDF, found {message}"):
        io.read(path)


def test_folders_stores_and_dead_links_are_named(tmp_path):
    with pytest.raises(io.DataError, match="expected a file, found a folder"):
        io.read(tmp_path)
    (tmp_path / "zarr.json").touch()
    with pytest.raises(io.DataError, match="found a Zarr store; open it with xarray.open_zarr"):
        io.read(tmp_path)
    (tmp_path / "a.nc").symlink_to("gone.nc")
    with pytest.raises(io.DataError, match="a link to gone.nc, where there is no file"):
        io.read(tmp_path / "a.nc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = saved(tmp_path)
    path.chmod(0)
    with pytest.raises(io.DataError, match="you may not read it; ask its owner"):
        io.read(path)


@pytest.mark.parametrize(
    "attrs",
    [{"units": "days since once"}, {"units": "days since 2000-01-01", "calendar": "of mars"}],
)
def test_what_cannot_be_decoded_is_not_called_damaged(tmp_path, attrs):
    xr.Dataset({"y": ("time", [1.0, 2.0])}, {"time": ("time", [0, 1], attrs)}).to_netcdf(
        tmp_path / "a.nc"
    )
    with pytest.raises(io.DataError) as caught:
        io.read(tmp_path / "a.nc")
    assert "its values cannot be decoded: unable to decode time units" in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_a_file_that_another_process_writes_is_named_as_such(tmp_path):
    path = saved(tmp_path)
    code = (
        "import sys, netCDF4; d = netCDF4.Dataset(sys.argv[1], 'a'); print(1, flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        for open_it in (io.read, io.content_hash):
            with pytest.raises(io.DataError, match="another process has it open for writing"):
                open_it(path)
        other.communicate(b"\n")
    assert io.read(path).sizes["seed"] == 2


def test_values_in_a_group_are_named(tmp_path):
    xr.Dataset({"y": ("time", [1.0])}).to_netcdf(tmp_path / "a.nc", group="inner")
    with pytest.raises(io.DataError, match="found none; if they are in a group"):
        io.read(tmp_path / "a.nc", needs={"y": ("time",)})


def diverged() -> xr.Dataset:
    """Two series of five times, the second lost from the third on."""
    about = {"units": "1", "long_name": "something"}
    mean = np.zeros((2, 5, 3))
    mean[1, 2:] = np.nan
    return xr.Dataset(
        {
            "mean": (("seed", "time", "state"), mean, about),
            "diverged_at": ("seed", [-1, 2], about),
        }
    )


def test_nan_after_a_divergence_is_written_and_no_other(tmp_path):
    io.write(diverged(), tmp_path / "a.nc", title="analyses")
    assert io.read(tmp_path / "a.nc")["mean"].isnull().sum() == 9
    ds = diverged()
    ds["mean"].values[1, 1, 0] = np.nan
    with pytest.raises(io.DataError, match=r"nan at index seed=1, time=1, .*missing=\['mean'\]"):
        io.write(ds, tmp_path / "b.nc", title="analyses")
    ds = diverged()
    ds["mean"].values[1, 3, 0] = np.inf
    with pytest.raises(io.DataError, match="inf at index seed=1, time=3, state=0") as caught:
        io.write(ds, tmp_path / "b.nc", title="analyses")
    assert "missing=" not in str(caught.value)


def test_all_that_is_not_finite_is_told_at_once(tmp_path):
    ds = diverged().drop_vars("diverged_at")
    ds = ds.assign(std=ds["mean"], other=ds["mean"].fillna(np.inf))
    with pytest.raises(io.DataError) as caught:
        io.write(ds, tmp_path / "a.nc", title="analyses")
    assert "'std' is nan" in str(caught.value) and "'other' is inf" in str(caught.value)
    assert str(caught.value).endswith("say so: missing=['mean', 'std']")
    io.write(ds.drop_vars("other"), tmp_path / "a.nc", title="analyses", missing=["mean", "std"])


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"x": ("time",)}, "expected a variable 'x', found count, date, good, obs, seed, time,"),
        (
            {"y": ("seed", "time", "state")},
            r"variable 'y': expected dimensions \(seed, time, state\), found \(seed, time, obs\)",
        ),
        ({"y": (..., "obs", "time")}, r"expected dimensions \(..., obs, time\)"),
        ({"y": ("time", "obs")}, "found \\(seed, time, obs\\); choose one .* with ds.isel"),
        ({"y": ("seed", "t", "p")}, r"rename them: ds.rename\({'time': 't', 'obs': 'p'}\)"),
        ({"y": ("obs", "time", "seed")}, r"transpose it: ds.transpose\('obs', 'time', 'seed'\)"),
        ({"y": ("run", "seed", "time", "obs")}, "add what is lacking with ds.expand_dims"),
    ],
)
def test_lacking_contents_are_named(tmp_path, needs, message):
    with pytest.raises(io.DataError, match=message):
        io.read(saved(tmp_path), needs=needs)


def test_leading_dimensions_may_be_left_open(tmp_path):
    io.read(saved(tmp_path), needs={"y": (..., "time", "obs"), "weight": (), "count": (...,)})


def test_observations_that_are_all_missing_are_named(tmp_path):
    ds = example()
    ds.y.values[:] = np.nan
    with pytest.raises(io.DataError, match="'y': expected at least one value, found NaN every"):
        io.read(saved(tmp_path, ds), needs={"y": ("seed", "time", "obs")})


def test_import_is_cheap():
    code = "import sys, dalib.io; print({'numpy', 'xarray', 'netCDF4', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_batches_of_runs_keep_apart_what_belongs_to_all_runs(tmp_path):
    def described(dims, values):
        return (dims, np.asarray(values, float), {"units": "1", "long_name": "some"})

    parts = [
        xr.Dataset({"x": described(("run", "time"), [[1, 2], [3, 4]])}),
        xr.Dataset(
            {
                "x": described(("run", "time"), [[5, 6]]),
                "own": described("run", [7]),
                "scan": described(("place", "time"), [[8, 9]]),
            }
        ),
    ]
    for number, part in enumerate(parts):
        (tmp_path / "m").mkdir(exist_ok=True)
        io.write(part, tmp_path / "m" / f"batch{number}.nc", title="part")
    whole = io.read_methods([tmp_path / "m" / f"batch{number}.nc" for number in (0, 1)])["m"]
    np.testing.assert_array_equal(whole.x, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(whole.own, [np.nan, np.nan, 7])
    assert whole.scan.dims == ("place", "time") and float(whole.scan[0, 1]) == 9


def test_scores_go_by_case_and_product_and_other_files_by_their_names(tmp_path):
    def written(path):
        described = {"units": "1", "long_name": str(path)}
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        io.write(xr.Dataset({"x": ((), 1.0, described)}), tmp_path / path, title="part")
        return tmp_path / path

    def names(*paths):
        found = io.read_scores([written(path) for path in paths])
        assert [d.x.attrs["long_name"] for d in found.values()] == list(paths)
        return list(found)

    paths = ["basin/scores/fields.nc", "ring/scores/fields.nc", "basin/timing.nc"]
    assert names(*paths) == ["basin/fields", "ring/fields", "timing"]
    assert names(*paths, "ring/timing.nc") == [
        *("basin/fields", "ring/fields", "basin/timing", "ring/timing")
    ]


def test_the_content_of_a_folder_is_that_of_its_files(tmp_path):
    for name, text in (("a/x", "1"), ("a/in/y", "2"), ("b/x", "1"), ("b/in/y", "2")):
        io.write_text(tmp_path / name, text)
    assert io.content_hash(tmp_path / "a") == io.content_hash(tmp_path / "b")
    (tmp_path / "b/in/y").rename(tmp_path / "b/in/z")
    assert io.content_hash(tmp_path / "a") != io.content_hash(tmp_path / "b")


def test_inputs_are_read_but_for_the_files_of_a_reanalysis(tmp_path):
    path = str(saved(tmp_path))
    found = io.read_inputs({"truth": path, "fields": [str(tmp_path / "large.nc")]})
    assert found.keys() == {"truth"}
