"""The doctor names each planted fault with cause and remedy, and finds nothing where is nothing."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import configured

from dalib import io
from pipeline import __main__, audit, doctor, locks, provenance, unlock
from pipeline.store import Store

ROOT = Path(__file__).parents[1]
SLURM = doctor.slurm
RESULT = Path("results/smoke/toy/a/x.txt")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in order: its own configuration, pins that hold here, a result in the store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DALIB_CACHE", ".cache/stages")
    monkeypatch.setattr(doctor, "FREE_GB", 0.0)
    monkeypatch.setattr(doctor, "slurm", lambda: [])  # it answers
    configured(Path("."))
    shutil.copy(ROOT / "pyproject.toml", "pyproject.toml")
    names = ("numpy", "torch", "xarray", "netCDF4", "POT", "snakemake")
    pins = [f"{name}=={(doctor.installed(name) or '').partition('+')[0]}" for name in names]
    Path("constraints.txt").write_text("\n".join(["# pins", *pins, ""]))
    io.write_text(RESULT, "x")
    record = {"stage": "make", "key": "k" * 64, "outputs": {str(RESULT): None}, "inputs": {}}
    record["outputs"][str(RESULT)] = provenance.describe(RESULT)
    io.write_json(provenance.beside(RESULT), record)
    Store(Path(".cache/stages")).keep(record, [RESULT])
    return tmp_path


def findings(**overrides) -> list[doctor.Finding]:
    return list(doctor.diagnose(Path("."), overrides))


def test_nothing_is_found_in_a_project_in_order(project, capsys):
    assert findings() == []
    assert doctor.main(Path("."), {}) == 0 and capsys.readouterr().out == "nothing found\n"


def wrong_version():
    io.write_text("constraints.txt", "numpy==0.1\n")


def corrupt_object():
    (path,) = Store(Path(".cache/stages")).objects()
    path.chmod(0o644)
    path.write_text("y")


def dead_lock():
    lock = Path(".cache/stages/locks/key.json")
    locks.take(lock)
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"pid": dead_pid()}))


def leftover_part():
    RESULT.with_name(f"x.txt.part-{dead_pid()}.{socket.gethostname()}").write_text("ha")


def edited_result():
    RESULT.write_text("y")


def invalid_configuration():
    text = Path("config.yaml").read_text().replace("scale: quick", "scale: quick\nsclae: quick")
    Path("config.yaml").write_text(text)


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (wrong_version, "numpy is "),
        (corrupt_object, "damaged object .cache/stages/objects/"),
        (dead_lock, "dead lock .cache/stages/locks/key.json"),
        (leftover_part, "half-written file results/smoke/toy/a/x.txt.part-"),
        (edited_result, "edited result: results/smoke/toy/a/x.txt"),
        (invalid_configuration, "config.yaml: sclae: unknown key"),
    ],
)
def test_a_planted_fault_is_named_with_cause_and_remedy(project, capsys, plant, what):
    plant()
    (finding,) = findings()
    assert finding.what.startswith(what) and finding.cause and finding.remedy
    assert doctor.main(Path("."), {}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(what) and lines[-1] == "1 findings"
    assert lines[1].startswith("    cause: ") and lines[2].startswith("    remedy: ")


def test_all_faults_at_once_are_all_named(project):
    plants = (wrong_version, corrupt_object, dead_lock, leftover_part, edited_result)
    for plant in (*plants, invalid_configuration):
        plant()
    assert len(findings()) == 6


def test_a_package_that_is_missing_counts_if_dalib_needs_it(project):
    io.write_text("constraints.txt", "pandas-of-nobody==1.0\nscipy==9\n")
    assert [finding.what.partition(" ")[0] for finding in findings()] == ["scipy"]


def test_a_result_without_provenance_is_named(project):
    provenance.beside(RESULT).unlink()
    (finding,) = findings()
    assert finding.what == f"no provenance: {RESULT}"


def test_a_gpu_that_is_not_there_is_named(project, monkeypatch):
    monkeypatch.setattr(doctor, "gpus", lambda: 0)
    (finding,) = findings(device="cuda")
    assert finding.what == "device is cuda and this host has no GPU"


def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "gpus", lambda: 1)
    monkeypatch.setattr(doctor, "installed", lambda _: "2.13.0+cpu")
    monkeypatch.setattr(doctor, "torch_has_cuda", lambda: False)
    (finding,) = doctor.device("auto")
    assert finding.remedy == "pip install --force-reinstall torch==2.13.0"
    assert list(doctor.device("cpu")) == []


def test_a_controller_that_does_not_answer_is_named():
    failing = [sys.executable, "-c", "import sys; sys.exit('Unable to contact slurm controller')"]
    (finding,) = doctor.slurm(failing)
    assert finding.what == "Slurm does not answer: Unable to contact slurm controller"
    assert list(doctor.slurm([sys.executable, "-c", ""])) == []
    assert list(doctor.slurm(["no-such-program"])) == []


def test_programs_of_slurm_that_nobody_set_up_are_no_fault(project, monkeypatch, capsys):
    for name in ("sinfo", "squeue"):
        io.write_text(f"bin/{name}", "#!/bin/sh\necho no controller >&2\nexit 1\n")
        Path(f"bin/{name}").chmod(0o755)
    monkeypatch.setenv("PATH", "bin:" + os.environ["PATH"])
    monkeypatch.setattr(doctor, "slurm", SLURM)
    monkeypatch.setattr(doctor, "SLURM_CONF", Path("slurm.conf"))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    assert doctor.main(Path("."), {}) == 0
    assert capsys.readouterr().out.startswith("Slurm is installed and not set up here: ")
    Path("slurm.conf").touch()
    assert doctor.main(Path("."), {}) == 1
    assert "Slurm does not answer: no controller" in capsys.readouterr().out


def test_a_full_disk_is_named(project, monkeypatch):
    monkeypatch.setattr(doctor, "FREE_GB", 1e9)
    assert all("GB free for" in finding.what for finding in findings())


def test_a_store_of_another_format_is_named(project):
    Path(".cache/stages/format").write_text("7\n")
    (finding,) = findings()
    assert "expected a store of format 1, found '7'" in finding.what


def closed(monkeypatch, *folders):
    """As for somebody who may not write there; root may anywhere."""
    real = os.access
    names = {Path(folder).resolve() for folder in folders}
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).resolve() not in names and real(path, mode)
    )


def test_folders_that_cannot_be_written_are_named(project, monkeypatch):
    closed(monkeypatch, RESULT.parent, RESULT.parents[1])
    (finding,) = findings()
    assert finding.what == "results/smoke/toy and 1 more below cannot be written"
    assert "chmod -R u+w results" in finding.remedy


def test_a_folder_in_which_nothing_can_be_made_is_named(project, monkeypatch):
    closed(monkeypatch, ".")  # .snakemake is not there yet
    (finding,) = findings()
    assert finding.what == ". cannot be written"


def test_a_store_that_cannot_be_written_is_named(project, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(io, "replacing", refused)
    (finding,) = findings()
    assert "the store cannot be written" in finding.what and "cache.dir" in finding.remedy


def test_times_that_lie_in_the_future_are_named(project):
    """Of results, and of what they were made from: readers of them would fail at every run."""
    later = time.time() + 7200
    raw = Path("data/raw.txt")
    io.write_text(raw, "raw")
    record = json.loads(provenance.beside(RESULT).read_text())
    io.write_json(provenance.beside(RESULT), record | {"inputs": {"raw": {str(raw): "hash"}}})
    assert findings() == []
    os.utime(raw, (later, later))
    (finding,) = findings()
    assert finding.what == "the time of data/raw.txt lies in the future"
    assert finding.remedy.startswith("touch data/raw.txt;")
    os.utime(RESULT, (later, later))
    assert "and 1 more lies in the future" in findings()[0].what


def test_a_result_from_the_future_is_set_to_now_and_stays_what_it_is(project, capsys):
    """Else whatever reads it ends with an error, at every run."""
    metadata = provenance.metadata_path(RESULT)
    io.write_json(metadata, {"endtime": 0.0})
    os.utime(RESULT, (time.time() + 7200,) * 2)
    audit.audit(Path("results/smoke"))
    assert RESULT.stat().st_mtime <= time.time() and findings() == []
    assert RESULT.read_text() == "x" and not provenance.metadata_path(RESULT, "incomplete").exists()
    assert f"{RESULT}: its time lay in the future, set to now" in capsys.readouterr().err


def test_unlock_clears_what_is_dead_and_nothing_else(project, capsys):
    dead_lock()
    lock = Path(".snakemake/locks/0.input.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text("a\n")
    assert unlock.main(Path(".")) == 0
    assert not lock.exists() and findings() == []
    assert unlock.main(Path(".")) == 0 and "nothing is locked" in capsys.readouterr().out

    locks.take(audit.RUNNING / "this.json")  # this test is alive
    lock.write_text("a\n")
    assert unlock.main(Path(".")) == 1 and lock.exists()
    assert unlock.main(Path("."), dead_only=True) == 0 and lock.exists()
    assert f"a run is active on host {socket.gethostname()}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "looks"),
    [
        ([], False),
        (["--cores", "2", "all"], False),
        (["-c2", "-k", "--config", "scale=smoke"], False),
        (["-n"], True),
        (["-kn"], True),
        (["--dry-run"], True),
        (["--report=x.html"], True),
        (["--unlock"], True),
        (["-R", "train"], False),
    ],
)
def test_commands_that_run_no_jobs_are_known(arguments, looks):
    assert audit.looks_only(arguments) is looks


def test_the_command_line_reaches_the_verbs(project, capsys):
    assert __main__.main(["check", "--config", "scale=smoke"]) == 0
    assert capsys.readouterr().out == "configuration in order: scale smoke\n"
    assert __main__.main(["check", "--config", "scale=papper"]) == 1
    assert "no such scale; there are: smoke, quick, desk, paper" in capsys.readouterr().err
    assert __main__.main(["check", "--config", "scale"]) == 1
    assert "--config scale: expected key=value" in capsys.readouterr().err
    assert __main__.main(["prune"]) == 0 and "0.00 GB removed" in capsys.readouterr().out
    assert __main__.main(["list"]) == 0 and "(make PAPER=dkf)" in capsys.readouterr().out
    assert __main__.main(["doctor"]) == 0
