"""The store gives back what was put in, or says that it cannot; locks fall with their process."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from dalib import io
from pipeline import audit, locks, provenance, prune, store
from pipeline.store import Store, StoreError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "store")


def kept(place: Store, key: str, *texts: str) -> tuple[dict, list]:
    """A record of outputs with these texts, and their paths."""
    paths = [place.directory.parent / f"{key}.{i}.txt" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    outputs = {str(path): provenance.describe(path) for path in paths}
    record = {"key": key, "outputs": outputs}
    place.keep(record, paths)
    return record, paths


def test_what_was_kept_comes_back(place):
    record, paths = kept(place, "k", "one", "two")
    for path in paths:
        path.unlink()
    assert place.record("k") == provenance.sealed(record) and place.record("other") is None
    assert place.restore(place.record("k"), paths) == []
    assert [path.read_text() for path in paths] == ["one", "two"]


def test_a_later_write_to_a_result_leaves_the_object(place):
    record, paths = kept(place, "k", "one")
    place.restore(record, paths)
    with paths[0].open("r+") as file:
        file.write("ONE")
    assert place.object(record["outputs"][str(paths[0])]["sha256"]).read_text() == "one"


def test_a_damaged_object_is_dropped_and_nothing_is_restored(place):
    record, paths = kept(place, "k", "one", "two")
    sha = record["outputs"][str(paths[1])]["sha256"]
    place.object(sha).chmod(0o644)
    place.object(sha).write_text("tow")
    paths[0].write_text("present")
    assert place.restore(record, paths) == [f"dropped the damaged object {place.object(sha)}"]
    assert paths[0].read_text() == "present" and not place.object(sha).exists()
    assert place.restore(record, paths) == ["an output is no longer in the store"]
    assert not list(place.directory.parent.glob("*.part-*"))
    place.keep(record, [paths[0], *kept(place, "other", "two")[1]])
    assert place.restore(record, paths) == []


def test_a_half_written_record_is_no_record(place):
    kept(place, "k", "one")
    place.record_path("k").write_text('{"outputs": {')
    assert place.record("k") is None


def test_a_record_with_a_changed_byte_is_no_record(place):
    kept(place, "k", "one")
    path = place.record_path("k")
    whole = path.read_text()
    for position in range(whole.index('"seal"')):
        other = chr(ord(whole[position]) ^ 1)
        path.write_text(whole[:position] + other + whole[position + 1 :])
        assert place.record("k") in (None, json.loads(whole)), position


def test_another_format_is_refused(place):
    kept(place, "k", "one")
    (place.directory / "format").write_text("2\n")
    with pytest.raises(store.StoreError, match="expected a store of format 1, found '2'"):
        place.check_format()


def test_everything_that_decides_a_result_is_in_the_key():
    spec, wildcards, inputs = {"code": "c", "config": {"a": 1}}, {"case": "x"}, {"data": ["h"]}
    keys = {
        store.key(spec, wildcards, inputs, ["out.0"]),
        store.key(spec | {"code": "d"}, wildcards, inputs, ["out.0"]),
        store.key(spec, {"case": "y"}, inputs, ["out.0"]),
        store.key(spec, wildcards, {"data": ["g"]}, ["out.0"]),
        store.key(spec, wildcards, {"other": ["h"]}, ["out.0"]),
        store.key(spec, wildcards, inputs, ["out.0", "out.1"]),
    }
    assert len(keys) == 6
    turned = dict(reversed(spec.items()))
    assert store.key(turned, wildcards, inputs, ["out.0"]) in keys


def test_pruning_drops_what_was_not_used_for_longest_and_never_what_is_in_use(place):
    records = [kept(place, name, name * 1000)[0] for name in ("a", "b", "c", "d")]
    shas = [next(iter(record["outputs"].values()))["sha256"] for record in records]
    for age, sha in zip((40, 30, 20, 10), shas, strict=True):
        os.utime(place.object(sha), (time.time() - age,) * 2)
    place.restore(records[1], [place.directory.parent / "b.0.txt"])  # used just now
    freed = prune.prune(place, 2000 / 1e9, wanted={shas[0]})
    assert freed == 2000
    assert [place.object(sha).exists() for sha in shas] == [True, True, False, False]
    assert [place.record(name) is None for name in "abcd"] == [False, False, True, True]
    assert prune.prune(place, 0, wanted=set(shas)) == 0


def test_pruning_by_hand_forgets_what_was_put_aside_long_ago(place, capsys):
    root = place.directory.parent
    for name in ("old", "new"):
        io.write_text(root / audit.ASIDE / name / "results/a.txt", "x" * 10**7)
    long_ago = time.time() - prune.KEPT_ASIDE - 1
    os.utime(root / audit.ASIDE / "old", (long_ago, long_ago))
    assert prune.main(root, keep_gb=1) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(".cache/aside: 0.01 GB older than 30 days removed, 0.01 GB kept; ")
    assert [folder.name for folder in (root / audit.ASIDE).iterdir()] == ["new"]


def test_present_results_keep_their_objects(place):
    path = place.directory.parent / "results/smoke/paper/a.txt"
    io.write_text(path, "one")
    relative = path.relative_to(place.directory.parent)
    record = {"outputs": {str(relative): provenance.describe(relative)}}
    io.write_json(provenance.beside(relative), record)
    sha = record["outputs"][str(relative)]["sha256"]
    assert prune.in_use(place.directory.parent / "results") == {sha}
    relative.unlink()
    assert prune.in_use(place.directory.parent / "results") == set()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({}, True),
        ({"pid": dead_pid()}, False),
        ({"started": "1"}, False),  # the number is used again by another process
        ({"host": "elsewhere"}, True),
    ],
)
def test_a_lock_lives_as_long_as_its_process(tmp_path, change, alive):
    lock = tmp_path / "lock.json"
    assert locks.take(lock)
    lock.write_text(json.dumps(json.loads(lock.read_text()) | change))
    assert locks.alive(lock) is alive
    assert locks.take(lock) is not alive


def test_a_silent_lock_of_another_host_is_dead(tmp_path):
    lock = tmp_path / "lock.json"
    locks.take(lock)
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"host": "elsewhere"}))
    os.utime(lock, (time.time() - 2 * locks.SILENT_SECONDS,) * 2)
    assert not locks.alive(lock)


def test_the_second_waits_for_the_first(tmp_path):
    lock = tmp_path / "lock.json"
    order, told = [], []

    def second():
        with locks.holding(lock, told.append):
            order.append("second")

    with locks.holding(lock, told.append):
        thread = threading.Thread(target=second)
        thread.start()
        while not told:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"] and [owner.pid for owner in told] == [os.getpid()]
    assert not lock.exists()


def test_a_store_that_cannot_be_used_is_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"the store cannot be written: .*cache\.dir"):
        Store(tmp_path / "file").check()
    Store(tmp_path / "new").check()
    io.write_text(tmp_path / "new/format", "2")
    with pytest.raises(StoreError, match="format 1, found '2'"):
        Store(tmp_path / "new").check()
