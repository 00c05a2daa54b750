"""Whatever dies, the next run continues: a short form, rounds of the chaos benchmark, and orphans.

The short form has its faults at fixed moments and is among the default tests.
"""

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import chaos
from benchmarks.toy import PATIENCE, Toy
from dalib import io

pytestmark = pytest.mark.workflow


def test_after_a_kill_in_a_write_and_after_damage_only_what_was_lost_is_made_again(tmp_path):
    toy = Toy(tmp_path / "toy").make(cases=1, size=1000)
    made = toy.results / "toy/c0"
    process = toy.start(TOY_PAUSE="2")
    until(lambda: parts_of(made, "doubled.nc", "report.txt"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=PATIENCE)
    assert list(made.glob("*.part-*")) and not (made / "report.txt").exists()
    assert computed_by_a_run(toy) == ["double toy/c0", "total toy/c0"]
    check_results(toy)

    whole = contents(toy)
    halve(made / "doubled.nc")  # the store has another
    (made / "total.txt").unlink()
    halve(stored(toy, whole["total.txt"]))
    assert computed_by_a_run(toy) == ["total toy/c0"]
    assert contents(toy) == whole
    check_results(toy)


def parts_of(folder: Path, *names: str) -> list[Path]:
    """Those of these files that are being written."""
    return [part for name in names for part in folder.glob(f"{name}.part-*")]


def computed_by_a_run(toy: Toy) -> list[str]:
    """Run to the end; the jobs that it computed, as often as it did."""
    before = len(toy.notes())
    code, said = toy.run()
    assert code == 0 and "Traceback" not in said, said
    return [n["job"] for n in toy.notes()[before:] if n["status"] == "computed"]


def contents(toy: Toy) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for _, paths in toy.jobs() for path in paths}


def check_results(toy: Toy) -> None:
    """Every number is what it must be, every file has its record, and no part is left."""
    made, x = toy.results / "toy/c0", np.random.default_rng(0).random(1000)
    for file, values in (("numbers.nc", x), ("doubled.nc", 2 * x)):
        np.testing.assert_array_equal(io.read(made / file).x, values)
    for file, values in (
        ("history.csv", x[:20]),
        ("report.txt", 2 * x[-20:]),
        ("total.txt", [(2 * x).sum()] * 20),
    ):
        np.testing.assert_array_equal([float(n) for n in (made / file).read_text().split()], values)
    for file, content in contents(toy).items():
        output = chaos.record_of(made / file)["outputs"][chaos.name(made / file)]
        assert io.bytes_hash(made / file) == output["sha256"]
        assert stored(toy, content).read_bytes() == content
    assert not list(toy.folder.rglob("*.part-*"))


def stored(toy: Toy, content: bytes) -> Path:
    """The object that holds such content."""
    sha = hashlib.sha256(content).hexdigest()
    return toy.store / f"objects/{sha[:2]}/{sha}"


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[: len(content) // 2])


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> chaos.Built:
    return chaos.build(tmp_path_factory.mktemp("chaos") / "built")


@pytest.mark.chaos
@pytest.mark.parametrize(
    "kind", ["kill snakemake", "kill a writer", "full disk", "damaged result", "damaged metadata"]
)
def test_a_round_of_chaos_loses_nothing_and_makes_nothing_twice(built, tmp_path, kind):
    if kind == "full disk" and not chaos.can_mount(tmp_path / "disk"):
        pytest.skip("a full disk takes the right to mount one")
    trial = chaos.disturbed(kind, built, tmp_path / "round", seed="1")
    assert not trial.wrong and not trial.again, "\n".join(trial.said)


@pytest.fixture
def orphaned(built, tmp_path) -> Toy:
    """A run whose snakemake was killed while the first file of the job `make c0` was written."""
    toy = Toy(tmp_path / "toy").make(cases=1)
    process = toy.start(TOY_PAUSE="3")
    until(lambda: list(toy.results.glob("toy/c0/numbers.nc.part-*")), process)
    trial = chaos.Round(toy, built, random.Random(1))
    snakemake = [pid for pid, role in trial.processes().items() if role == "snakemake"]
    os.kill(snakemake[0], signal.SIGKILL)
    process.wait(timeout=PATIENCE)
    assert "job" in trial.processes().values()
    return toy


def until(condition: Callable[[], object], process) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


@pytest.mark.chaos
def test_make_goes_on_after_snakemake_was_killed_and_waits_for_its_orphan(orphaned):
    code, said = orphaned.run()
    assert code == 0, said
    assert "left by a process that is gone, cleared" in said
    assert "make toy/c0: waiting for a job of an earlier run that writes the same files" in said
    statuses = [n["status"] for n in orphaned.notes() if n["job"] == "make toy/c0"]
    assert statuses == ["computed", "reused"], said + str(orphaned.notes())


@pytest.mark.chaos
def test_an_orphan_of_another_configuration_does_not_overwrite_the_new_result(orphaned):
    config = json.loads((orphaned.folder / "config.yaml").read_text())
    config["toy"]["cases"]["c0"]["seed"] = 7
    (orphaned.folder / "config.yaml").write_text(json.dumps(config))
    code, said = orphaned.run()
    assert code == 0, said
    assert "make toy/c0: waiting for a job of an earlier run that writes the same files" in said
    x = io.read(orphaned.results / "toy/c0/numbers.nc").x.values
    np.testing.assert_array_equal(x, np.random.default_rng(7).random(20_000))
    history = (orphaned.results / "toy/c0/history.csv").read_text().split()
    np.testing.assert_array_equal([float(text) for text in history], x[:20])
    verify = orphaned.call("verify")
    assert "5 results, 0 problems" in verify.communicate(timeout=PATIENCE)[0]
