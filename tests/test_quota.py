"""A quota that is used up is told like a full disk: what to do, and nothing half-written left."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from benchmarks.toy import Toy
from dalib import io
from pipeline import audit
from pipeline.checkpoint import Checkpoint
from pipeline.store import Store, StoreError

TOLD = "your quota is used up: make room (make cache-prune"
MB = 2**20


def random_numbers(count):
    values = np.random.default_rng(1).random(count)
    return xr.Dataset({"x": ("i", values, {"units": "1", "long_name": "x"})})


# -- writes that fail ----------------------------------------------------------------------------


@pytest.fixture
def exceeded(monkeypatch):
    """No write reaches the disk; netCDF4 hides why."""

    def refused(*_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def hidden(*_, **__):
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(os, "fsync", refused)
    monkeypatch.setattr(xr.Dataset, "to_netcdf", hidden)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: io.write_text(path, "x"),
        lambda path: io.write(random_numbers(3), path, title="numbers"),
    ],
    ids=["text", "netcdf"],
)
def test_the_file_and_the_remedy_are_named(exceeded, tmp_path, write):
    with pytest.raises(OSError) as raised:
        write(tmp_path / "a.nc")
    said = io.explained(raised.value)
    assert said.startswith(f"{tmp_path / 'a.nc'}: Disk quota exceeded; {TOLD}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_even_be_opened_is_named_without_its_part(tmp_path):
    def write():
        with io.replacing(tmp_path / "a.txt") as part:
            raise OSError(errno.EDQUOT, "Disk quota exceeded", str(part))

    with pytest.raises(OSError) as raised:
        write()
    assert raised.value.filename == str(tmp_path / "a.txt")


def test_a_store_that_cannot_grow_is_named_before_a_run(exceeded, tmp_path):
    (tmp_path / "format").write_text("1\n")
    with pytest.raises(StoreError, match="the store cannot be written: .* your quota is used up"):
        Store(tmp_path).check()


def test_a_folder_of_results_that_cannot_grow_is_named_before_a_run(tmp_path, monkeypatch):
    def refused(part, cause=None):
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "results")

    monkeypatch.chdir(tmp_path)
    for name in ("DALIB_CACHE", "DALIB_RUN"):
        monkeypatch.setenv(name, "before")  # and put back afterwards
    monkeypatch.setattr(Store, "check", lambda self: None)
    monkeypatch.setattr(io, "check_space", refused)
    with pytest.raises(audit.ActiveError, match="cannot be audited: results: .* your quota is"):
        audit.begin("smoke", "cache", main=True, arguments=[])


def test_a_checkpoint_that_cannot_be_written_says_what_to_do(exceeded, tmp_path):
    said = []
    Checkpoint(tmp_path, said.append, every=0.0).save(dict)
    (line,) = said
    assert line.startswith("no checkpoint could be written: ") and TOLD in line


# -- a real one ----------------------------------------------------------------------------------


def command(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


@pytest.fixture
def limited(tmp_path):
    """A folder with a quota of its own, and a function that sets it in bytes."""
    if os.geteuid() or not all(map(shutil.which, ("mkfs.btrfs", "btrfs", "mount"))):
        pytest.skip("a real quota takes root and btrfs-progs")
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    image.touch()
    os.truncate(image, 200 * MB)
    mounted.mkdir()
    folder = mounted / "limited"
    try:
        command("mkfs.btrfs", "--quiet", image)
        command("mount", "-o", "loop", image, mounted)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no btrfs can be mounted here: {error.stderr.strip()}")
    try:
        command("btrfs", "subvolume", "create", folder)
        command("btrfs", "quota", "enable", mounted)
        yield folder, lambda size: command("btrfs", "qgroup", "limit", str(size), folder)
    finally:
        command("umount", "--lazy", mounted)


def test_a_real_quota_is_told_by_every_writer(limited):
    folder, limit = limited
    limit(2 * MB)
    for write in (
        lambda: io.write(random_numbers(10**6), folder / "a.nc", title="numbers"),
        lambda: io.write_text(folder / "b.txt", "x" * 8 * MB),
    ):
        with pytest.raises(OSError) as raised:
            write()
        assert f"Disk quota exceeded; {TOLD}" in io.explained(raised.value)
        assert ".part-" not in io.explained(raised.value)
    assert list(folder.iterdir()) == []


@pytest.mark.workflow
@pytest.mark.chaos
def test_a_run_that_meets_a_real_quota_says_so_and_goes_on_when_there_is_room(limited):
    folder, limit = limited
    toy = Toy(folder / "toy").make(cases=2, size=200_000)
    limit(_used(Path(toy.folder)) + 4 * MB)
    code, said = toy.run()
    assert code and TOLD in said, said
    assert not any("Traceback" in log.read_text() for log in toy.results.glob("logs/*.log"))
    assert not list(toy.folder.rglob("*.part-*"))
    limit(100 * MB)
    code, said = toy.run()
    assert code == 0, said
    assert all(path.exists() for _, paths in toy.jobs() for path in paths)


def _used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))
