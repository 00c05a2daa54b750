"""Jobs that a cluster refuses or ends: which, why, what they had asked for, what comes next.

Of such a job Snakemake says its number and `failed`. Its log records, read here as they are made,
tell which job that is; Slurm tells the request and the state, the job's log the rest.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.doctor import slurm
from pipeline.stage import say

# cause: (states of Slurm, words in the log of the job, what is asked for more of next time)
CAUSES = {
    "killed for memory": ("OUT_OF_MEMORY", r"exceeded (job )?memory limit|oom.?kill", "mem_mb"),
    "killed for time": ("TIMEOUT DEADLINE", r"DUE TO TIME LIMIT", "runtime"),
    "lost with its node": ("NODE_FAIL BOOT_FAIL", r"DUE TO NODE FAILURE", ""),
    "preempted": ("PREEMPTED", r"DUE TO PREEMPTION", ""),
    "cancelled": ("CANCELLED", r"\*\*\* JOB \d+ ON \S+ CANCELLED", ""),
}
REFUSALS = {  # words of sbatch: what to do
    r"invalid partition": "set slurm_partition in your profile (`sinfo` lists the partitions)",
    r"account": "set slurm_account in your profile (`sacctmgr show associations` lists yours)",
    r"not available|violates|limit": "no node or limit of the partition fits what the job asks "
    "for: `sinfo -o '%P %c %m %G %l'` lists CPUs, MB, GPUs and time; see set-resources",
    r"contact|connect|timed out": "the controller does not answer; jobs that are submitted go on "
    "without it: run again when `sinfo` answers",
}
STUCK = re.compile("DOWN|DRAIN|NotAvail|held", re.IGNORECASE)  # reasons of squeue
LOST = (
    "Slurm does not answer. The jobs that are submitted go on without its controller, and this "
    "run waits for it, for up to an hour; `sinfo` tells when it is back"
)
SUBMITTED = re.compile(r"^Job (\S+) has been submitted with SLURM jobid (\d+) \(log: (.*)\)\.$")
REFUSED = re.compile(r"sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)
LOG_TAIL = 20_000  # bytes of a job's log that are searched
LISTEN_EVERY = 30.0  # seconds


def problem(executor: str, sinfo: Sequence[str] = ("sinfo", "--noheader")) -> str:
    """Why `executor` cannot submit a job from here; "" if nothing speaks against it."""
    if executor != "slurm":
        return ""
    if shutil.which("sbatch") is None:
        return (
            "there is no Slurm here (no sbatch in PATH), and this profile submits every job to "
            "it. Start it on a login node of the cluster; where Slurm comes as a module, load "
            "that first. On this machine alone, leave the profile out: make, or snakemake"
        )
    return "; ".join(f"{f.what}. {f.cause}. {f.remedy}" for f in slurm(sinfo))


def watch() -> Watch:
    """Follow the records of Snakemake in this process from now on."""
    watching = Watch()
    logging.getLogger("snakemake.logging").addHandler(watching)
    return watching


@dataclass
class Job:
    """What is known of a job, or of a group of jobs that is submitted as one."""

    name: str
    id: str = ""  # Slurm's number of the last attempt
    log: str = ""
    attempt: int = 0
    cause: str = ""  # why the last attempt ended; "" while it is under way or done
    asked: str = ""  # how much of what ran out that attempt asked for
    past: str = ""  # how the attempts before it ended

    def ended(self) -> str:
        return f"{self.cause}, with {self.asked} asked for" if self.asked else self.cause


class Watch(logging.Handler):
    """Says at once why an attempt ended; `lines` sums up."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}  # by Snakemake's number, or its name of a group
        self.named: dict[int, tuple[str, str]] = {}  # name and partition of each job
        self.refused: dict[str, int] = {}  # message: how many jobs it met
        self.listener = threading.Thread(target=listen, args=[self.jobs], daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.follow(record)
        except Exception:  # a record of another make must not end the run
            self.handleError(record)

    def follow(self, record: logging.LogRecord) -> None:
        submitted = SUBMITTED.match(record.getMessage())
        match str(getattr(record, "event", "")):
            case "job_info":
                name = " ".join([record.rule_name, values(record.wildcards)]).strip()
                partition = str(getattr(record.resources, "slurm_partition", ""))
                self.named[record.jobid] = name, partition
            case "job_error":
                if found := REFUSED.search(record.rule_msg or ""):
                    self.refuse([record.jobid], found[1])
                self.end(record.aux.get("external_jobid"), record.rule_name)
            case "group_error":
                members = record.job_error_info
                if not hasattr(record, "external_jobid"):
                    self.refuse([member["jobid"] for member in members], "")
                rules = ", ".join(sorted({member["rule_name"] for member in members}))
                name = f"group of {len(members)} jobs ({rules})"
                self.end(getattr(record, "external_jobid", None), name)
            case _ if submitted:
                self.submit(*submitted.groups())

    def submit(self, number: str, slurm_id: str, log: str) -> None:
        if not self.jobs:
            self.listener.start()
        name = self.named.get(int(number), ("", ""))[0] if number.isdigit() else ""
        job = self.jobs.setdefault(number, Job(name))
        job.id, job.log, job.attempt = slurm_id, log, job.attempt + 1
        if job.cause:
            job.past += f"{job.ended()}; attempt {job.attempt}"
            job.cause, job.asked = "", asked(state(slurm_id), job.cause)
            job.past += f" asks for {job.asked}, " if job.asked else ", "
            say(f"{job.name}: {job.past.removesuffix(', ')}")

    def end(self, slurm_id: str | None, name: str) -> None:
        job = next((job for job in self.jobs.values() if job.id == slurm_id), None)
        if job is None:
            return
        job.name = job.name or name
        now = state(job.id)
        job.cause = cause(now.get("JobState", ""), tail(Path(job.log)))
        job.asked = asked(now, job.cause)
        if job.cause:
            say(f"{job.name}: {job.ended()} (log: {job.log})")

    def refuse(self, jobs: Sequence[int], said: str) -> None:
        """Note what sbatch said; Snakemake does not pass it on for a group."""
        message = refusal(said, {self.named[job][1] for job in jobs if job in self.named})
        if message not in self.refused:
            say(message)
        self.refused[message] = self.refused.get(message, 0) + 1

    def lines(self) -> Iterator[str]:
        """A line for each job that a cluster ended, whether a later attempt went well or not."""
        for job in self.jobs.values():
            if job.cause:
                yield f"  {job.name}: {job.past}{job.ended()}; {advice(job.cause)} (log: {job.log})"
            elif job.past:
                yield f"  {job.name}: {job.past.removesuffix(', ')}"
        for message, count in self.refused.items():
            yield f"  {message} ({count} submissions)"


def listen(jobs: Mapping[str, Job]) -> None:
    """Say for what Snakemake waits in silence: the controller, nodes that are down."""
    there, told = True, ""
    while True:
        time.sleep(LISTEN_EVERY)
        if there != bool(partitions()):
            there = not there
            say("Slurm answers again" if there else LOST)
        waiting = stuck({job.id for job in jobs.values()})
        if waiting and waiting != told:
            say(waiting)
        told = waiting


def stuck(ids: Collection[str]) -> str:
    """What keeps jobs of these numbers from starting with nothing ahead of them; "" if nothing."""
    queue = answer("squeue", "--noheader", "--me", "--states=PENDING", "--format=%i|%r")
    lines = [line.partition("|") for line in queue.splitlines()]
    reasons = {reason for job, _, reason in lines if job in ids and STUCK.search(reason)}
    if not reasons:
        return ""
    return (
        f"jobs do not start: {'; '.join(sorted(reasons))}. This run waits; `sinfo -R` tells which "
        "nodes are out and why, `scontrol show job` about one that is held. Ask the cluster's "
        "administrators, or stop with Ctrl-C and run again later"
    )


def partitions() -> set[str]:
    """The partitions of this cluster; none if it does not answer."""
    return set(answer("sinfo", "--noheader", "--format=%R").split())


def answer(*command: str) -> str:
    """What Slurm says; "" if it says nothing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def values(wildcards: dict[str, str]) -> str:
    return "/".join(str(value) for name, value in wildcards.items() if name != "scale")


def state(slurm_id: str) -> dict[str, str]:
    """What the controller knows of a job, by its own names; {} if it does not answer."""
    said = answer("scontrol", "show", "job", slurm_id, "--oneliner")
    return dict(re.findall(r"(\w+)=(\S*)", said))


def tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def cause(now: str, log: str) -> str:
    """Why a job in state `now` ended; "" if the stage itself failed, which says so itself.

    Slurm calls a job failed whose step was killed, so the log is asked as well.
    """
    for why, (states, words, _) in CAUSES.items():
        if now in states.split() or re.search(words, log, re.IGNORECASE):
            return why
    return ""


def asked(known: dict[str, str], why: str) -> str:
    """How much of what ran out a job in the state `known` asks for: `2500M`, `00:30:00`."""
    match why and CAUSES[why][2]:
        case "mem_mb":
            return known.get("MinMemoryNode") or known.get("MinMemoryCPU", "")
        case "runtime":
            return known.get("TimeLimit", "")
    return ""


def advice(why: str) -> str:
    if more := CAUSES[why][2]:
        return f"give it more {more}: resources in config.yaml, or set-resources in a profile"
    return "run again: it goes on from what is finished"


def refusal(said: str, wanted: set[str]) -> str:
    """What sbatch refused, in its words, and what to do about it."""
    known = partitions()
    unknown = sorted(wanted - known - {""}) if known else []
    if unknown:
        return (
            f"Slurm has no partition {', '.join(map(repr, unknown))}; it has: "
            f"{', '.join(sorted(known))}. Set slurm_partition in your profile"
        )
    words = " ".join(said.replace("sbatch: error:", "").split())
    remedy = next((do for text, do in REFUSALS.items() if re.search(text, words, re.I)), "")
    return f"Slurm refused a job: {'; '.join(filter(None, [words, remedy])) or 'no reason given'}"
