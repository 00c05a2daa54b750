"""A stage computes once, says why it ran, and turns mistakes into messages."""

import errno
import json
import os
import re
import signal
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from dalib import io
from pipeline import locks, provenance, runs, stage
from pipeline.store import Store


class Files(list):
    """Like Snakemake's lists: some entries have names."""

    def __init__(self, *unnamed, **names):
        flat = [p for v in names.values() for p in ([v] if isinstance(v, str) else v)]
        super().__init__([*unnamed, *flat])
        self.names = names

    def items(self):
        return self.names.items()


class Job:
    """One job of a workflow in a folder of its own."""

    def __init__(self):
        self.spec = {"code": "d1", "config": {"case": {"error_std": 1.0}}}
        self.spec["experiment"] = "7/dkf/clean"
        self.wildcards = {"scale": "smoke", "paper": "dkf", "case": "clean", "filter": "particle"}
        self.ran = 0
        io.write_text("data/y.csv", "1\n")
        self.units({"m:f": "1"})

    def units(self, table):
        io.write_json(f"cache/units/{self.spec['code']}.json", table)

    def snakemake(self):
        return SimpleNamespace(
            rule="assimilate",
            params=SimpleNamespace(spec=self.spec),
            wildcards=self.wildcards,
            input=Files(observations="data/y.csv"),
            output=Files("results/smoke/dkf/clean/a.txt"),
            log=["results/smoke/logs/a.log"],
            resources={"mem_mb": 1500, "runtime": 10, "tmpdir": "/tmp"},
        )

    def run(self, body=None, status=None):
        """Run the script `body`; the exit status, None if it went through."""
        try:
            with stage.Stage(self.snakemake()) as opened:
                self.ran += 1
                self.seen = opened
                if body:
                    body()
                else:
                    io.write_text(self.output, "result of " + json.dumps(self.spec["config"]))
        except SystemExit as exit:
            assert exit.code == status
            return
        assert status is None

    output = "results/smoke/dkf/clean/a.txt"

    def log(self):
        with open("results/smoke/logs/a.log") as file:
            return file.read()

    def record(self):
        return provenance.load(self.output)


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DALIB_CACHE", "cache")
    monkeypatch.setenv("DALIB_RUN", "r1")
    for name in (*stage.THREAD_VARIABLES, "MPLBACKEND"):
        monkeypatch.setenv(name, "8")
    return Job()


def said(capsys):
    return capsys.readouterr().err.strip()


def test_the_first_time_is_computed_and_recorded(job, capsys):
    job.run()
    line = r"assimilate dkf/clean/particle: computed in \d+\.\d s \(no earlier result\)"
    assert re.fullmatch(line, said(capsys))
    record = job.record()
    assert list(record) == [
        *("stage", "wildcards", "spec", "units", "inputs", "stamps", "outputs", "versions"),
        *("python", "host", "commit", "dirty", "started", "seconds", "status", "key", "seal"),
    ]
    assert record["status"] == "computed" and record["units"] == {"m:f": "1"}
    assert record["inputs"] == {"observations": {"data/y.csv": io.content_hash("data/y.csv")}}
    entry = record["outputs"][job.output]
    assert entry["sha256"] == entry["content"] == io.bytes_hash(job.output)
    assert provenance.untouched(job.output, entry)
    assert not list(Store(stage.directory()).directory.glob("locks/*"))


def test_the_same_again_comes_from_the_store(job, capsys):
    job.run()
    text = open(job.output).read()
    os.unlink(job.output)
    capsys.readouterr()
    job.run(status=0)
    assert job.ran == 1 and open(job.output).read() == text
    assert said(capsys).endswith("reused (nothing changed, the result was missing)")
    assert job.record()["status"] == "reused"
    assert provenance.untouched(job.output, job.record()["outputs"][job.output])
    assert runs.summary("r1") == "0 computed, 1 reused, 0 failed"  # each job's last word


def change_code(job):
    job.spec = job.spec | {"code": "d2"}
    job.units({"m:f": "2"})


def change_config(job):
    job.spec = job.spec | {"config": {"case": {"error_std": 2.0}}}


def change_input(job):
    io.write_text("data/y.csv", "2\n")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_code, "m:f changed"),
        (change_config, "config case.error_std: 1.0 -> 2.0"),
        (change_input, "input observations changed"),
    ],
)
def test_a_change_is_computed_and_named_and_taken_back_is_reused(job, capsys, change, why):
    job.run()
    before = job.spec
    change(job)
    capsys.readouterr()
    job.run()
    assert job.ran == 2 and said(capsys).endswith(f"({why})")
    job.spec = before
    io.write_text("data/y.csv", "1\n")
    job.run(status=0)
    assert job.ran == 2


def test_another_experiment_with_equal_settings_is_not_the_same(job):
    job.run()
    job.wildcards = job.wildcards | {"case": "other"}
    job.spec = job.spec | {"experiment": "7/dkf/other"}
    job.run()
    assert job.ran == 2 and job.seen.experiment == "7/dkf/other"


def test_a_damaged_object_is_computed_again(job, capsys):
    job.run()
    (sha,) = (o["sha256"] for o in job.record()["outputs"].values())
    target = Store(stage.directory()).object(sha)
    target.chmod(0o644)
    target.write_text("broken")
    capsys.readouterr()
    job.run()
    lines = said(capsys).splitlines()
    assert lines[0].endswith(f"dropped the damaged object {target}; computing it again")
    assert job.ran == 2 and io.bytes_hash(target) == sha


def test_threads_are_set_before_anything_is_imported(job):
    job.spec = job.spec | {"threads": 3}
    job.run(lambda: io.write_text(job.output, os.environ["OMP_NUM_THREADS"]))
    assert open(job.output).read() == "3" and os.environ["MPLBACKEND"] == "Agg"


def test_what_the_script_prints_is_in_the_log_too_and_its_bars_only_there(job, capsys):
    def body():
        print("from the script")
        print("\r 50%|", file=sys.stderr, end="")
        print(file=sys.stderr)
        io.write_text(job.output, "x")

    job.run(body)
    out, err = capsys.readouterr()
    assert out == "from the script\n" and len(err.splitlines()) == 1
    assert job.log().splitlines()[:2] == ["from the script", " 50%|"]
    assert "computed in" in job.log()


def test_an_error_keeps_its_traceback_in_the_log(job, capsys):
    def body():
        raise ZeroDivisionError("by zero")

    job.run(body, status=1)
    last = (
        "assimilate (scale=smoke, paper=dkf, case=clean, filter=particle) failed: "
        "ZeroDivisionError: by zero; see results/smoke/logs/a.log"
    )
    assert said(capsys) == last
    assert "Traceback" in job.log() and job.log().splitlines()[-1] == last
    assert "0 computed, 0 reused, 1 failed" in runs.summary("r1")
    assert not os.path.exists(job.output) and job.record() is None
    assert not list(Store(stage.directory()).directory.glob("locks/*"))


def test_a_bad_input_names_the_stage_that_wrote_it(job, capsys):
    record = {"stage": "observe", "outputs": {"data/y.csv": {"size": 0, "mtime_ns": 0}}}
    io.write_json("data/y.csv.prov.json", record)

    def body():
        raise io.DataError("data/y.csv", "expected a variable 'y', found x")

    job.run(body, status=1)
    assert said(capsys) == (
        "assimilate dkf/clean/particle: data/y.csv: expected a variable 'y', found x. "
        "It was written by the stage observe; delete it and run again."
    )
    assert "Traceback" not in job.log()


def test_a_missing_input_is_one_paragraph(job, capsys):
    os.unlink("data/y.csv")
    job.run(status=1)
    assert job.ran == 0 and "No such file" not in said(capsys)
    assert "data/y.csv: no such file" in job.log() and "Traceback" not in job.log()


def test_values_that_are_not_finite_name_stage_variable_and_index(job, capsys):
    import numpy as np
    import xarray as xr

    def body():
        attrs = {"units": "1", "long_name": "state"}
        ds = xr.Dataset({"x": (("time",), np.array([0.0, np.nan]), attrs)})
        io.write(ds, job.output, title="analyses")

    job.run(body, status=1)
    assert said(capsys) == (
        f"assimilate dkf/clean/particle: {job.output}: variable 'x' is nan at index time=1 "
        "(1 of 2 values are not finite); nothing is written; if NaN is meant there, say so: "
        "missing=['x']"
    )
    assert not os.path.exists(job.output)


def test_an_output_that_was_not_written_is_named(job, capsys):
    job.run(lambda: None, status=1)
    assert f"{job.output}: the script ended without writing this output" in said(capsys)


def test_a_gpu_that_is_not_there_is_named(job, capsys, monkeypatch):
    monkeypatch.setattr(stage, "gpus", lambda: 0)
    job.spec = job.spec | {"device": "cuda"}
    job.run(status=1)
    assert 'the setting "device" asks for "cuda", but this host' in said(capsys) and job.ran == 0


def test_a_full_disk_costs_the_reuse_and_not_the_result(job, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "put", full)
    job.run()
    assert "not stored for reuse: No space left on device; the disk is full: make" in said(capsys)
    assert job.record()["status"] == "computed"


def test_a_job_whose_key_another_process_computed_meanwhile_reuses_it(job, monkeypatch):
    job.run()
    lock, take = Store(stage.directory()).lock(job.record()["key"]), locks.take
    path = Store(stage.directory()).record_path(job.record()["key"])
    path.rename("away")

    def taken(asked):
        if asked == lock and os.path.exists("away"):
            os.rename("away", path)
        return take(asked)

    monkeypatch.setattr(locks, "take", taken)
    job.run(status=0)
    assert job.ran == 1


def test_an_untouched_input_is_not_hashed_again(job, monkeypatch):
    record = {"stage": "s", "outputs": {"data/y.csv": provenance.describe("data/y.csv")}}
    record["outputs"]["data/y.csv"]["content"] = "noted"
    io.write_json("data/y.csv.prov.json", record)
    assert provenance.content("data/y.csv") == "noted"
    os.utime("data/y.csv")  # as Snakemake does after the job
    assert provenance.content("data/y.csv") == io.content_hash("data/y.csv")
    noted = {"endtime": os.stat("data/y.csv").st_mtime}
    io.write_json(provenance.metadata_path("data/y.csv"), noted)
    assert provenance.content("data/y.csv") == "noted"


def test_names_of_files():
    files = Files("a", "b", one="c", many=["d", "e"])
    assert stage.named(files) == {"0": ["a"], "1": ["b"], "one": ["c"], "many": ["d", "e"]}


def test_a_reused_job_imports_nothing_heavy(tmp_path):
    import subprocess

    code = "import sys, pipeline.stage; print(sorted({'numpy', 'xarray', 'netCDF4', 'torch', "
    code += "'jsonschema', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_value_that_dalib_refuses_is_one_paragraph_without_traceback(job, capsys):
    from dalib.filters.particle import BootstrapParticle

    job.run(lambda: BootstrapParticle(step=None, observe=None, obs_std=1.0, members=1), status=1)
    err = capsys.readouterr().err
    assert "an ensemble needs at least 2 members, got 1" in err
    assert "Traceback" not in err + job.log()
    assert not Path(job.output).exists()


def test_a_killed_job_is_told_with_what_it_asked_for(job, tmp_path):
    """Killed as for memory: no exception, no last word."""
    pid = os.fork()
    if pid == 0:
        job.run(body=lambda: os.kill(os.getpid(), signal.SIGKILL))
    os.waitpid(pid, 0)
    assert runs.summary("r1") == (
        "0 computed, 0 reused, 1 failed\n"
        "  assimilate dkf/clean/particle: ended without a word: killed for memory or time, or with "
        "the run; it asked for 1500 MB and 10 min, the next attempt asks for 3000 MB and 20 min "
        "(log: results/smoke/logs/a.log)"
    )
    job.run()
    assert runs.summary("r1") == "1 computed, 0 reused, 0 failed"


def test_a_mistake_of_ours_inside_dalib_keeps_its_traceback(job):
    """Python raises ValueError too; only a `raise` in dalib is a refusal."""
    job.run(body=lambda: stage.named(5), status=1)
    assert "Traceback" in job.log()
    job.run(body=lambda: io.write_json(job.output, float("nan")), status=1)
    assert "Traceback" in job.log()


def test_an_input_that_changes_while_the_job_runs_is_not_recorded(job, capsys):
    def body():
        io.write_text(job.output, "x")
        io.write_text("data/y.csv", "22\n")

    job.run(body, status=1)
    assert "data/y.csv: it was changed while this job ran; run again" in said(capsys)
    assert job.record() is None
    job.run(lambda: (io.write_text(job.output, "x"), os.utime("data/y.csv")))
    assert job.record()["status"] == "computed"


@pytest.mark.parametrize(
    ("number", "what"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "your quota is used up")],
)
def test_a_full_disk_is_one_paragraph_with_what_to_do(job, capsys, number, what):
    def body():
        with io.replacing(job.output) as part:
            part.write_text("half")
            raise OSError(number, os.strerror(number))

    job.run(body, status=1)
    (line,) = said(capsys).splitlines()
    assert line.startswith(f"assimilate dkf/clean/particle: {job.output}: ") and what in line
    assert "make cache-prune" in line and "run again" in line
    assert "Traceback" not in job.log()
    assert not list(Path("results").rglob("*a.txt*"))


def test_notes_that_a_full_disk_cut_off_are_passed_over(job):
    job.run()
    log = runs.log_of("r1")
    log.write_bytes(log.read_bytes() + b'{"stage": "assim\n')
    assert runs.summary("r1") == "1 computed, 0 reused, 0 failed"


def test_a_job_whose_terminal_was_closed_still_finishes(job, monkeypatch):
    class Closed(StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    monkeypatch.setattr(Closed, "flush", lambda self: self.write(""))
    job.run()
    assert job.record()["status"] == "computed" and "computed in" in job.log()
    assert runs.summary("r1") == "1 computed, 0 reused, 0 failed"


def test_a_store_that_is_replaced_by_an_older_one_has_another_stamp_and_content(tmp_path):
    store = tmp_path / "a.zarr"
    io.write_text(store / "t2m/c/0", "1")
    old = provenance.stamp(store), io.content_hash(store)
    other = tmp_path / "b.zarr"
    io.write_text(other / "t2m/c/0", "2")
    for path in (other / "t2m/c/0", other / "t2m/c", other / "t2m", other):
        os.utime(path, (1, 1))
    (store / "t2m/c/0").unlink()
    (other / "t2m/c/0").rename(store / "t2m/c/0")
    new = provenance.stamp(store), io.content_hash(store)
    assert old[0] != new[0] and old[1] != new[1]


def test_the_number_of_a_part_does_not_count_what_stands_in_it_does(job, capsys):
    """A method that is added shifts the numbers of the parts of a study, not their runs."""
    job.wildcards = {"scale": "smoke", "paper": "benchmark", "study": "noise", "part": "3"}
    job.run()
    job.wildcards = job.wildcards | {"part": "4"}
    os.remove(job.output)
    job.run(status=0)
    assert job.ran == 1 and "reused" in said(capsys)
    job.wildcards = job.wildcards | {"study": "size"}
    job.run()
    assert job.ran == 2
