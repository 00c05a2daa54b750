"""What a cluster does to jobs is put into words; no Slurm is needed for that."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pipeline import cluster

PROFILES = Path(__file__).parents[1] / "profiles"


@pytest.mark.parametrize(
    ("state", "log", "why"),
    [
        ("OUT_OF_MEMORY", "", "killed for memory"),
        ("FAILED", "slurmstepd: error: Exceeded job memory limit\n", "killed for memory"),
        ("FAILED", "Some of the step tasks have been OOM Killed.\n", "killed for memory"),
        ("TIMEOUT", "*** JOB 7 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***", "killed for time"),
        ("NODE_FAIL", "", "lost with its node"),
        ("PREEMPTED", "*** JOB 7 ON n1 CANCELLED AT 2026 DUE TO PREEMPTION ***", "preempted"),
        ("CANCELLED", "*** JOB 7 ON n1 CANCELLED AT 2026 ***", "cancelled"),
        ("FAILED", "*** STEP 7.0 ON n1 CANCELLED AT 2026 ***", ""),
        ("FAILED", "train dkf/clean/dkf/0: x.nc: no variable y", ""),
        ("", "", ""),
    ],
)
def test_the_cause_comes_from_the_state_or_else_from_the_log(state, log, why):
    assert cluster.cause(state, log) == why


@pytest.fixture
def watch(monkeypatch):
    """A watch over a Slurm that knows the jobs 7, 8 and 9, and two partitions."""
    known = {
        "7": {"JobState": "OUT_OF_MEMORY", "MinMemoryNode": "2500M", "TimeLimit": "00:30:00"},
        "8": {"JobState": "RUNNING", "MinMemoryNode": "5000M", "TimeLimit": "01:00:00"},
        "9": {"JobState": "TIMEOUT", "MinMemoryNode": "5000M", "TimeLimit": "01:00:00"},
    }
    monkeypatch.setattr(cluster, "state", lambda slurm_id: known.get(slurm_id, {}))
    monkeypatch.setattr(cluster, "partitions", lambda: {"cpu", "gpu"})
    return cluster.Watch()


def record(watch: cluster.Watch, message: str = "", event: str | None = None, **fields) -> None:
    made = logging.makeLogRecord({"msg": message, "event": event} | fields)
    watch.handle(made)


def info(watch: cluster.Watch, jobid: int = 4, **resources) -> None:
    wildcards = {"scale": "smoke", "paper": "dkf", "case": "clean"}
    fields = {"rule_name": "train", "jobid": jobid, "wildcards": wildcards}
    record(watch, event="job_info", resources=SimpleNamespace(**resources), **fields)


def submitted(watch: cluster.Watch, slurm_id: int, job: str = "4") -> None:
    record(watch, f"Job {job} has been submitted with SLURM jobid {slurm_id} (log: /x/1.log).")


def failed(watch: cluster.Watch, jobid: int = 4, said: str = "", **aux) -> None:
    record(watch, event="job_error", rule_name="train", jobid=jobid, rule_msg=said, aux=aux)


def test_an_attempt_that_was_killed_is_told_with_its_request_and_the_next(watch, capsys):
    info(watch)
    submitted(watch, 7)
    failed(watch, external_jobid="7")
    killed = "train dkf/clean: killed for memory, with 2500M asked for"
    assert capsys.readouterr().err == f"{killed} (log: /x/1.log)\n"
    submitted(watch, 8)
    assert capsys.readouterr().err == f"{killed}; attempt 2 asks for 5000M\n"
    assert list(watch.lines()) == [f"  {killed}; attempt 2 asks for 5000M"]


def test_the_last_attempt_comes_with_advice(watch):
    info(watch)
    submitted(watch, 9)
    failed(watch, external_jobid="9")
    (line,) = watch.lines()
    assert line.startswith("  train dkf/clean: killed for time, with 01:00:00 asked for; give it ")
    assert "more runtime: resources in config.yaml" in line and line.endswith("(log: /x/1.log)")


def test_a_stage_that_fails_speaks_for_itself(watch, capsys):
    info(watch)
    submitted(watch, 11)
    failed(watch, external_jobid="11")
    failed(watch)  # a job of this machine
    assert list(watch.lines()) == [] and capsys.readouterr().err == ""


def test_a_record_of_another_make_does_not_end_the_run(watch, capsys):
    record(watch, event="job_error")
    assert "AttributeError" in capsys.readouterr().err and list(watch.lines()) == []


def test_a_group_is_named_by_its_rules(watch):
    info(watch)
    submitted(watch, 7, job="651e23d2-caf0")
    members = [{"rule_name": "train", "jobid": 4}, {"rule_name": "observe", "jobid": 5}]
    record(watch, event="group_error", job_error_info=members, external_jobid="7")
    (line,) = watch.lines()
    assert line.startswith("  group of 2 jobs (observe, train): killed for memory, with 2500M")


def test_an_unknown_partition_is_told_once_with_the_known_ones(watch, capsys):
    info(watch, slurm_partition="nowhere")
    said = (
        "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition'.\n    call"
    )
    failed(watch, said=said)
    record(watch, event="group_error", job_error_info=[{"rule_name": "train", "jobid": 4}])
    message = "Slurm has no partition 'nowhere'; it has: cpu, gpu. Set slurm_partition in your"
    assert capsys.readouterr().err == f"{message} profile\n"
    assert list(watch.lines()) == [f"  {message} profile (2 submissions)"]


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("sbatch: error: Invalid account or account/partition combination", "slurm_account"),
        ("sbatch: error: Requested node configuration is not available", "set-resources"),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", "run again"),
        ("sbatch: error: something else", ""),
        ("", "no reason given"),
    ],
)
def test_other_refusals_keep_the_words_of_sbatch_and_say_what_to_do(watch, said, remedy):
    message = cluster.refusal(said, set())
    assert message.startswith("Slurm refused a job: ") and remedy in message
    assert said.replace("sbatch: error: ", "") in message


def test_a_machine_without_slurm_is_told_so_and_only_where_jobs_go_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.problem("local") == ""
    message = cluster.problem("slurm")
    assert message.startswith("there is no Slurm here (no sbatch in PATH)")
    assert "\n" not in message


def test_a_controller_that_does_not_answer_is_told_before_anything_is_submitted(
    monkeypatch, tmp_path
):
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    failing = [sys.executable, "-c", "import sys; sys.exit('Unable to contact slurm controller')"]
    message = cluster.problem("slurm", failing)
    assert message.startswith("Slurm does not answer: Unable to contact slurm controller. ")
    assert cluster.problem("slurm", [sys.executable, "-c", ""]) == ""


def test_the_loss_of_the_controller_and_its_return_are_told_once(monkeypatch, capsys):
    answers = iter([{"cpu"}, set(), set(), {"cpu"}, {"cpu"}])
    monkeypatch.setattr(cluster, "partitions", lambda: next(answers))
    monkeypatch.setattr(cluster, "LISTEN_EVERY", 0.0)
    with pytest.raises(StopIteration):  # there are no more answers
        cluster.listen({})
    lost, back = capsys.readouterr().err.splitlines()
    assert lost.startswith("Slurm does not answer. The jobs that are submitted go on")
    assert back == "Slurm answers again"


NODES = (
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
)


def test_jobs_that_no_node_can_take_are_told_once_and_again_when_the_reason_changes(
    monkeypatch, capsys
):
    queues = iter(
        [f"7|{NODES}\n8|{NODES}\n9|held\n", f"7|{NODES}\n", "7|Resources\n", "8|JobHeldAdmin\n"]
    )
    monkeypatch.setattr(cluster, "partitions", lambda: {"cpu"})
    monkeypatch.setattr(cluster, "answer", lambda *_: next(queues))
    monkeypatch.setattr(cluster, "LISTEN_EVERY", 0.0)
    with pytest.raises(StopIteration):
        cluster.listen({"3": cluster.Job("train", "7"), "4": cluster.Job("train", "8")})
    down, held = capsys.readouterr().err.splitlines()
    assert down.startswith(f"jobs do not start: {NODES}. This run waits; `sinfo -R` tells which")
    assert held.startswith("jobs do not start: JobHeldAdmin. ")


def test_both_profiles_decide_alike_what_is_stale_and_leave_the_rest_to_the_site():
    here, there = (
        yaml.safe_load((PROFILES / name / "config.yaml").read_text())
        for name in ("default", "slurm")
    )
    for key in ("rerun-triggers", "max-checksum-file-size", "rerun-incomplete", "keep-going"):
        assert here[key] == there[key], key
    # cores would count the cluster's; a site's own profile loses where both set a key
    assert not {"cores", "default-resources", "set-resources", "groups"} & there.keys()
