"""Whatever dies, the next run continues: some rounds of the chaos benchmark, and orphans."""

import json
import os
import random
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import chaos
from benchmarks.toy import Toy
from dalib import io

pytestmark = [pytest.mark.workflow, pytest.mark.chaos]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> chaos.Built:
    return chaos.build(tmp_path_factory.mktemp("chaos") / "built")


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
    process = toy.start(TOY_PAUSE="1.5")
    until(lambda: list(toy.results.glob("toy/c0/numbers.nc.part-*")), process)
    trial = chaos.Round(toy, built, random.Random(1))
    snakemake = [pid for pid, role in trial.processes().items() if role == "snakemake"]
    os.kill(snakemake[0], signal.SIGKILL)
    process.wait(timeout=60)
    assert "job" in trial.processes().values()
    return toy


def until(condition: Callable[[], object], process) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def test_make_goes_on_after_snakemake_was_killed_and_waits_for_its_orphan(orphaned):
    code, said = orphaned.run()
    assert code == 0, said
    assert "left by a process that is gone, cleared" in said
    assert "make toy/c0: waiting for a job of an earlier run that writes the same files" in said
    statuses = [n["status"] for n in orphaned.notes() if n["job"] == "make toy/c0"]
    assert statuses == ["computed", "reused"], said + str(orphaned.notes())


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
    assert "5 results, 0 problems" in verify.communicate(timeout=60)[0]
