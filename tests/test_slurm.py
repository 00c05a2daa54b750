"""The workflow on a real Slurm of one node, which is started for these tests and stopped after.

Two runs are under way at the same time: paper dkf at scale smoke as docs/cluster.md shows
it, and a toy workflow whose jobs are killed, cancelled, and run out of time.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import documents
import pytest
from test_workflow import Project

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        find_spec("snakemake_executor_plugin_slurm") is None,
        reason="snakemake's Slurm plugin is missing: pip install -e '.[slurm]'",
    ),
]

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).with_name("slurm")
ASK_SOON = ["--slurm-init-seconds-before-status-checks", "2"]  # the profile waits longer
PATIENCE = 2000  # seconds, ten times what an idle machine takes at most; then what hangs is ended

TOY = """
import sys
from pipeline import cluster

WATCH = cluster.watch()

onsuccess: print(*WATCH.lines(), sep="\\n", file=sys.stderr)
onerror: print(*WATCH.lines(), sep="\\n", file=sys.stderr)

rule all:
    localrule: True
    input: "hungry.txt", "sleeper.txt", "late.txt"

rule hungry:
    output: "hungry.txt"
    resources: mem_mb=lambda wildcards, attempt: 700 * 2 ** (attempt - 1), runtime=5
    script: "hungry.py"

rule sleeper:
    output: "sleeper.txt"
    retries: 0
    resources: mem_mb=700, runtime=5
    script: "sleep.py"

rule late:
    output: "late.txt"
    retries: 0
    resources: mem_mb=700, runtime=1
    script: "sleep.py"
"""

HUNGRY = """
import time
from pathlib import Path

held = b"x" * (1000 << 20)  # more than the 700 MB of the first attempt
time.sleep(20)  # memory is looked at every two seconds
Path(snakemake.output[0]).write_text("done")
"""

SLEEP = """
import time
from pathlib import Path

Path(f"{snakemake.rule}.begun").touch()
time.sleep(float(Path("seconds").read_text()))
Path(snakemake.output[0]).write_text("done")
"""


class Cluster:
    """A one-node Slurm under `folder`, and what a shell needs that uses it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs: list[Run] = []
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Start it, or only what is down; skip the test where that cannot be."""
        if os.geteuid():
            pytest.skip("the daemons of Slurm can only be started by root")
        options = ["--cpus", "16", "--memory", "32000", "--gpus", "1"]  # make-believe, all of it
        done = subprocess.run(
            [SCRIPTS / "start-slurm", self.folder, *options],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if "install-slurm:" in done.stderr:
            pytest.skip(done.stderr.strip().splitlines()[-1])
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        for run in self.runs:
            if run.process.poll() is None:  # a test has failed
                run.kill()
        stop = [SCRIPTS / "stop-slurm", self.folder, "--purge"]
        subprocess.run(stop, check=True, timeout=PATIENCE)

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lose_controller(self) -> None:
        """Kill it, and bring it back later: what it knew by then is on disk, as seconds later."""
        jobs = self.ask("squeue", "-ho", "%i", "--states=RUNNING").split()
        known, asked = self.folder / "state/job_state", time.time()
        for job in jobs:  # else it would be written only when the next job changes
            self.ask("scontrol", "update", f"JobId={job}", "AdminComment=seen")
        wait(lambda: known.stat().st_mtime > asked, "the controller saves nothing")
        os.kill(int((self.folder / "slurmctld.pid").read_text()), signal.SIGKILL)
        time.sleep(5)
        self.start()

    def processes(self) -> list[str]:
        """Every process that was started for this cluster: its daemons, their steps, its jobs."""
        mark = str(self.folder).encode()
        return [
            text.replace(b"\0", b" ").decode()
            for process in Path("/proc").glob("[0-9]*")
            if mark in (text := content(process / "cmdline")) + content(process / "environ")
        ]

    def running(self, rule: str) -> str:
        """Wait until the job of `rule` runs; its number."""

        def jobs() -> list[str]:
            queue = self.ask("squeue", "-ho", "%i %T %k")
            return re.findall(rf"(\d+) RUNNING rule_{rule}", queue)

        wait(jobs, f"{rule} does not run")
        return jobs()[0]

    def trouble(self) -> str:
        """What the cluster says when a test waits in vain."""
        log = content(self.folder / "log/slurmctld.log").decode()[-2000:]
        return "\n".join([self.ask("sinfo", "-N", "-o", "%N %T %E"), self.ask("squeue"), log])

    def states(self, said: str) -> list[str]:
        """How the jobs of the run that printed `said` ended, from the job completion log."""
        run = re.search(r"SLURM run ID: (\S+)", said)[1]
        log = (self.folder / "log/jobcomp.log").read_text()
        return re.findall(rf"Name={run} JobState=(\w+)", log)


def wait(condition: Callable[[], object], otherwise: str) -> None:
    """Until `condition` holds, for a while."""
    until = time.monotonic() + PATIENCE / 2
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.5)


def content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the process has ended, or it is the kernel's
        return b""


class Run:
    """A command under way in `folder`, its output in a file."""

    def __init__(self, cluster: Cluster, folder: Path, command: list[str]):
        self.cluster, self.output = cluster, folder / "said.txt"
        with self.output.open("w") as said:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=cluster.environment | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        cluster.runs.append(self)

    def end(self, code: int) -> str:
        """Wait for it; what it printed."""
        try:
            ended = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            ended = f"no end within {PATIENCE} s\n{self.cluster.trouble()}"
            self.kill()
        said = self.output.read_text()
        assert ended == code, f"{said[-5000:]}\n{ended}"
        return said

    def kill(self) -> None:
        """The process and all that it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def shown(language: str) -> str:
    """The one example in `language` of docs/cluster.md."""
    (block,) = documents.blocks("docs/cluster.md", language)
    return block


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")))  # sockets: a short name
    try:
        made.start()
        yield made
    finally:
        if (made.folder / "slurm.conf").exists():
            made.stop()
    assert made.processes() == []


@pytest.fixture(scope="module")
def dkf(cluster, tmp_path_factory) -> tuple[Project, Run]:
    """Paper dkf on the cluster, under way, as docs/cluster.md shows it."""
    project = Project(tmp_path_factory.mktemp("cluster"))
    (project.folder / "mysite").mkdir()
    (project.folder / "mysite/config.yaml").write_text(shown("yaml"))
    command = shown("bash").replace("\\\n", "").split()
    return project, Run(cluster, project.folder, [*command[:1], *ASK_SOON, *command[1:]])


@pytest.fixture(scope="module")
def toy(dkf, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(ROOT / "profiles/slurm", folder / "profiles/slurm")
    files = {"Snakefile": TOY, "hungry.py": HUNGRY, "sleep.py": SLEEP, "seconds": "600"}
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def submit_toy(cluster: Cluster, folder: Path, *options: str) -> Run:
    command = ["snakemake", "--workflow-profile", "profiles/slurm", *ASK_SOON, *options]
    return Run(cluster, folder, command)


def test_a_job_that_is_killed_or_cancelled_is_explained_and_retried_with_more(cluster, toy):
    run = submit_toy(cluster, toy)
    cluster.ask("scancel", cluster.running("sleeper"))
    soon = "EndTime=now+10seconds"  # instead of its minute
    cluster.ask("scontrol", "update", f"JobId={cluster.running('late')}", soon)
    said = run.end(code=1)
    assert (toy / "hungry.txt").exists()
    log = re.escape(f"{toy}/results/slurm_logs/rule_")
    for line in (
        rf"^hungry: killed for memory, with 700M asked for \(log: {log}hungry/\d+.log\)$",
        r"^  hungry: killed for memory, with 700M asked for; attempt 2 asks for 1400M$",
        rf"^  sleeper: cancelled; run again: .* \(log: {log}sleeper/\d+.log\)$",
        rf"^  late: killed for time, with 00:01:00 asked for; give it more runtime: .* {log}late",
    ):
        assert re.search(line, said, re.MULTILINE), f"{line}\nis not in\n{said[-6000:]}"


def test_paper_dkf_on_the_cluster_is_the_same_byte_for_byte(cluster, dkf, tmp_path):
    project, run = dkf
    local = Project(tmp_path / "local")
    command = ["snakemake", "dkf", "--cores=2", "--config", "scale=smoke"]
    Run(cluster, local.folder, command).end(code=0)
    said = run.end(code=0)
    page = documents.text("docs/cluster.md")
    submitted, jobs = map(int, re.search(r"submits (\d+) jobs instead of (\d+)", page).groups())
    assert project.counts(said) == {"computed": jobs, "reused": 0, "failed": 0}
    assert cluster.states(said) == submitted * ["COMPLETED"]

    there, here = project.results(), local.results()
    assert there.keys() == here.keys()
    assert [path for path in here if here[path] != there[path]] == []


def test_a_new_run_resumes_and_survives_the_loss_of_the_controller(cluster, toy, dkf):
    (toy / "seconds").write_text("15")
    for file in toy.glob("*.begun"):
        file.unlink()
    run = submit_toy(cluster, toy)
    for rule in ("sleeper", "late"):
        cluster.running(rule)
        wait((toy / f"{rule}.begun").exists, f"{rule} does not begin")
    cluster.lose_controller()
    said = run.end(code=0)
    assert sorted(cluster.states(said)) == ["COMPLETED", "COMPLETED"]
    assert "hungry" not in re.findall(r"^rule (\w+):", said, re.MULTILINE)
    assert (toy / "sleeper.txt").exists() and (toy / "late.txt").exists()


def test_a_partition_that_is_not_there_is_named_once_for_all_jobs(cluster, toy):
    nowhere = ["--default-resources", "slurm_partition=nowhere", "--groups", "late=group"]
    said = submit_toy(cluster, toy, "--forceall", *nowhere, "--retries", "0").end(code=1)
    message = "Slurm has no partition 'nowhere'; it has: main, short. Set slurm_partition in your"
    assert said.count(f"\n{message}") == 1
    assert f"\n  {message} profile (3 submissions)" in said


def test_without_slurm_nothing_is_submitted_and_one_paragraph_says_why(tmp_path):
    project = Project(tmp_path / "project")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "env", "git", "sh", "which"):
        (tools / name).symlink_to(shutil.which(name))
    run = project.snakemake("--workflow-profile", "profiles/slurm", PATH=str(tools))
    assert run.returncode == 1
    (paragraph,) = re.findall(r"^there is no Slurm here .*$", run.stdout, re.MULTILINE)
    assert "make" in paragraph and run.stdout.rstrip().endswith(paragraph)
    assert not list((project.folder / ".snakemake/locks").glob("*.lock"))


def test_stopping_a_cluster_ends_its_jobs_and_leaves_no_process():
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")))
    cluster.start()
    cluster.ask("sbatch", "--output=/dev/null", "--mem=100", "--wrap", "sleep 600")
    wait(lambda: "RUNNING" in cluster.ask("squeue", "-ho", "%T"), "the job does not run")
    assert len(cluster.processes()) >= 4  # munged, slurmctld, slurmd, the job
    cluster.stop()
    assert cluster.processes() == [] and not cluster.folder.exists()
